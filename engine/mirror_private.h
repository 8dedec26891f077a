/* SPDX-License-Identifier: Apache-2.0
 *
 * What mirror.c, mirror_files.c and mirror_left.c share.
 */
#ifndef ENGINE_MIRROR_PRIVATE_H
#define ENGINE_MIRROR_PRIVATE_H

#include "mirror.h"

#define MIRROR_NODE "qheal-s" /* prefixes of names */
#define MIRROR_JOB "qheal-m"
#define MIRROR_MARK ".partial"

void mirror_mark_path(const char *image, char path[PATH_MAX + 16]);
/* Names that are free, of job, node and image. */
int mirror_choose_names(const struct sidecar *sidecar, struct mirror *mirror, struct errinfo *err);
int mirror_check_room(const struct sidecar *sidecar, unsigned disk, struct errinfo *err);
/* Image and mark; on failure neither. */
int mirror_files_make(const struct sidecar *sidecar, struct mirror *mirror, uint64_t size,
		      struct errinfo *err);
void mirror_files_remove(struct mirror *mirror);
/* A node by this name is of this store. */
bool mirror_is_ours(const struct sidecar *sidecar, const char *node);
/* Cancelled and dismissed, or as good as that. */
void mirror_end_job(struct sidecar *sidecar, const char *id);

#endif
