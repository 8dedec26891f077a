/* SPDX-License-Identifier: Apache-2.0
 *
 * The wrappers of alloc_fail.h.  This file is linked into every test, also those
 * without --wrap, where the __real_ functions do not exist and nobody calls the
 * wrappers: hence the weak references.
 */
#include "alloc_fail.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size) __attribute__((weak));
void *__real_calloc(size_t count, size_t size) __attribute__((weak));
void *__real_realloc(void *old, size_t size) __attribute__((weak));
char *__real_strdup(const char *text) __attribute__((weak));

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static unsigned countdown; /* 0: never */
static bool failed;

static bool must_fail(void)
{
	if (!countdown || --countdown)
		return false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void alloc_fail_at(unsigned n)
{
	countdown = n;
	failed = false;
}

bool alloc_fail_off(void)
{
	countdown = 0;
	return failed;
}

/* jansson 2.14 aborts (lex_unget_unsave) or tells of a syntax error when the
 * buffer of its lexer cannot grow.  Its sizes are the powers of two from 32. */
static bool is_lexer_buffer(size_t size)
{
	return size >= 32 && !(size & (size - 1));
}

static void *jansson_malloc(size_t size)
{
	return !is_lexer_buffer(size) && must_fail()
		       ? NULL
		       : (__real_malloc ? __real_malloc : malloc)(size);
}

static void jansson_free(void *data)
{
	free(data);
}

void alloc_fail_jansson(void)
{
	json_set_alloc_funcs(jansson_malloc, jansson_free);
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return must_fail() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	return must_fail() ? NULL : __real_strdup(text);
}
