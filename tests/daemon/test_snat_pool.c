// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/snat_pool.h"

#include <errno.h>

#include "src/base/address.h"
#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

uint64_t grace_ticket(const struct grace *grace)
{
	return grace->begun + 1;
}

bool grace_over(const struct grace *grace, uint64_t ticket)
{
	return grace->ended >= ticket;
}

static struct weir_address table[4];

static uint32_t take(struct snat_pool *pool, uint32_t number, const struct grace *grace)
{
	struct weir_address address = address_from_v4(number);
	uint32_t place = 99;

	assert_int_equal(snat_pool_take(pool, &address, grace, &place), 0);
	assert_true(address_equal(&table[place], &address));
	return place;
}

static void test_one_place_for_all_users(void **state)
{
	struct grace grace = { 0 };
	struct snat_pool pool;

	assert_int_equal(snat_pool_init(&pool, table, COUNT(table)), 0);
	assert_int_equal(take(&pool, 1, &grace), take(&pool, 1, &grace));
	assert_int_not_equal(take(&pool, 2, &grace), take(&pool, 1, &grace));
	assert_int_equal(pool.used, 2);
	snat_pool_free(&pool);
}

static void test_a_left_place_waits_for_grace(void **state)
{
	struct grace grace = { 0 };
	struct snat_pool pool;
	struct weir_address five = address_from_v4(5);
	uint32_t first, untouched = 77;

	assert_int_equal(snat_pool_init(&pool, table, COUNT(table)), 0);
	first = take(&pool, 1, &grace);
	take(&pool, 1, &grace);
	take(&pool, 2, &grace);
	take(&pool, 3, &grace);
	take(&pool, 4, &grace);
	assert_int_equal(snat_pool_take(&pool, &five, &grace, &untouched), -ENOSPC);
	/* One of its two users leaves, long ago; then the other. */
	snat_pool_put(&pool, first, &grace);
	grace.begun = 5;
	grace.ended = 5;
	assert_int_equal(snat_pool_take(&pool, &five, &grace, &untouched), -ENOSPC);
	snat_pool_put(&pool, first, &grace);
	assert_int_equal(snat_pool_take(&pool, &five, &grace, &untouched), -ENOSPC);
	assert_int_equal(untouched, 77);
	/* A period that ran already does not count, the next one does. */
	grace.begun = 6;
	grace.ended = 6;
	assert_int_equal(take(&pool, 5, &grace), first);
	snat_pool_free(&pool);
}

static void test_an_address_may_come_back(void **state)
{
	struct grace grace = { 0 };
	struct snat_pool pool;
	uint32_t first;

	assert_int_equal(snat_pool_init(&pool, table, COUNT(table)), 0);
	first = take(&pool, 1, &grace);
	snat_pool_put(&pool, first, &grace);
	assert_int_equal(take(&pool, 1, &grace), first);
	assert_int_not_equal(take(&pool, 2, &grace), first);
	snat_pool_free(&pool);
}

static void test_rows(void **state)
{
	struct weir_address addresses[3] = { address_from_v4(1), address_from_v4(2),
					     address_from_v4(3) };
	struct grace grace = { 0 };
	union weir_range range;
	struct snat_pool pool;

	assert_int_equal(snat_pool_init(&pool, table, COUNT(table)), 0);
	assert_int_equal(snat_pool_take_row(&pool, addresses, 3, &range), 0);
	assert_int_equal(range.length, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(address_equal(&table[range.offset + i], &addresses[i]));
	assert_int_equal(snat_pool_take_row(&pool, addresses, 2, &range), -ENOSPC);
	assert_int_equal(take(&pool, 9, &grace), 3);
	snat_pool_free(&pool);
}

static void test_no_memory(void **state)
{
	struct snat_pool pool;

	allocation_fail_at(1);
	assert_int_equal(snat_pool_init(&pool, table, 4), -ENOMEM);
	allocation_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_place_for_all_users),
		cmocka_unit_test(test_a_left_place_waits_for_grace),
		cmocka_unit_test(test_an_address_may_come_back),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
