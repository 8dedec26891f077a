/* SPDX-License-Identifier: Apache-2.0
 *
 * descriptors: how many files this process may have open.  A kept point is read through
 * all newer ones, three files of each and disk; the usual soft limit is 1024.
 */
#ifndef ENGINE_DESCRIPTORS_H
#define ENGINE_DESCRIPTORS_H

/* As many as the hard limit allows; what cannot be had is left as it is. */
void descriptors_raise(void);
/* In a new process, before it is another program: programs with select() take no more. */
void descriptors_restore(void);

#endif
