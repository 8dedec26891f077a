/* SPDX-License-Identifier: Apache-2.0
 *
 * Arbitrary bytes from the monitor, cut arbitrarily: to the framer, to a whole
 * client, and to the schema table.
 *
 * The first byte chooses: bit 0 the kind of peer, bit 1 whether a proper
 * greeting comes first, bits 2 to 7 the seed of the cuts.  The bytes "$1" to
 * "$9" become the ids of the commands under way, so that replies find them.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "framer.h"
#include "qmp.h"

#define COMMANDS 9
#define PIECE_MAX 512

struct play {
	struct qmp *qmp;
	int peer;
	int64_t first_id;
	unsigned executed, replied, closed;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void on_reply(void *arg, const struct qmp_reply *reply)
{
	struct play *play = arg;

	play->replied++;
	check((reply->status == 0) == (reply->result != NULL));
	check((reply->status == 0) == (reply->error_text == NULL));
	if (reply->status == 0 && json_is_array(reply->result)) {
		struct qmp_schema *schema = qmp_schema_new(reply->result);

		qmp_schema_has(schema, "a/b/c");
		qmp_schema_has(schema, "blockdev-add/raw/driver");
		qmp_schema_free(schema);
	}
}

static void on_event(void *arg, const char *name, json_t *data, int64_t time_us)
{
	struct play *play = arg;

	check(name && time_us >= 0);
	if (!strcmp(name, "FREE"))
		qmp_free(play->qmp);
	if (!strcmp(name, "CANCEL"))
		qmp_cancel(play->qmp, play->first_id);
}

static void on_ready(void *arg, struct qmp *qmp)
{
	struct play *play = arg;

	for (unsigned i = 0; i < COMMANDS; i++) {
		int64_t id = qmp_execute(qmp, "x", NULL, QMP_TIMEOUT_NONE, on_reply, play);

		check(id > 0);
		play->first_id = i ? play->first_id : id;
		play->executed++;
	}
}

static void on_closed(void *arg, int status)
{
	struct play *play = arg;

	check(status < 0 && play->replied == play->executed && qmp_error(play->qmp)[0]);
	play->closed++;
}

/* Frames are the same however the bytes are cut. */
static void framer_play(const char *data, size_t size, unsigned seed)
{
	struct qmp_framer whole, cut;
	size_t used, at = 0, end = 0;
	enum qmp_frame expected, frame = QMP_FRAME_MORE;

	qmp_framer_init(&whole, seed & 1);
	qmp_framer_init(&cut, seed & 1);
	expected = qmp_framer_scan(&whole, data, size, &end);
	while (frame == QMP_FRAME_MORE && at < size) {
		size_t piece = 1 + rand_r(&seed) % 7;

		piece = piece < size - at ? piece : size - at;
		frame = qmp_framer_scan(&cut, data + at, piece, &used);
		at += used;
	}
	check(frame == expected && at == end);
}

static void peer_send(struct play *play, const char *data, size_t size)
{
	char text[32];

	if (size == 2 && data[0] == '$' && data[1] > '0' && data[1] <= '9') {
		size = (size_t)snprintf(text, sizeof(text), "%lld",
					(long long)play->first_id + data[1] - '1');
		data = text;
	}
	if (send(play->peer, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		check(errno == EPIPE || errno == ECONNRESET || errno == EAGAIN);
}

/* The length of the next piece; "$N" is one of its own. */
static size_t piece_size(const char *data, size_t size, unsigned *seed)
{
	size_t limit = 1 + rand_r(seed) % PIECE_MAX;
	const char *dollar;

	if (size > 1 && data[0] == '$')
		return 2;
	limit = limit < size ? limit : size;
	dollar = memchr(data, '$', limit);
	return dollar && dollar > data ? (size_t)(dollar - data) : limit;
}

/* Take the client's messages; answer the first as a real peer would. */
static void handshake_play(struct play *play, enum qmp_peer peer)
{
	static const char greeting[] =
		"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": "
		"2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": "
		"[\"oob\"]}}";
	char text[512], reply[128];
	ssize_t size;
	const char *id;

	if (peer == QMP_PEER_QEMU)
		peer_send(play, greeting, sizeof(greeting) - 1);
	qmp_process(play->qmp, POLLIN);
	size = recv(play->peer, text, sizeof(text) - 1, MSG_DONTWAIT);
	check(size > 0);
	text[size] = '\0';
	id = strstr(text, "\"id\":");
	check(id);
	snprintf(reply, sizeof(reply),
		 peer == QMP_PEER_QEMU ? "{\"return\": {}, \"id\": %lld}"
				       : "\xff{\"return\": %lld}",
		 strtoll(id + 5, NULL, 10));
	peer_send(play, reply, strlen(reply));
	qmp_process(play->qmp, POLLIN);
	check(play->executed == COMMANDS);
}

static void client_play(const char *data, size_t size, unsigned choice)
{
	static const struct qmp_callbacks callbacks = {on_ready, on_event, on_closed};
	enum qmp_peer peer = choice & 1 ? QMP_PEER_AGENT : QMP_PEER_QEMU;
	unsigned seed = choice >> 2;
	struct play play = {0};
	int pair[2], status = 0;

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	play.peer = pair[1];
	play.qmp = qmp_attach(pair[0], peer, &callbacks, &play, QMP_TIMEOUT_NONE);
	check(play.qmp);
	if (choice & 2)
		handshake_play(&play, peer);
	while (size && !status) {
		size_t piece = piece_size(data, size, &seed);

		peer_send(&play, data, piece);
		data += piece;
		size -= piece;
		status = qmp_process(play.qmp, POLLIN);
	}
	close(play.peer);
	while (!status)
		status = qmp_process(play.qmp, POLLIN);
	if (status != -ECANCELED) {
		check(play.closed == 1);
		qmp_free(play.qmp);
	}
	check(play.replied == play.executed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	framer_play((const char *)data + 1, size - 1, data[0]);
	client_play((const char *)data + 1, size - 1, data[0]);
	return 0;
}
