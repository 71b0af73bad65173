// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/horizon.h"

#include "tests/unit/unit.h"

static void test_without_rate_it_is_the_most(void **state)
{
	struct horizon horizon = { 0 };

	assert_int_equal(horizon_ms(&horizon, 65536, 10000), 10000);
	horizon_sample(&horizon, 1000, 500);
	assert_int_equal(horizon_ms(&horizon, 65536, 10000), 10000);
	horizon_sample(&horizon, 2000, 500);
	assert_int_equal(horizon_ms(&horizon, 65536, 10000), 10000);
}

static void test_places_over_rate(void **state)
{
	struct horizon horizon = { 0 };

	horizon_sample(&horizon, 0, 0);
	horizon_sample(&horizon, 1000, 65536);
	assert_int_equal(horizon_ms(&horizon, 65536, 10000), 1000);
	horizon_sample(&horizon, 2000, 2 * 65536);
	assert_int_equal(horizon_ms(&horizon, 65536, 10000), 1000);
	assert_int_equal(horizon_ms(&horizon, 32768, 10000), 500);
	assert_int_equal(horizon_ms(&horizon, 10 * 65536, 3000), 3000);
}

static void test_only_the_last_samples_count(void **state)
{
	struct horizon horizon = { 0 };

	for (uint64_t i = 0; i < 10; i++)
		horizon_sample(&horizon, i * 1000, 0);
	assert_int_equal(horizon_ms(&horizon, 1000, 10000), 10000);
	/* A flood begins: three intervals later only its rate is left. */
	for (uint64_t i = 1; i < HORIZON_SAMPLES; i++)
		horizon_sample(&horizon, 9000 + i * 1000, i * 1000000);
	assert_int_equal(horizon_ms(&horizon, 1000, 10000), 1);
}

static void test_large_numbers(void **state)
{
	struct horizon horizon = { 0 };
	uint64_t head = 1ULL << 60;

	horizon_sample(&horizon, 1ULL << 50, head);
	horizon_sample(&horizon, (1ULL << 50) + 1000, head + 1);
	assert_int_equal(horizon_ms(&horizon, 1 << 24, 10000), 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_rate_it_is_the_most),
		cmocka_unit_test(test_places_over_rate),
		cmocka_unit_test(test_only_the_last_samples_count),
		cmocka_unit_test(test_large_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
