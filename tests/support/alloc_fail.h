/* SPDX-License-Identifier: Apache-2.0
 *
 * alloc_fail: makes one chosen allocation fail.  The test program is linked with
 *
 *	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
 *
 * which reaches our own code (also under AddressSanitizer); jansson's is reached
 * by alloc_fail_jansson().
 *
 *	for (unsigned n = 1; alloc_fail_at(n), run(), alloc_fail_off(); n++)
 *		;
 */
#ifndef ALLOC_FAIL_H
#define ALLOC_FAIL_H

#include <stdbool.h>

/* Let the Nth allocation from now fail (1: the next), and no other. */
void alloc_fail_at(unsigned n);
/* No failure any more.  True if one has happened since alloc_fail_at(). */
bool alloc_fail_off(void);
/* From now on jansson allocates through the same counter, except for sizes where
 * jansson itself does not survive a failure. */
void alloc_fail_jansson(void);

#endif
