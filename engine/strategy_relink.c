/* SPDX-License-Identifier: Apache-2.0
 *
 * strategy relink: a network card whose backend is gone gets it back.
 *
 *   connect  the backend is made anew, under its name, and has its peer
 *   unplug   the card leaves the guest: QEMU gives a card no other backend
 *   plug     the same card comes again, with the address and the MAC that it had
 *
 * A backend without a peer is removed again.  A guest that does not let go of its card
 * keeps it, without a backend, as it was; should it let go later, the next try only
 * has to plug.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext.h"
#include "nics.h"
#include "qemu_options.h"
#include "response.h"
#include "sidecar.h"

#define CONNECT_WAIT_MS 2000
#define UNPLUG_WAIT_MS 10000 /* the guest's driver has to end its work */
#define RETRY_MIN_MS 2000
#define RETRY_MAX_MS 600000

struct relink {
	struct sidecar *sidecar;
	struct nic *nic;
};

/* A disk that fails stands the guest still: the card is tried again behind it. */
static bool has_to_go(const struct sidecar *sidecar)
{
	return sidecar->monitor.closed || sidecar->loop.quit || sidecar->fault.kind != FAULT_NONE;
}

static bool connected(void *arg)
{
	const struct relink *relink = arg;

	return relink->nic->connected || has_to_go(relink->sidecar);
}

static bool deleted(void *arg)
{
	const struct relink *relink = arg;

	return relink->nic->deleted || has_to_go(relink->sidecar);
}

static void drop_backend(struct relink *relink)
{
	monitor_call(&relink->sidecar->monitor, "netdev_del",
		     json_pack("{s:s}", "id", relink->nic->netdev), NULL, NULL);
}

static int connect_backend(struct relink *relink, struct errinfo *err)
{
	struct sidecar *sidecar = relink->sidecar;
	struct nic *nic = relink->nic;
	int rc;

	drop_backend(relink); /* what is left of the old one */
	nic->connected = false;
	rc = monitor_call(&sidecar->monitor, "netdev_add", json_incref(nic->backend), NULL, err);
	if (rc)
		return rc;
	loop_until(&sidecar->loop, connected, relink,
		   ring_now_ns() + CONNECT_WAIT_MS * NS_PER_MS);
	if (nic->connected)
		return 0;
	drop_backend(relink);
	return err_set(err, -ECONNREFUSED, "the peer of %s does not answer", nic->netdev);
}

/* What QEMU chose by itself it would choose otherwise the second time. */
static void keep_choice(struct relink *relink, json_t *card, const char *key)
{
	char path[128], text[32];
	json_t *value = NULL;
	json_int_t slot;

	if (json_object_get(card, key))
		return;
	snprintf(path, sizeof(path), "/machine/peripheral/%s", relink->nic->device);
	if (monitor_call(&relink->sidecar->monitor, "qom-get",
			 json_pack("{s:s,s:s}", "path", path, "property", key), &value, NULL))
		return;
	slot = json_integer_value(value);
	snprintf(text, sizeof(text), "%x.%x", (unsigned)(slot >> 3 & 31), (unsigned)(slot & 7));
	if (json_is_string(value))
		json_object_set(card, key, value);
	else if (json_is_integer(value) && slot >= 0 && slot < 256)
		json_object_set_new(card, key, json_string(text));
	json_decref(value);
}

static int unplug(struct relink *relink, struct errinfo *err)
{
	struct sidecar *sidecar = relink->sidecar;
	struct nic *nic = relink->nic;
	struct errinfo refusal = {0};
	bool before = nic->unplugging; /* in an earlier try */
	int rc;

	nic->unplugging = true; /* its event may come before the answer */
	rc = monitor_call(&sidecar->monitor, "device_del", json_pack("{s:s}", "id", nic->device),
			  NULL, &refusal);
	if (rc)
		nic->unplugging = before;
	if (rc && strstr(refusal.text, "not found")) {
		nic->gone = !before; /* else the guest let go of it late */
		return nic->gone ? err_set(err, -ENODEV, "the card %s was taken out by its owner",
					   nic->device) : 0;
	}
	if (rc && !strstr(refusal.text, "already in the process of unplug"))
		return err_set(err, rc, "%s", refusal.text);
	if (rc && !before)
		return err_set(err, -EBUSY, "its owner is taking the card %s out", nic->device);
	loop_until(&sidecar->loop, deleted, relink, ring_now_ns() + UNPLUG_WAIT_MS * NS_PER_MS);
	return nic->deleted ? 0 : err_set(err, -EBUSY, "the guest does not let go of its card %s",
					  nic->device);
}

/* By words as they were on the command line: QEMU knows the types. */
static int plug_words(struct relink *relink, const json_t *card, struct errinfo *err)
{
	char *words = qemu_options_format(card, false), *line = NULL;
	const char *driver = json_text(card, "driver");
	json_t *reply = NULL;
	int rc;

	/* The first word has no key there. */
	if (!words || asprintf(&line, "device_add %s", words + strlen("driver=")) < 0)
		line = NULL;
	free(words);
	if (!line || !driver[0])
		return err_set(err, -ENOMEM, "no memory for a card");
	rc = monitor_call(&relink->sidecar->monitor, "human-monitor-command",
			  json_pack("{s:s}", "command-line", line), &reply, err);
	free(line);
	if (!rc && json_string_length(reply))
		rc = err_set(err, -EREMOTEIO, "%.300s", json_string_value(reply));
	json_decref(reply);
	return rc;
}

static int plug(struct relink *relink, const json_t *card, struct errinfo *err)
{
	struct monitor *monitor = &relink->sidecar->monitor;
	char *text;
	int rc;

	if (relink->nic->card_json) {
		text = qemu_options_format(card, true);
		rc = monitor_call(monitor, "device_add", text ? json_loads(text, 0, NULL) : NULL,
				  NULL, err);
		free(text);
	} else {
		rc = plug_words(relink, card, err);
	}
	if (!rc)
		monitor_call(monitor, "set_link", json_pack("{s:s,s:b}", "name",
							    relink->nic->device, "up", 1),
			     NULL, NULL);
	return rc;
}

static int64_t retry_wait_ns(unsigned fails)
{
	int64_t wait_ms = RETRY_MIN_MS;

	while (fails-- > 1 && wait_ms < RETRY_MAX_MS)
		wait_ms *= 2;
	return wait_ms * NS_PER_MS;
}

static int run(struct relink *relink, struct response *response, struct errinfo *err)
{
	json_t *card = json_copy(relink->nic->card);
	int rc = connect_backend(relink, err);

	timeline_mark(&response->timeline, "connect");
	keep_choice(relink, card, "addr");
	keep_choice(relink, card, "mac");
	relink->nic->deleted = false;
	if (!rc)
		rc = unplug(relink, err);
	timeline_mark(&response->timeline, "unplug");
	if (!rc)
		rc = plug(relink, card, err);
	timeline_mark(&response->timeline, "plug");
	if (!rc)
		relink->nic->unplugging = false;
	if (relink->nic->gone)
		drop_backend(relink);
	/* What it chose the first time holds for the next. */
	json_object_update(relink->nic->card, card);
	json_decref(card);
	return rc;
}

int strategy_relink(struct response *response, struct errinfo *err)
{
	struct sidecar *sidecar = response->sidecar;
	struct relink relink = {.sidecar = sidecar};
	int index = response->fault.index;
	int rc;

	if (!nics_replaceable(sidecar, index))
		return err_set(err, -ENOENT, "the card's backend cannot be made anew");
	relink.nic = &sidecar->nics.list[index];
	rc = run(&relink, response, err);
	relink.nic->fails = rc ? relink.nic->fails + 1 : 0;
	relink.nic->retry_ns = rc ? ring_now_ns() + retry_wait_ns(relink.nic->fails) : 0;
	sidecar->sense.facts.nics[index].backend_lost = rc && !relink.nic->gone;
	sense_judge(sidecar);
	if (rc) /* not at once again: the guest's disks have their turn */
		sense_attended(sidecar, &response->fault);
	return rc;
}
