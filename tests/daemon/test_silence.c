// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/silence.h"

#include "tests/unit/unit.h"

static bool step(struct silence *silence, uint64_t in, uint64_t out, uint64_t now_ms)
{
	struct weir_traffic traffic = { .in_packets = in, .out_packets = out };

	return silence_step(silence, &traffic, now_ms);
}

static void test_answering_and_idle_backends(void **state)
{
	struct silence silence = { 0 };

	assert_false(step(&silence, 0, 0, 1000));
	assert_false(step(&silence, 10, 8, 2000));
	assert_false(step(&silence, 20, 9, 3000));
	assert_false(step(&silence, 20, 9, 4000));
	/* Late answers to what came before. */
	assert_false(step(&silence, 20, 12, 5000));
}

static void test_silent_backend(void **state)
{
	struct silence silence = { 0 };

	assert_false(step(&silence, 10, 8, 1000));
	assert_true(step(&silence, 11, 8, 2000));
	/* Not again at once. */
	assert_false(step(&silence, 12, 8, 3000));
	assert_false(step(&silence, 13, 8, 2000 + SILENCE_PAUSE_MS - 1));
	assert_true(step(&silence, 14, 8, 2000 + SILENCE_PAUSE_MS));
	assert_false(step(&silence, 15, 9, 3000 + 2 * SILENCE_PAUSE_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answering_and_idle_backends),
		cmocka_unit_test(test_silent_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
