/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_json: see policy_json.h.
 */
#include "policy_json.h"

#include <stddef.h>
#include <string.h>

/* Members by their names; what is added to the struct is added here. */
#define FLAG(name) {#name, offsetof(struct policy_facts, name)}

static const struct {
	const char *name;
	size_t offset;
} flags[] = {
	FLAG(qemu_alive), FLAG(qemu_answers), FLAG(running), FLAG(paused_by_owner),
	FLAG(guest_progress), FLAG(untried), FLAG(cleared), FLAG(replica_ready), FLAG(head_intact),
	FLAG(covered), FLAG(on_replica), FLAG(swappable), FLAG(yankable), FLAG(sync),
	FLAG(heal_stale), FLAG(spare), FLAG(standby), FLAG(restart_known), FLAG(nic_replaceable),
	FLAG(standby_boots),
}, sizes[] = {
	FLAG(dirty_bytes), FLAG(all_dirty_bytes), FLAG(disk_bytes), FLAG(heal_blocks),
	FLAG(point_loss_bytes), FLAG(point_bytes), FLAG(elapsed_us),
}, counts[] = {
	FLAG(points), FLAG(able), FLAG(tried), FLAG(resets),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const void *member(const struct policy_facts *facts, size_t offset)
{
	return (const char *)facts + offset;
}

static json_t *history_json(const struct policy_facts *facts, int64_t now_ns)
{
	json_t *history = json_array();

	for (unsigned i = 0; i < facts->history_count; i++)
		json_array_append_new(history,
				      json_pack("[I,i]",
						(json_int_t)(now_ns - facts->history[i].time_ns),
						facts->history[i].resource));
	return history;
}

json_t *policy_facts_json(const struct policy_facts *facts, const struct policy_settings *settings,
			  int64_t now_ns)
{
	json_t *json = json_pack(
		"{s:s,s:s,s:i,s:b,s:i,s:s,s:s,s:o}", "kind", fault_name(facts->fault.kind), "cause",
		detect_cause_name(facts->fault.cause), "index", facts->fault.index, "warning",
		facts->fault.warning, "source", (int)facts->source, "objective",
		settings->objective == OBJECTIVE_FAST ? "fast" : "optimal", "on_loss",
		settings->on_loss == ON_LOSS_HOLD ? "hold" : "rollback", "history",
		history_json(facts, now_ns));

	for (unsigned i = 0; i < COUNT(flags); i++)
		json_object_set_new(json, flags[i].name,
				    json_boolean(*(const bool *)member(facts, flags[i].offset)));
	for (unsigned i = 0; i < COUNT(sizes); i++)
		json_object_set_new(json, sizes[i].name,
				    json_integer((json_int_t) * (const uint64_t *)member(
							 facts, sizes[i].offset)));
	for (unsigned i = 0; i < COUNT(counts); i++)
		json_object_set_new(json, counts[i].name,
				    json_integer(*(const unsigned *)member(facts,
									   counts[i].offset)));
	return json;
}

static bool cause_by_name(const char *name, enum detect_cause *cause)
{
	for (unsigned i = 0; name && i < DETECT_CAUSES; i++) {
		if (!strcmp(detect_cause_name((enum detect_cause)i), name)) {
			*cause = (enum detect_cause)i;
			return true;
		}
	}
	return false;
}

static bool take_history(const json_t *history, int64_t now_ns, struct policy_facts *facts)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(history) || json_array_size(history) > POLICY_HISTORY_MAX)
		return false;
	json_array_foreach(history, i, item) {
		facts->history[i].time_ns = now_ns - json_integer_value(json_array_get(item, 0));
		facts->history[i].resource = (int)json_integer_value(json_array_get(item, 1));
	}
	facts->history_count = (unsigned)json_array_size(history);
	return true;
}

static bool take_members(const json_t *json, struct policy_facts *facts)
{
	for (unsigned i = 0; i < COUNT(flags); i++) {
		const json_t *value = json_object_get(json, flags[i].name);

		if (!json_is_boolean(value))
			return false;
		*(bool *)member(facts, flags[i].offset) = json_is_true(value);
	}
	for (unsigned i = 0; i < COUNT(sizes); i++) {
		const json_t *value = json_object_get(json, sizes[i].name);

		if (!value) /* of a qheal that did not have it yet */
			continue;
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
		*(uint64_t *)member(facts, sizes[i].offset) = (uint64_t)json_integer_value(value);
	}
	for (unsigned i = 0; i < COUNT(counts); i++) {
		const json_t *value = json_object_get(json, counts[i].name);

		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
		*(unsigned *)member(facts, counts[i].offset) = (unsigned)json_integer_value(value);
	}
	return true;
}

bool policy_facts_of_json(const json_t *json, int64_t now_ns, struct policy_facts *facts,
			  struct policy_settings *settings)
{
	const char *kind = json_string_value(json_object_get(json, "kind"));
	const char *objective = json_string_value(json_object_get(json, "objective"));
	const char *on_loss = json_string_value(json_object_get(json, "on_loss"));
	json_int_t source = json_integer_value(json_object_get(json, "source"));

	memset(facts, 0, sizeof(*facts));
	if (!kind || !objective || !on_loss || source < SOURCE_UNKNOWN ||
	    source > SOURCE_UNREADABLE ||
	    !cause_by_name(json_string_value(json_object_get(json, "cause")), &facts->fault.cause))
		return false;
	facts->fault.kind = fault_by_name(kind);
	facts->fault.index = (int)json_integer_value(json_object_get(json, "index"));
	facts->fault.warning = json_is_true(json_object_get(json, "warning"));
	facts->source = (enum policy_source)source;
	settings->objective = strcmp(objective, "fast") ? OBJECTIVE_OPTIMAL : OBJECTIVE_FAST;
	settings->on_loss = strcmp(on_loss, "hold") ? ON_LOSS_ROLLBACK : ON_LOSS_HOLD;
	return facts->fault.kind != FAULT_NONE && take_members(json, facts) &&
	       take_history(json_object_get(json, "history"), now_ns, facts);
}
