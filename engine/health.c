/* SPDX-License-Identifier: Apache-2.0
 *
 * health: see health.h.
 */
#include "health.h"

#include <math.h>
#include <string.h>

#include "sidecar.h"

static const char *run_name(const struct detect_facts *facts)
{
	static const char *const names[] = {
		[RUN_RUNNING] = "running",     [RUN_IO_ERROR] = "io-error",
		[RUN_PAUSED] = "paused",       [RUN_PANICKED] = "guest-panicked",
		[RUN_WATCHDOG] = "watchdog",   [RUN_INTERNAL_ERROR] = "internal-error",
		[RUN_SHUTDOWN] = "shutdown",   [RUN_MIGRATED] = "migrated",
		[RUN_PRELAUNCH] = "changing",  [RUN_INCOMING] = "changing",
		[RUN_OTHER] = "changing",
	};

	return names[facts->run];
}

static void put(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, json_real(round(value * 1000) / 1000));
}

static void put_count(json_t *object, const char *key, uint64_t count)
{
	json_object_set_new(object, key, json_integer((json_int_t)count));
}

static json_t *faults_json(const struct sidecar *sidecar)
{
	const struct sense *sense = &sidecar->sense;
	json_t *faults = json_array();

	for (unsigned i = 0; i < sense->fault_count; i++) {
		const struct detect_fault *fault = &sense->faults[i].fault;
		char since[40];

		report_time(sense->faults[i].time_us, since);
		json_array_append_new(
			faults, json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "kind",
					  fault_name(fault->kind), "cause",
					  detect_cause_name(fault->cause), "resource",
					  sense_resource(sidecar, fault), "detail",
					  fault->evidence, "warning", fault->warning, "since",
					  since));
	}
	return faults;
}

static json_t *qemu_json(const struct sense *sense)
{
	json_t *qemu = json_object();

	if (sense->pid)
		put_count(qemu, "pid", (uint64_t)sense->pid);
	if (sense->host.cpu_percent >= 0)
		put(qemu, "cpu_percent", sense->host.cpu_percent);
	if (sense->host.resident_bytes)
		put_count(qemu, "resident", sense->host.resident_bytes);
	if (sense->disks.round_trip_ns)
		put(qemu, "answer_ms", (double)sense->disks.round_trip_ns / 1e6);
	if (sense->facts.asked_ns)
		put(qemu, "waiting_ms", (double)(ring_now_ns() - sense->facts.asked_ns) / 1e6);
	return qemu;
}

static json_t *host_json(const struct sense *sense)
{
	json_t *host = json_object();

	if (sense->host.pressure_percent >= 0)
		put(host, "memory_pressure_percent", sense->host.pressure_percent);
	if (sense->host.cpu_pressure_percent >= 0)
		put(host, "cpu_pressure_percent", sense->host.cpu_pressure_percent);
	if (sense->host.corrected_count)
		put_count(host, "corrected_errors", sense->facts.corrected_errors);
	if (sense->host.balloon_bytes >= 0)
		put_count(host, "balloon", (uint64_t)sense->host.balloon_bytes);
	return host;
}

static json_t *agent_json(const struct sidecar *sidecar)
{
	static const char *const ports[] = {
		[AGENT_PORT_UNKNOWN] = "unknown", [AGENT_PORT_TAKEN] = "taken",
		[AGENT_PORT_SHUT] = "shut", [AGENT_PORT_FREE] = "asked",
	};
	const struct sense *sense = &sidecar->sense;
	json_t *agent = json_pack("{s:s}", "state", ports[sense->agent.port]);

	if (!sidecar->quiesce.address)
		json_object_set_new(agent, "state", json_string("none"));
	else if (sense->facts.agent_ns)
		put(agent, "answered_s", (double)(ring_now_ns() - sense->facts.agent_ns) / 1e9);
	return agent;
}

static const char *probe_name(const struct sidecar *sidecar, unsigned index)
{
	static const char *const results[] = {[PROBE_GOOD] = "good", [PROBE_ERROR] = "failed",
					      [PROBE_TIMEOUT] = "late"};
	const struct detect_disk *facts = &sidecar->sense.facts.disks[index];

	return facts->probe_count ? results[facts->probes[facts->probe_count - 1].result] : NULL;
}

static void put_latency(json_t *json, const struct sense_disk *disk)
{
	const struct drift *drift = drift_of_note(disk->drifts);
	double ratio = drift_ratio(drift);

	if (disk->latency_us > 0) {
		put(json, "latency_ms", disk->latency_us / 1e3);
		put(json, "depth", disk->depth);
	}
	if (drift->count == DRIFT_BASELINE)
		put(json, "usual_ms", exp(drift->median[DRIFT_LATENCY]) / 1e3);
	if (ratio > 0)
		put(json, "ratio", ratio);
}

static json_t *disk_json(const struct sidecar *sidecar, unsigned index)
{
	const struct sense_disk *disk = &sidecar->sense.disks.disks[index];
	const struct detect_disk *facts = &sidecar->sense.facts.disks[index];
	const char *probe = probe_name(sidecar, index);
	json_t *json = json_pack("{s:s,s:b,s:I}", "name", sidecar->guest.disks[index].name,
				 "slower", facts->slower, "errors",
				 (json_int_t)facts->error_count);

	put_latency(json, disk);
	if (facts->in_flight_known)
		put_count(json, "waiting", facts->in_flight);
	put(json, "quiet_s",
	    disk->quiet_ns ? (double)(ring_now_ns() - disk->quiet_ns) / 1e9 : 0.0);
	if (probe)
		json_object_set_new(json, "probe", json_string(probe));
	if (sidecar->sense.probe.places[index].took_ns)
		put(json, "probe_ms", (double)sidecar->sense.probe.places[index].took_ns / 1e6);
	if (facts->room_total) {
		put_count(json, "room", facts->room_bytes);
		put_count(json, "room_total", facts->room_total);
	}
	return json;
}

json_t *health_json(const struct sidecar *sidecar)
{
	const struct detect_facts *facts = &sidecar->sense.facts;
	json_t *disks = json_array(), *store = json_object();

	for (unsigned i = 0; i < sidecar->guest.disk_count; i++)
		json_array_append_new(disks, disk_json(sidecar, i));
	if (facts->store_room_total) {
		put_count(store, "room", facts->store_room_bytes);
		put_count(store, "room_total", facts->store_room_total);
		put_count(store, "need", facts->store_need_bytes);
	}
	return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "run", run_name(facts), "faults",
			 faults_json(sidecar), "qemu", qemu_json(&sidecar->sense), "host",
			 host_json(&sidecar->sense), "agent", agent_json(sidecar), "disks", disks,
			 "store", store);
}
