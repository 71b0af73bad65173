// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/audit.h"

#include "tests/unit/unit.h"

static bool step(struct audit_memory *memory, uint64_t total, uint32_t half_open,
		 uint32_t established, uint32_t seen_half_open, uint32_t seen_established,
		 struct audit_correction *ret)
{
	struct weir_load load = { .total = total,
				  .half_open = half_open,
				  .established = established };
	struct weir_audit audit = { seen_half_open, seen_established };

	return audit_step(memory, &load, &audit, ret);
}

static void test_agreement(void **state)
{
	struct audit_correction correction = { 7, 7 };
	struct audit_memory memory = { 0 };

	for (int i = 0; i < 5; i++)
		assert_false(step(&memory, 10, 1, 2, 1, 2, &correction));
	assert_int_equal(correction.half_open, 7);
	assert_int_equal(correction.established, 7);
}

static void test_difference_seen_twice(void **state)
{
	struct audit_correction correction;
	struct audit_memory memory = { 0 };

	assert_false(step(&memory, 10, 3, 5, 1, 6, &correction));
	assert_true(step(&memory, 10, 3, 5, 1, 6, &correction));
	assert_int_equal(correction.half_open, -2);
	assert_int_equal(correction.established, 1);
	/* Corrected: not again. */
	assert_false(step(&memory, 10, 1, 6, 1, 6, &correction));
	assert_false(step(&memory, 10, 1, 6, 1, 6, &correction));
}

static void test_correction_that_did_not_help_is_made_again(void **state)
{
	struct audit_correction correction;
	struct audit_memory memory = { 0 };

	assert_false(step(&memory, 10, 3, 0, 0, 0, &correction));
	assert_true(step(&memory, 10, 3, 0, 0, 0, &correction));
	assert_false(step(&memory, 10, 3, 0, 0, 0, &correction));
	assert_true(step(&memory, 10, 3, 0, 0, 0, &correction));
	assert_int_equal(correction.half_open, -3);
	memory = (struct audit_memory){ 0 };
	assert_false(step(&memory, 10, 0, 3, 0, 4, &correction));
	assert_true(step(&memory, 10, 0, 3, 0, 4, &correction));
	/* Another count, by chance as far off as the one that was corrected. */
	assert_false(step(&memory, 10, 0, 4, 0, 5, &correction));
	assert_true(step(&memory, 10, 0, 4, 0, 5, &correction));
}

static void test_nothing_is_proven_while_flows_come_and_go(void **state)
{
	struct audit_correction correction;
	struct audit_memory memory = { 0 };

	/* A new flow between two walks. */
	assert_false(step(&memory, 10, 3, 0, 0, 0, &correction));
	assert_false(step(&memory, 11, 3, 0, 0, 0, &correction));
	/* The numbers move: the walk saw a flow before and after its promotion. */
	assert_false(step(&memory, 11, 2, 1, 0, 0, &correction));
	assert_false(step(&memory, 11, 1, 2, 0, 0, &correction));
	/* The difference is another one. */
	assert_false(step(&memory, 11, 1, 2, 0, 1, &correction));
	assert_true(step(&memory, 11, 1, 2, 0, 1, &correction));
}

static void test_first_walk_of_an_idle_backend(void **state)
{
	struct audit_correction correction;
	struct audit_memory memory = { 0 };

	/* All zero in the load and in the memory, but not the same difference. */
	assert_false(step(&memory, 0, 0, 0, 1, 0, &correction));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_difference_seen_twice),
		cmocka_unit_test(test_correction_that_did_not_help_is_made_again),
		cmocka_unit_test(test_nothing_is_proven_while_flows_come_and_go),
		cmocka_unit_test(test_first_walk_of_an_idle_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
