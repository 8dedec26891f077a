/* SPDX-License-Identifier: Apache-2.0
 *
 * sense_probe: see sense_probe.h.
 */
#include "sense_probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "member.h"
#include "sidecar.h"

#define STORE_PLACE BOUND_DISKS
#define GENERATION_ROOM (UINT64_C(16) << 20) /* what an area of the journal begins with */

/* --- facts --- */

static void note_probe(struct detect_disk *facts, enum detect_probe_result result)
{
	if (facts->probe_count == DETECT_PROBES_MAX) {
		memmove(&facts->probes[0], &facts->probes[1],
			(DETECT_PROBES_MAX - 1) * sizeof(facts->probes[0]));
		facts->probe_count--;
	}
	facts->probes[facts->probe_count++] =
		(struct detect_probe){.time_ns = ring_now_ns(), .result = result};
}

/* SINCE_NS: a read was asked for; 0: none is under way. */
static void note_way(struct sidecar *sidecar, unsigned place, int64_t since_ns)
{
	if (place < BOUND_DISKS)
		sidecar->sense.facts.disks[place].probe_since_ns = since_ns;
}

/* A raw image whose blocks are all there needs no room. */
static bool grows(const struct guest_disk *disk, const struct prober_answer *answer)
{
	return strcmp(disk->driver, "raw") || answer->file_allocated < answer->file_bytes;
}

static void note_disk(struct sidecar *sidecar, const struct prober_answer *answer)
{
	const struct guest_disk *disk = &sidecar->guest.disks[answer->place];
	struct detect_disk *facts = &sidecar->sense.facts.disks[answer->place];

	if (answer->open_error)
		return;
	if (answer->read)
		note_probe(facts, answer->read_error ? PROBE_ERROR : PROBE_GOOD);
	if (!answer->room_known)
		return;
	facts->room_bytes = answer->room_bytes;
	facts->room_total = answer->room_total;
	facts->grows = answer->file_bytes && grows(disk, answer);
}

/* What the next generation will want is what the last one was, and some. */
static void note_store(struct sidecar *sidecar, const struct prober_answer *answer)
{
	struct detect_facts *facts = &sidecar->sense.facts;

	if (answer->open_error || !answer->room_known)
		return;
	facts->store_room_bytes = answer->room_bytes;
	facts->store_room_total = answer->room_total;
	facts->store_need_bytes = GENERATION_ROOM > 2 * sidecar->figures.usual_bytes
					  ? GENERATION_ROOM : 2 * sidecar->figures.usual_bytes;
}

static bool is_probed(const struct sidecar *sidecar, unsigned place)
{
	return place == STORE_PLACE ||
	       (place < sidecar->guest.disk_count && sidecar->guest.disks[place].file[0] == '/');
}

static bool is_read(const struct sidecar *sidecar, unsigned place)
{
	return place != STORE_PLACE && !strcmp(sidecar->guest.disks[place].driver, "raw");
}

/* --- questions and answers --- */

static void listen_on(struct sidecar *sidecar)
{
	if (sidecar->prober.fd >= 0)
		ring_poll(sidecar->loop.ring, &sidecar->sense.probe.op, sidecar->prober.fd, POLLIN);
}

static void answers_came(struct ring_op *op, int result)
{
	struct sense_probe *probe = member_of(op, struct sense_probe, op);
	struct sidecar *sidecar = member_of(probe, struct sidecar, sense.probe);
	struct prober_answer answer;

	if (result == -ECANCELED || !probe->started)
		return;
	while (prober_take(&sidecar->prober, &answer)) {
		bool former = probe->places[answer.place].former;

		probe->places[answer.place].asked_ns = probe->places[answer.place].late_ns = 0;
		probe->places[answer.place].former = false;
		note_way(sidecar, answer.place, 0);
		probe->places[answer.place].took_ns =
			answer.read && !answer.read_error ? answer.took_ns : 0;
		probe->places[answer.place].unopened = answer.open_error;
		if (answer.place == STORE_PLACE)
			note_store(sidecar, &answer);
		else if (answer.place < sidecar->guest.disk_count && !former)
			note_disk(sidecar, &answer);
	}
	listen_on(sidecar);
}

static void ask(struct sidecar *sidecar, unsigned place, int64_t now_ns)
{
	struct sense_probe *probe = &sidecar->sense.probe;
	const char *path = place == STORE_PLACE ? sidecar->config->store
						: sidecar->guest.disks[place].file;

	probe->places[place].due_ns = now_ns + SENSE_PROBE_MS * NS_PER_MS;
	if (prober_ask(&sidecar->prober, place, path, is_read(sidecar, place)))
		return;
	probe->places[place].asked_ns = now_ns;
	if (is_read(sidecar, place))
		note_way(sidecar, place, now_ns);
}

static void look_whether_late(struct sidecar *sidecar, unsigned place, int64_t now_ns)
{
	struct sense_probe *probe = &sidecar->sense.probe;
	int64_t since_ns = probe->places[place].late_ns ? probe->places[place].late_ns
							: probe->places[place].asked_ns;
	int64_t limit_ms = probe->places[place].late_ns ? SENSE_PROBE_MS : SENSE_PROBE_LATE_MS;

	if (place == STORE_PLACE || probe->places[place].former ||
	    now_ns - since_ns < limit_ms * NS_PER_MS)
		return;
	probe->places[place].late_ns = now_ns;
	note_probe(&sidecar->sense.facts.disks[place], PROBE_TIMEOUT);
}

void sense_probe_forget(struct sidecar *sidecar, unsigned index)
{
	struct sense_probe *probe = &sidecar->sense.probe;

	probe->places[index].former = probe->places[index].asked_ns != 0;
	note_way(sidecar, index, 0);
	probe->places[index].late_ns = probe->places[index].due_ns = 0;
}

/* A prober that has ended answers no more: that says nothing about disks. */
static void forget_questions(struct sidecar *sidecar)
{
	struct sense_probe *probe = &sidecar->sense.probe;

	for (unsigned place = 0; place < PROBER_PLACES; place++) {
		note_way(sidecar, place, 0);
		probe->places[place].asked_ns = probe->places[place].late_ns = 0;
		probe->places[place].former = false;
	}
}

void sense_probe_tick(struct sidecar *sidecar)
{
	struct sense_probe *probe = &sidecar->sense.probe;
	int64_t now_ns = ring_now_ns();

	if (sidecar->prober.fd < 0) {
		forget_questions(sidecar);
		return;
	}
	for (unsigned place = 0; place < PROBER_PLACES; place++) {
		if (!is_probed(sidecar, place))
			continue;
		if (probe->places[place].asked_ns)
			look_whether_late(sidecar, place, now_ns);
		else if (now_ns >= probe->places[place].due_ns)
			ask(sidecar, place, now_ns);
	}
}

void sense_probe_start(struct sidecar *sidecar)
{
	struct sense_probe *probe = &sidecar->sense.probe;

	*probe = (struct sense_probe){.started = true, .op.done = answers_came};
	listen_on(sidecar);
}

void sense_probe_stop(struct sidecar *sidecar)
{
	struct sense_probe *probe = &sidecar->sense.probe;

	if (!probe->started)
		return;
	probe->started = false;
	ring_cancel(sidecar->loop.ring, &probe->op);
	while (ring_op_pending(&probe->op) && ring_run(sidecar->loop.ring) >= 0)
		;
}
