/* SPDX-License-Identifier: Apache-2.0
 *
 * The scanner of framer.h.
 *
 *   between objects --{--> inside --"--> in a string --\--> escaped
 *
 * Inside, braces and brackets count alike; the object ends where the count is
 * zero again.
 */
#include "framer.h"

#include "qmp.h"

void qmp_framer_init(struct qmp_framer *framer, bool sentinels)
{
	*framer = (struct qmp_framer){.sentinels = sentinels};
}

static bool is_space(unsigned char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static enum qmp_frame scan_string(struct qmp_framer *framer, unsigned char byte)
{
	if (framer->escaped)
		framer->escaped = false;
	else if (byte == '\\')
		framer->escaped = true;
	else if (byte == '"')
		framer->in_string = false;
	return QMP_FRAME_MORE;
}

static enum qmp_frame scan_inside(struct qmp_framer *framer, unsigned char byte)
{
	switch (byte) {
	case '"':
		framer->in_string = true;
		return QMP_FRAME_MORE;
	case '{':
	case '[':
		return ++framer->depth > QMP_DEPTH_MAX ? QMP_FRAME_DEEP : QMP_FRAME_MORE;
	case '}':
	case ']':
		return --framer->depth ? QMP_FRAME_MORE : QMP_FRAME_MESSAGE;
	default:
		return QMP_FRAME_MORE;
	}
}

static enum qmp_frame scan_byte(struct qmp_framer *framer, unsigned char byte)
{
	if (byte == QMP_SENTINEL && framer->sentinels)
		return QMP_FRAME_SENTINEL;
	if (!framer->depth && is_space(byte))
		return QMP_FRAME_MORE;
	if (!framer->depth && byte != '{')
		return QMP_FRAME_JUNK;
	if (++framer->size_bytes > QMP_MESSAGE_MAX)
		return QMP_FRAME_LONG;
	return framer->in_string ? scan_string(framer, byte) : scan_inside(framer, byte);
}

enum qmp_frame qmp_framer_scan(struct qmp_framer *framer, const char *data, size_t size,
			       size_t *used)
{
	for (size_t i = 0; i < size; i++) {
		enum qmp_frame frame = scan_byte(framer, (unsigned char)data[i]);

		if (frame == QMP_FRAME_MORE)
			continue;
		*used = frame <= QMP_FRAME_SENTINEL ? i + 1 : i;
		if (frame <= QMP_FRAME_SENTINEL)
			qmp_framer_init(framer, framer->sentinels);
		return frame;
	}
	*used = size;
	return QMP_FRAME_MORE;
}
