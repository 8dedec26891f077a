/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_file: one file of the simulated disk: what a reader sees, what is on
 * stable storage, and the changes in between.
 */
#ifndef SIM_FILE_H
#define SIM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PAGE 4096u
#define SIM_SECTOR 512u

struct sim_page {
	unsigned references;
	uint8_t data[SIM_PAGE];
};

/* Pages that are NULL, or beyond the table, are zeros. */
struct sim_image {
	struct sim_page **pages;
	uint64_t count;
	uint64_t size;
};

enum sim_change_kind { SIM_WRITE, SIM_ZERO, SIM_TRUNCATE, SIM_GROW };

struct sim_change {
	enum sim_change_kind kind;
	uint64_t offset; /* TRUNCATE, GROW: the new size */
	uint64_t length;
	uint8_t *data; /* WRITE */
	struct sim_change *next;
};

struct sim_file {
	struct sim_image seen;
	struct sim_image stable;
	struct sim_change *changes, **changes_end; /* not flushed, oldest first */
};

void sim_file_init(struct sim_file *file);
void sim_file_release(struct sim_file *file);

uint64_t sim_file_read(const struct sim_file *file, void *buffer, uint64_t length, uint64_t offset);
void sim_file_change(struct sim_file *file, enum sim_change_kind kind, const void *data,
		     uint64_t offset, uint64_t length);
void sim_file_flush(struct sim_file *file);
void sim_file_forget(struct sim_file *file); /* a failed flush: never written, thought clean */

/* TO becomes what a power cut leaves of FROM. */
void sim_file_cut(struct sim_file *to, const struct sim_file *from, uint64_t *random);
/* And of a change that was still on its way. */
void sim_file_cut_change(struct sim_file *to, const struct sim_change *change, uint64_t *random);

#endif
