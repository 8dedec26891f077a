/* SPDX-License-Identifier: Apache-2.0
 *
 * timeline: the steps of a recovery with the time each took.
 */
#ifndef ENGINE_TIMELINE_H
#define ENGINE_TIMELINE_H

#include <assert.h>
#include <jansson.h>

#include "loop.h"

#define TIMELINE_STEPS_MAX 24 /* a pivot has eleven, a second try and a rollback more */

struct timeline {
	int64_t last_ns;
	unsigned count;
	struct {
		const char *name;
		int64_t ns;
	} steps[TIMELINE_STEPS_MAX];
};

static inline void timeline_start(struct timeline *timeline, int64_t start_ns)
{
	timeline->count = 0;
	timeline->last_ns = start_ns;
}

/* What happened from the last mark to NOW_NS was NAME (a literal). */
static inline void timeline_mark_at(struct timeline *timeline, const char *name, int64_t now_ns)
{
	assert(timeline->count < TIMELINE_STEPS_MAX);
	timeline->steps[timeline->count].name = name;
	timeline->steps[timeline->count++].ns = now_ns - timeline->last_ns;
	timeline->last_ns = now_ns;
}

static inline void timeline_mark(struct timeline *timeline, const char *name)
{
	timeline_mark_at(timeline, name, ring_now_ns());
}

static inline double timeline_ms(const struct timeline *timeline)
{
	int64_t ns = 0;

	for (unsigned i = 0; i < timeline->count; i++)
		ns += timeline->steps[i].ns;
	return (double)ns / 1e6;
}

static inline json_t *timeline_json(const struct timeline *timeline)
{
	json_t *steps = json_array();

	for (unsigned i = 0; i < timeline->count; i++)
		json_array_append_new(steps, json_pack("{s:s,s:f}", "name", timeline->steps[i].name,
						       "ms", (double)timeline->steps[i].ns / 1e6));
	return steps;
}

#endif
