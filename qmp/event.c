/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: to the caller's callback, then to the subscribers of their name.
 *
 * A subscriber may end its own or another's subscription, or the whole client,
 * while an event is being delivered: nodes stay in the list until the delivery
 * is over.  One that joins meanwhile gets the next event.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int qmp_subscribe(struct qmp *qmp, const char *name, qmp_event_fn *fn, void *arg)
{
	struct qmp_subscriber **link = &qmp->subscribers.head, *subscriber;
	size_t size = strlen(name ? name : "") + 1;

	if (!fn)
		return qmp_note(qmp, -EINVAL, "%s: a subscription needs a function",
				qmp->address.text);
	subscriber = malloc(sizeof(*subscriber) + size);
	if (!subscriber)
		return qmp_note(qmp, -ENOMEM, "%s: out of memory", qmp->address.text);
	subscriber->next = NULL;
	subscriber->fn = fn;
	subscriber->arg = arg;
	memcpy(subscriber->name, name ? name : "", size);
	while (*link)
		link = &(*link)->next;
	*link = subscriber;
	return 0;
}

static void subscribers_sweep(struct qmp_subscribers *subscribers)
{
	struct qmp_subscriber **link = &subscribers->head;

	while (*link) {
		struct qmp_subscriber *subscriber = *link;

		if (subscriber->fn) {
			link = &subscriber->next;
			continue;
		}
		*link = subscriber->next;
		free(subscriber);
	}
}

void qmp_unsubscribe(struct qmp *qmp, qmp_event_fn *fn, void *arg)
{
	struct qmp_subscriber *subscriber = qmp->subscribers.head;

	for (; subscriber; subscriber = subscriber->next) {
		if (subscriber->fn == fn && subscriber->arg == arg)
			subscriber->fn = NULL;
	}
	if (!qmp->subscribers.delivering)
		subscribers_sweep(&qmp->subscribers);
}

void qmp_subscribers_release(struct qmp_subscribers *subscribers)
{
	struct qmp_subscriber *subscriber = subscribers->head;

	for (; subscriber; subscriber = subscriber->next)
		subscriber->fn = NULL;
	subscribers_sweep(subscribers);
}

/* 0 when the peer sent no stamp or no sensible one. */
static int64_t event_time_us(const json_t *message)
{
	const json_t *stamp = json_object_get(message, "timestamp");
	int64_t seconds = json_integer_value(json_object_get(stamp, "seconds"));
	int64_t micros = json_integer_value(json_object_get(stamp, "microseconds"));
	int64_t time_us;

	if (seconds < 0 || micros < 0 || __builtin_mul_overflow(seconds, 1000000, &time_us) ||
	    __builtin_add_overflow(time_us, micros, &time_us))
		return 0;
	return time_us;
}

void qmp_event_deliver(struct qmp *qmp, const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "event"));
	json_t *data = json_object_get(message, "data");
	int64_t time_us = event_time_us(message);
	struct qmp_subscriber *subscriber, *last = NULL;

	if (!name) {
		qmp_fail(qmp, -EPROTO, "%s sent an event without a name", qmp->address.text);
		return;
	}
	qmp->subscribers.delivering++;
	if (qmp->callbacks.event)
		qmp->callbacks.event(qmp->arg, name, data, time_us);
	for (subscriber = qmp->subscribers.head; subscriber; subscriber = subscriber->next)
		last = subscriber;
	subscriber = last ? qmp->subscribers.head : NULL;
	for (; subscriber && qmp->state != QMP_CLOSED; subscriber = subscriber->next) {
		if (subscriber->fn && (!subscriber->name[0] || !strcmp(subscriber->name, name)))
			subscriber->fn(subscriber->arg, name, data, time_us);
		if (subscriber == last)
			break;
	}
	qmp->subscribers.delivering--;
	subscribers_sweep(&qmp->subscribers);
}
