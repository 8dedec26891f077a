/* SPDX-License-Identifier: Apache-2.0
 *
 * The records that the test guest writes, shared by the guest and the checker.
 *
 * Records are numbered 1, 2, 3, ... over all disks; record n+1 is issued only
 * after n was acknowledged.  Whatever a crash leaves is therefore the records
 * 1..n for some n, each slot holding the newest of them that maps to it, and
 * perhaps a part of n+1.
 *
 * With i = n - 1: the disk is i % disks, k = i / disks counts the records of
 * that disk.  Every round of `slots` records fills each slot of the disk once:
 * round k / slots, step k % slots; pattern seq uses slot = step, pattern rand
 * a permutation of the steps that differs in every round.
 */
#ifndef GUEST_RECORD_H
#define GUEST_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RECORD_MAGIC UINT64_C(0x31636572746c6871) /* "qhltrec1" */
#define RECORD_SIZE_MIN 512u
#define RECORD_SIZE_MAX (64u << 10)
#define RECORD_DISKS_MAX 32u

struct record_header {
	uint64_t magic;
	uint64_t sum; /* of the whole record, this field taken as zero */
	uint64_t run;
	uint64_t number;
	uint64_t slot;
	uint32_t disk;
	uint32_t size_bytes;
};
_Static_assert(sizeof(struct record_header) == 48, "no padding on disk");

struct geometry {
	uint64_t run; /* tells the records of one run from those of another */
	uint64_t slots; /* per disk */
	uint64_t base_bytes; /* where the first slot begins, on every disk */
	uint32_t disks;
	uint32_t size_bytes; /* of a record, a multiple of 512 */
	bool random;
};

struct place {
	uint32_t disk;
	uint64_t slot;
};

static inline uint64_t record_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A permutation of 0..slots-1, another one in every round: three reversible
 * steps on the next power of two, repeated until the result is in range. */
static inline uint64_t record_permute(uint64_t step, uint64_t slots, uint64_t round)
{
	unsigned bits = slots > 1 ? 64 - (unsigned)__builtin_clzll(slots - 1) : 1;
	uint64_t mask = (UINT64_C(1) << bits) - 1;
	uint64_t key = record_mix(round + 1);

	do {
		for (unsigned turn = 0; turn < 3; turn++) {
			step = (step * (2 * (key >> (20 * turn)) + 5) + (key >> turn)) & mask;
			step ^= step >> (bits / 2 + 1);
		}
	} while (step >= slots);
	return step;
}

static inline struct place record_place(const struct geometry *geo, uint64_t number)
{
	uint64_t nth = (number - 1) / geo->disks;
	uint64_t step = nth % geo->slots;
	struct place place = { .disk = (uint32_t)((number - 1) % geo->disks), .slot = step };

	if (geo->random)
		place.slot = record_permute(step, geo->slots, nth / geo->slots);
	return place;
}

static inline uint64_t record_offset_bytes(const struct geometry *geo, uint64_t slot)
{
	return geo->base_bytes + slot * geo->size_bytes;
}

/* Four lanes, so that a host checks a gigabyte in a fraction of a second. */
static inline uint64_t record_sum(const void *record, uint32_t size_bytes)
{
	const uint64_t prime = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t lane[4] = { 1, 2, 3, 4 };
	const unsigned char *at = record;
	uint64_t word[4];

	for (uint32_t done = 0; done < size_bytes; done += sizeof(word)) {
		memcpy(word, at + done, sizeof(word));
		if (done == 0)
			word[1] = 0;
		for (unsigned i = 0; i < 4; i++) {
			lane[i] = (lane[i] ^ word[i]) * prime;
			lane[i] ^= lane[i] >> 29;
		}
	}
	return record_mix(lane[0] + record_mix(lane[1] + record_mix(lane[2] + record_mix(lane[3]))));
}

/* The one content of record `number`: header and an incompressible body. */
static inline void record_fill(const struct geometry *geo, uint64_t number, void *buffer)
{
	struct place place = record_place(geo, number);
	struct record_header header = {
		.magic = RECORD_MAGIC,
		.run = geo->run,
		.number = number,
		.slot = place.slot,
		.disk = place.disk,
		.size_bytes = geo->size_bytes,
	};
	uint64_t *body = buffer;
	uint64_t x = record_mix(geo->run ^ number) | 1;

	memcpy(body, &header, sizeof(header));
	for (uint32_t i = sizeof(header) / 8; i < geo->size_bytes / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		body[i] = x;
	}
	header.sum = record_sum(buffer, geo->size_bytes);
	memcpy(body, &header, sizeof(header));
}

/* Whole and of this run; says nothing about where it belongs. */
static inline bool record_valid(const struct geometry *geo, const void *buffer)
{
	struct record_header header;

	memcpy(&header, buffer, sizeof(header));
	return header.magic == RECORD_MAGIC && header.run == geo->run && header.number > 0 &&
	       header.size_bytes == geo->size_bytes &&
	       header.sum == record_sum(buffer, geo->size_bytes);
}

#endif
