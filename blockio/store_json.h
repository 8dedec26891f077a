/* SPDX-License-Identifier: Apache-2.0
 *
 * store_json: STORE/store.json, what a store is: written when it changes its
 * state, never for a generation.  Always replaced as a whole.
 */
#ifndef BLOCKIO_STORE_JSON_H
#define BLOCKIO_STORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errinfo.h"
#include "store.h"

#define STORE_JSON_MAX (256u << 10)  /* 32 disks and their promoted images, with room */
#define STORE_IMAGE_MAX 1023	     /* path of a promoted image */
#define STORE_DISK_BYTES_MAX (UINT64_C(1) << 56) /* sums of bytes and blocks never overflow */

struct store_promotion {
	char image[STORE_IMAGE_MAX + 1]; /* "": the disk is not promoted */
	uint64_t generation;
	int64_t time_us; /* of that generation */
};

/* What a change of the list of disks left to be done (store_disks.c). */
struct store_mark {
	uint64_t from;	     /* below this generation the disk has no replica, or a shorter one: */
	uint64_t grown_from; /* bytes of that one, 0: none */
};

/* The heads held exactly this when the list of disks was changed last. */
struct store_settled {
	uint64_t generation; /* 0: never changed */
	int64_t time_us;
	bool more; /* a generation after it was committed */
};

struct store_json {
	unsigned format; /* as it was read; written is always STORE_FORMAT */
	bool summed;	 /* as it was read: it has a checksum; written is always one */
	struct store_spec spec;
	char uuid[37];
	uint8_t uuid_bytes[16];
	enum store_state state;
	struct store_promotion promoted[STORE_DISKS_MAX];
	struct store_mark marks[STORE_DISKS_MAX]; /* of the disks in SPEC */
	struct store_settled settled;
	struct store_disk gone[STORE_DISKS_MAX]; /* no disks any more, but their files are there */
	unsigned gone_count;
};

/* Is NAME fit to be a directory of a disk?  -EINVAL with the reason. */
int store_name_check(const char *name, struct errinfo *err);
/* Of a disk that no store has yet. */
int store_new_name_check(const char *name, struct errinfo *err);
/* Everything a store can be made of, or -EINVAL with the reason. */
int store_spec_check(const struct store_spec *spec, struct errinfo *err);

/* Pure.  WHERE names the file in errors.  -ENOTSUP: a newer format; -EUCLEAN: not
 * what a store.json must be.  Formats 1 and 2 are read: 2 only has fields more. */
int store_json_parse(const char *text, size_t length, const char *where, struct store_json *json,
		     struct errinfo *err);
/* A malloc()ed text, or NULL without memory. */
char *store_json_format(const struct store_json *json);

/* -ENOENT: no store in DIR. */
int store_json_read(const char *dir, struct store_json *json, struct errinfo *err);
/* Replaced and durable when 0; untouched, or perhaps replaced, on failure. */
int store_json_write(const char *dir, const struct store_json *json, struct errinfo *err);

bool uuid_parse(const char *text, uint8_t uuid[16]);
void uuid_format(const uint8_t uuid[16], char text[37]);

#endif
