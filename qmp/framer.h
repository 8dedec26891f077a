/* SPDX-License-Identifier: Apache-2.0
 *
 * framer: finds where one JSON object ends in a stream of bytes that arrives in
 * pieces.  Pure: no memory, no JSON values, each byte is looked at once.  It
 * knows strings, escapes and nesting, not grammar: "{]" is a frame, and the JSON
 * parser refuses it.
 */
#ifndef QMP_FRAMER_H
#define QMP_FRAMER_H

#include <stdbool.h>
#include <stddef.h>

#define QMP_SENTINEL 0xff /* the agent's delimiter: a byte that UTF-8 never has */

enum qmp_frame {
	QMP_FRAME_MORE,	    /* everything consumed, no end yet */
	QMP_FRAME_MESSAGE,  /* the last byte consumed ends an object */
	QMP_FRAME_SENTINEL, /* the last byte consumed is a sentinel: forget what precedes it */
	QMP_FRAME_JUNK,	    /* the next byte begins no object */
	QMP_FRAME_DEEP,	    /* nested deeper than QMP_DEPTH_MAX */
	QMP_FRAME_LONG,	    /* longer than QMP_MESSAGE_MAX */
};

struct qmp_framer {
	size_t size_bytes; /* of the object so far; 0 between objects */
	unsigned depth;
	bool in_string, escaped;
	bool sentinels; /* the peer may send them */
};

void qmp_framer_init(struct qmp_framer *framer, bool sentinels);

/* Look at up to SIZE bytes and stop behind the first object; *USED says how many
 * were consumed.  After JUNK, DEEP and LONG the stream cannot be followed any
 * more. */
enum qmp_frame qmp_framer_scan(struct qmp_framer *framer, const char *data, size_t size,
			       size_t *used);

#endif
