/* SPDX-License-Identifier: Apache-2.0
 *
 * From a pointer to a member back to the structure around it.
 */
#ifndef MEMBER_H
#define MEMBER_H

#include <stddef.h>

#define member_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

#endif
