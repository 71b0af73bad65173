// SPDX-License-Identifier: GPL-2.0-only
#include "abi/reasons.h"

#include "tests/unit/unit.h"

#define ASSERT_PASS(NAME, name, help)                                                              \
	assert_int_equal(weir_reason_verdict(WEIR_REASON_##NAME), WEIR_VERDICT_PASS);
#define ASSERT_DROP(NAME, name, help)                                                              \
	assert_int_equal(weir_reason_verdict(WEIR_REASON_##NAME), WEIR_VERDICT_DROP);
#define ASSERT_SEND(NAME, name, help)                                                              \
	assert_int_equal(weir_reason_verdict(WEIR_REASON_##NAME), WEIR_VERDICT_SEND);

static void test_verdict_is_that_of_the_list(void **state)
{
	WEIR_REASONS_PASS(ASSERT_PASS)
	WEIR_REASONS_DROP(ASSERT_DROP)
	WEIR_REASONS_SEND(ASSERT_SEND)
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict_is_that_of_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
