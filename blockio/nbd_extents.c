/* SPDX-License-Identifier: Apache-2.0
 *
 * Block status replies.  The server may say anything: what is not contiguous
 * from the start of the request, or empty, is an error; what goes beyond the
 * request or our room is left out.
 */
#include <errno.h>
#include <string.h>

#include "nbd_private.h"

/* Add a run; false when there is no room. */
static bool reply_add(struct nbd_status_reply *reply, uint32_t length, uint32_t flags)
{
	struct nbd_status_run *last = reply->count ? &reply->runs[reply->count - 1] : NULL;

	if (last && last->flags == flags) {
		last->length += length; /* the request has 32 bits, so the sum has */
		return true;
	}
	if (reply->count == NBD_SOURCE_EXTENTS_MAX)
		return false;
	reply->runs[reply->count++] = (struct nbd_status_run){length, flags};
	return true;
}

int nbd_extents_collect(void *arg, const char *context, uint64_t offset, uint32_t *entries,
			size_t entry_count, int *error)
{
	struct nbd_request *request = arg;
	struct nbd_status_reply *reply = request->reply;
	uint64_t left = request->length;

	if (strcmp(context, request->source->context))
		return 0;
	if (reply->count || offset != request->offset)
		goto nonsense;
	for (size_t i = 0; i + 1 < entry_count && left; i += 2) {
		uint32_t length = entries[i] < left ? entries[i] : (uint32_t)left;

		if (!length)
			goto nonsense;
		if (!reply_add(reply, length, entries[i + 1]))
			break;
		left -= length;
	}
	return 0;

nonsense:
	*error = EPROTO;
	return -1;
}

struct nbd_status_reply *nbd_extents_reply(struct nbd_source *source)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < NBD_SOURCE_IN_FLIGHT; i++) {
		const struct nbd_request *request = &source->requests[i];

		if (request->kind == NBD_REQUEST_STATUS)
			taken |= 1u << (request->reply - source->replies);
	}
	for (unsigned i = 0; i < NBD_SOURCE_STATUS_IN_FLIGHT; i++) {
		if (taken & 1u << i)
			continue;
		source->replies[i].count = 0;
		return &source->replies[i];
	}
	return NULL;
}

unsigned nbd_extents_take(struct nbd_source *source, struct nbd_request *request, int *status)
{
	const struct nbd_status_reply *reply = request->reply;
	uint64_t offset = request->offset;

	if (!*status && !reply->count)
		*status = -EPROTO;
	if (*status)
		return 0;
	for (unsigned i = 0; i < reply->count; i++) {
		source->extents[i] = (struct nbd_extent){
		    .offset = offset,
		    .length = reply->runs[i].length,
		    .flags = reply->runs[i].flags,
		};
		offset += reply->runs[i].length;
	}
	return reply->count;
}
