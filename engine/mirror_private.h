/* SPDX-License-Identifier: Apache-2.0
 *
 * What mirror.c and mirror_files.c share.
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

#endif
