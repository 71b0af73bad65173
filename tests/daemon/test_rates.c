// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/rates.h"

#include "tests/unit/unit.h"

static void expect(const struct rates *rates, uint64_t packets, uint64_t flows)
{
	assert_int_equal(rates->packets_per_s, packets);
	assert_int_equal(rates->flows_per_s, flows);
}

/* Tables that were adopted have counted already: the first sample tells no rate. */
static void test_first_sample(void **state)
{
	struct rates rates = { 0 };

	expect(&rates, 0, 0);
	rates_sample(&rates, 5000, 1000000, 5000);
	expect(&rates, 0, 0);
}

static void test_between_the_last_two(void **state)
{
	struct rates rates = { 0 };

	rates_sample(&rates, 0, 100, 10);
	rates_sample(&rates, 1000, 400, 12);
	expect(&rates, 300, 2);
	rates_sample(&rates, 3000, 2400, 13);
	expect(&rates, 1000, 1); /* rounded */
	rates_sample(&rates, 4000, 2400, 13);
	expect(&rates, 0, 0);
}

static void test_no_time_between(void **state)
{
	struct rates rates = { 0 };

	rates_sample(&rates, 1000, 0, 0);
	rates_sample(&rates, 2000, 70, 7);
	rates_sample(&rates, 2000, 90, 9);
	expect(&rates, 70, 7);
	rates_sample(&rates, 2500, 120, 12);
	expect(&rates, 100, 10);
}

static void test_counters_begin_anew(void **state)
{
	struct rates rates = { 0 };

	rates_sample(&rates, 1000, 1ULL << 60, 1ULL << 50);
	rates_sample(&rates, 2000, 5, 5);
	expect(&rates, 0, 0);
	rates_sample(&rates, 3000, 15, 6);
	expect(&rates, 10, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_sample),
		cmocka_unit_test(test_between_the_last_two),
		cmocka_unit_test(test_no_time_between),
		cmocka_unit_test(test_counters_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
