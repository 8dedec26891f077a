/* SPDX-License-Identifier: Apache-2.0
 *
 * errinfo: how a failure travels up: a negative errno and one sentence that
 * names the object, the numbers and what to do.  The function that fails fills
 * it in, everybody between passes it on, only the engine prints it.
 */
#ifndef QHEAL_ERRINFO_H
#define QHEAL_ERRINFO_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "utf8.h"

#define ERRINFO_TEXT_MAX 512 /* two paths and a sentence */

struct errinfo {
	int code; /* negative errno, 0 while nothing failed */
	char text[ERRINFO_TEXT_MAX];
};

/* Record a failure and return CODE (a negative errno), so that callers can
 * write `return err_set(err, -EIO, "...")`.  The first error of an operation is
 * the one kept: a later call leaves the text alone.  ERR may be NULL. */
__attribute__((format(printf, 3, 4))) static inline int
err_set(struct errinfo *err, int code, const char *format, ...)
{
	va_list args;

	if (!err || err->code)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	err->text[utf8_whole(err->text, strlen(err->text))] = '\0';
	return code;
}

static inline void err_clear(struct errinfo *err)
{
	err->code = 0;
	err->text[0] = '\0';
}

#endif
