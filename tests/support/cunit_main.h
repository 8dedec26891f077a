/* SPDX-License-Identifier: Apache-2.0
 *
 * The main() of every unit test: one suite, its cases, CUnit's summary, and an
 * exit status that is 0 only when every case ran and held.
 */
#ifndef CUNIT_MAIN_H
#define CUNIT_MAIN_H

struct cunit_case {
	const char *name;
	void (*fn)(void);
};

int cunit_run(const char *suite, const struct cunit_case *cases, unsigned count);

#endif
