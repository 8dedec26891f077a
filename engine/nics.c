/* SPDX-License-Identifier: Apache-2.0
 *
 * nics: see nics.h.
 */
#include "nics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "definition.h"
#include "jsontext.h"
#include "qemu_options.h"
#include "sidecar.h"

/* --- from the command line --- */

static bool is_option(const json_t *argv, size_t i, const char *name)
{
	const char *text = json_string_value(json_array_get(argv, i));

	return text && text[0] == '-' && !strcmp(text + 1 + (text[1] == '-'), name);
}

/* QMP wants types where the command line has words. */
static json_t *typed(const char *key, const json_t *value)
{
	static const char *const numbers[] = {"reconnect", "reconnect-ms"};
	static const char *const flags[] = {"server", "addr.abstract", "addr.tight", "addr.ipv4",
					    "addr.ipv6", "addr.keep-alive"};
	const char *text = json_string_value(value);

	for (unsigned i = 0; text && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (!strcmp(key, numbers[i]))
			return json_integer(atoll(text));
	}
	for (unsigned i = 0; text && i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(key, flags[i]))
			return json_boolean(qemu_options_true(value));
	}
	return json_incref((json_t *)value);
}

/* Nested: {"type", "id", "addr": {...}}. */
static json_t *backend_of(json_t *options)
{
	json_t *backend = json_object(), *addr = json_object(), *value;
	const char *key;

	json_object_foreach(options, key, value) {
		if (!strncmp(key, "addr.", 5))
			json_object_set_new(addr, key + 5, typed(key, value));
		else
			json_object_set_new(backend, key, typed(key, value));
	}
	json_object_set_new(backend, "addr", addr);
	return backend;
}

/* Only a client that nobody told to try again: the others come back by themselves. */
static bool is_lost_for_good(const json_t *backend)
{
	return !strcmp(json_text(backend, "type"), "stream") &&
	       !json_is_true(json_object_get(backend, "server")) &&
	       !json_integer_value(json_object_get(backend, "reconnect")) &&
	       !json_integer_value(json_object_get(backend, "reconnect-ms"));
}

static void find_backend(struct nic *nic, const json_t *argv)
{
	for (size_t i = 1; i + 1 < json_array_size(argv); i++) {
		json_t *options = is_option(argv, i, "netdev")
					  ? qemu_options_parse(
						    json_string_value(json_array_get(argv, i + 1)),
						    "type") : NULL;

		if (options && !strcmp(json_text(options, "id"), nic->netdev)) {
			json_t *backend = backend_of(options);

			if (is_lost_for_good(backend))
				nic->backend = json_incref(backend);
			snprintf(nic->path, sizeof(nic->path), "%s",
				 json_text(json_object_get(backend, "addr"), "path"));
			json_decref(backend);
		}
		json_decref(options);
	}
}

static bool copy_id(char id[64], const char *text)
{
	snprintf(id, 64, "%s", text);
	return text[0] && strlen(text) < 64;
}

void nics_parse(struct nics *nics, const json_t *argv)
{
	nics->count = 0;
	for (size_t i = 1; i + 1 < json_array_size(argv) && nics->count < DETECT_NICS_MAX; i++) {
		const char *text = json_string_value(json_array_get(argv, i + 1));
		struct nic nic = {0};

		if (!text || !is_option(argv, i, "device"))
			continue;
		nic.card = qemu_options_parse(text, "driver");
		nic.card_json = qemu_options_is_json(text);
		if (copy_id(nic.netdev, json_text(nic.card, "netdev")) &&
		    copy_id(nic.device, json_text(nic.card, "id"))) {
			find_backend(&nic, argv);
			nics->list[nics->count++] = nic;
		} else {
			json_decref(nic.card);
		}
	}
}

void nics_release(struct nics *nics)
{
	for (unsigned i = 0; i < nics->count; i++) {
		json_decref(nics->list[i].card);
		json_decref(nics->list[i].backend);
	}
	nics->count = 0;
}

/* --- of a running QEMU --- */

void nics_record(struct sidecar *sidecar)
{
	struct detect_facts *facts = &sidecar->sense.facts;
	struct definition definition;

	if (!sidecar->sense.pid || definition_read(&definition, sidecar->sense.pid, NULL))
		return;
	nics_parse(&sidecar->nics, definition.argv);
	definition_release(&definition);
	facts->nic_count = sidecar->nics.count;
	for (unsigned i = 0; i < facts->nic_count; i++)
		memcpy(facts->nics[i].name, sidecar->nics.list[i].device,
		       sizeof(facts->nics[i].name));
}

bool nics_event(struct sidecar *sidecar, const char *name, const json_t *data)
{
	struct detect_facts *facts = &sidecar->sense.facts;
	bool connected = !strcmp(name, "NETDEV_STREAM_CONNECTED");
	bool lost = !strcmp(name, "NETDEV_STREAM_DISCONNECTED");
	bool deleted = !strcmp(name, "DEVICE_DELETED");

	for (unsigned i = 0; i < facts->nic_count && (connected || lost || deleted); i++) {
		struct nic *nic = &sidecar->nics.list[i];

		if (deleted && !strcmp(json_text(data, "device"), nic->device)) {
			nic->deleted = true;
			nic->gone = !nic->unplugging;
			facts->nics[i].backend_lost &= !nic->gone;
		}
		if (strcmp(json_text(data, "netdev-id"), nic->netdev))
			continue;
		nic->gone &= !connected; /* its owner may have put it back */
		if (nic->gone)
			continue;
		nic->connected = connected;
		facts->nics[i].backend_lost = lost;
	}
	return connected || lost || deleted;
}

/* Whether a socket listens there, without a connection that its owner might take for
 * QEMU's: in the kernel's list its line has the flag __SO_ACCEPTCON. */
static bool listens(const char *path)
{
	FILE *list = fopen("/proc/net/unix", "re");
	char line[512], name[256];
	bool found = false;
	unsigned flags;

	while (list && !found && fgets(line, sizeof(line), list))
		found = sscanf(line, "%*s %*s %*s %x %*s %*s %*s %255s", &flags, name) == 2 &&
			(flags & 0x10000) && !strcmp(name, path);
	if (list)
		fclose(list);
	return found;
}

bool nics_replaceable(const struct sidecar *sidecar, int index)
{
	const struct nic *nic;

	if (index < 0 || (unsigned)index >= sidecar->nics.count)
		return false;
	nic = &sidecar->nics.list[index];
	return nic->backend && !nic->gone && (!nic->path[0] || listens(nic->path));
}

void nics_tick(struct sidecar *sidecar)
{
	for (unsigned i = 0; i < sidecar->nics.count; i++) {
		const struct detect_fault fault = {.kind = FAULT_NIC, .cause = CAUSE_PATH,
						   .index = (int)i};

		const struct nic *nic = &sidecar->nics.list[i];

		if (sidecar->sense.facts.nics[i].backend_lost && (nic->path[0] || nic->retry_ns) &&
		    ring_now_ns() >= nic->retry_ns && nics_replaceable(sidecar, (int)i))
			sense_again(sidecar, &fault);
	}
}
