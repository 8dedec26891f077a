/* SPDX-License-Identifier: Apache-2.0
 *
 * definition: how a QEMU was started, as its process tells: command line, environment,
 * program, directory, user, and the files its output goes to.  Kept in the store
 * (definition.json, 0600: an environment may hold secrets), so that it is there when
 * the process is not.
 */
#ifndef ENGINE_DEFINITION_H
#define ENGINE_DEFINITION_H

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

#include "errinfo.h"

#define DEFINITION_GROUPS_MAX 256 /* of a service account; a directory of people may know more */

struct definition {
	json_t *argv, *environment; /* arrays of strings */
	char exe[PATH_MAX], cwd[PATH_MAX];
	char out[PATH_MAX], err[PATH_MAX]; /* plain files, "": it was something else */
	uid_t uid;
	gid_t gid;
	gid_t groups[DEFINITION_GROUPS_MAX]; /* the supplementary ones */
	unsigned group_count;
};

/* Of a process that runs. -EACCES: it is another user's; -EILSEQ: its words are no UTF-8. */
int definition_read(struct definition *definition, pid_t pid, struct errinfo *err);
int definition_save(const struct definition *definition, const char *store, struct errinfo *err);
/* -ENOENT: none; -EUCLEAN: damaged, or of a newer qheal. */
int definition_load(struct definition *definition, const char *store, struct errinfo *err);
/* Pure: from the file's text. */
int definition_parse(struct definition *definition, const char *text, size_t length,
		     struct errinfo *err);
void definition_release(struct definition *definition);

#endif
