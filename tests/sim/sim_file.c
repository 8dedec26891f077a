/* SPDX-License-Identifier: Apache-2.0
 *
 * sim_file: see sim_file.h.  Pages are shared between images and copied when
 * one of them is written, so that thousands of power cuts are cheap.
 */
#include "sim_file.h"

#include <stdlib.h>
#include <string.h>

#include "sim_disk.h"

static bool all_zero(const uint8_t *data, size_t length)
{
	return length == 0 || (data[0] == 0 && memcmp(data, data + 1, length - 1) == 0);
}

/* --- images --- */

static void page_put(struct sim_page *page)
{
	if (page && --page->references == 0)
		free(page);
}

static void image_resize(struct sim_image *image, uint64_t count)
{
	for (uint64_t i = count; i < image->count; i++)
		page_put(image->pages[i]);
	if (count > image->count) {
		image->pages = realloc(image->pages, count * sizeof(struct sim_page *));
		memset(image->pages + image->count, 0,
		       (count - image->count) * sizeof(struct sim_page *));
	}
	image->count = count;
}

static void image_copy(struct sim_image *to, const struct sim_image *from)
{
	image_resize(to, 0);
	image_resize(to, from->count);
	for (uint64_t i = 0; i < from->count; i++) {
		to->pages[i] = from->pages[i];
		if (to->pages[i])
			to->pages[i]->references++;
	}
	to->size = from->size;
}

static void image_release(struct sim_image *image)
{
	image_resize(image, 0);
	free(image->pages);
	image->pages = NULL;
}

static uint8_t *page_own(struct sim_image *image, uint64_t index)
{
	struct sim_page *page;

	if (index >= image->count)
		image_resize(image, index + 1);
	page = image->pages[index];
	if (page && page->references == 1)
		return page->data;
	page = calloc(1, sizeof(*page));
	page->references = 1;
	if (image->pages[index]) {
		memcpy(page->data, image->pages[index]->data, SIM_PAGE);
		page_put(image->pages[index]);
	}
	image->pages[index] = page;
	return page->data;
}

/* DATA NULL: zeros.  Never grows the size. */
static void image_fill(struct sim_image *image, const uint8_t *data, uint64_t offset,
		       uint64_t length)
{
	while (length) {
		uint64_t index = offset / SIM_PAGE, at = offset % SIM_PAGE;
		uint64_t part = SIM_PAGE - at < length ? SIM_PAGE - at : length;
		bool hole = index >= image->count || !image->pages[index];

		if (data && !(hole && all_zero(data, part)))
			memcpy(page_own(image, index) + at, data, part);
		else if (!hole && !data)
			memset(page_own(image, index) + at, 0, part);
		data = data ? data + part : NULL;
		offset += part;
		length -= part;
	}
}

static void image_truncate(struct sim_image *image, uint64_t size)
{
	uint64_t end = (size + SIM_PAGE - 1) / SIM_PAGE;

	if (size < image->size) {
		if (image->count > end)
			image_resize(image, end);
		image_fill(image, NULL, size, end * SIM_PAGE - size);
	}
	image->size = size;
}

static void image_apply(struct sim_image *image, const struct sim_change *change)
{
	uint64_t end = change->offset + change->length;

	switch (change->kind) {
	case SIM_WRITE:
		image_fill(image, change->data, change->offset, change->length);
		image->size = end > image->size ? end : image->size;
		break;
	case SIM_ZERO:
		if (end > image->size)
			end = image->size > change->offset ? image->size : change->offset;
		image_fill(image, NULL, change->offset, end - change->offset);
		break;
	case SIM_TRUNCATE:
		image_truncate(image, change->offset);
		break;
	case SIM_GROW:
		if (change->offset > image->size)
			image->size = change->offset;
		break;
	}
}

/* --- files --- */

void sim_file_init(struct sim_file *file)
{
	memset(file, 0, sizeof(*file));
	file->changes_end = &file->changes;
}

void sim_file_forget(struct sim_file *file)
{
	while (file->changes) {
		struct sim_change *change = file->changes;

		file->changes = change->next;
		free(change->data);
		free(change);
	}
	file->changes_end = &file->changes;
}

void sim_file_release(struct sim_file *file)
{
	sim_file_forget(file);
	image_release(&file->seen);
	image_release(&file->stable);
}

uint64_t sim_file_read(const struct sim_file *file, void *buffer, uint64_t length, uint64_t offset)
{
	const struct sim_image *image = &file->seen;
	uint8_t *to = buffer;
	uint64_t done = 0;

	if (offset >= image->size)
		return 0;
	if (length > image->size - offset)
		length = image->size - offset;
	while (done < length) {
		uint64_t index = (offset + done) / SIM_PAGE, at = (offset + done) % SIM_PAGE;
		uint64_t part = SIM_PAGE - at < length - done ? SIM_PAGE - at : length - done;

		if (index < image->count && image->pages[index])
			memcpy(to + done, image->pages[index]->data + at, part);
		else
			memset(to + done, 0, part);
		done += part;
	}
	return length;
}

void sim_file_change(struct sim_file *file, enum sim_change_kind kind, const void *data,
		     uint64_t offset, uint64_t length)
{
	struct sim_change *change = calloc(1, sizeof(*change));

	change->kind = kind;
	change->offset = offset;
	change->length = length;
	if (data) {
		change->data = malloc(length ? length : 1);
		memcpy(change->data, data, length);
	}
	image_apply(&file->seen, change);
	*file->changes_end = change;
	file->changes_end = &change->next;
}

void sim_file_flush(struct sim_file *file)
{
	for (struct sim_change *change = file->changes; change; change = change->next)
		image_apply(&file->stable, change);
	sim_file_forget(file);
}

/* --- the power cut --- */

/* Sectors of a write reach the disk in any order, and not all of them. */
static void image_tear(struct sim_image *image, const struct sim_change *change, uint64_t *random)
{
	for (uint64_t done = 0; done < change->length;) {
		uint64_t part = SIM_SECTOR - (change->offset + done) % SIM_SECTOR;
		struct sim_change sector = *change;

		if (part > change->length - done)
			part = change->length - done;
		sector.offset += done;
		sector.length = part;
		sector.data = change->data ? change->data + done : NULL;
		if (sim_random(random) & 1)
			image_apply(image, &sector);
		done += part;
	}
}

static void image_chance(struct sim_image *image, const struct sim_change *change,
			 uint64_t *random)
{
	unsigned chance = sim_random(random) % 8;

	if (chance < 4)
		image_apply(image, change);
	else if (chance == 4 && change->kind <= SIM_ZERO)
		image_tear(image, change, random);
}

void sim_file_cut(struct sim_file *to, const struct sim_file *from, uint64_t *random)
{
	unsigned chance = sim_random(random) % 4;

	sim_file_init(to);
	image_copy(&to->stable, &from->stable);
	/* Now and then all or nothing: whole files that lag behind others. */
	for (struct sim_change *change = from->changes; change; change = change->next) {
		if (chance == 0)
			image_apply(&to->stable, change);
		else if (chance > 1)
			image_chance(&to->stable, change, random);
	}
	image_copy(&to->seen, &to->stable);
}

void sim_file_cut_change(struct sim_file *to, const struct sim_change *change, uint64_t *random)
{
	image_chance(&to->stable, change, random);
	image_copy(&to->seen, &to->stable);
}
