/* SPDX-License-Identifier: Apache-2.0 */
#include "cunit_main.h"

#include <CUnit/Basic.h>
#include <stdio.h>

int cunit_run(const char *name, const struct cunit_case *cases, unsigned count)
{
	unsigned failed;
	CU_pSuite suite;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(name, NULL, NULL);
	for (unsigned i = 0; suite && i < count; i++) {
		if (!CU_add_test(suite, cases[i].name, cases[i].fn))
			suite = NULL;
	}
	if (!suite) {
		fprintf(stderr, "%s: %s\n", name, CU_get_error_msg());
		CU_cleanup_registry();
		return 1;
	}
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	if (CU_get_number_of_tests_run() != count)
		failed++;
	CU_cleanup_registry();
	return failed ? 1 : 0;
}
