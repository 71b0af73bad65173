// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/snat_pool.h"

#include <errno.h>
#include <string.h>

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

static void begin(struct snat_pool *pool, const struct grace *grace)
{
	memset(table, 0, sizeof(table));
	assert_int_equal(snat_pool_init(pool, table, COUNT(table), grace), 0);
}

static void pass_grace(struct grace *grace)
{
	grace->ended = ++grace->begun;
}

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

	begin(&pool, &grace);
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

	begin(&pool, &grace);
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

	begin(&pool, &grace);
	first = take(&pool, 1, &grace);
	snat_pool_put(&pool, first, &grace);
	assert_int_equal(take(&pool, 1, &grace), first);
	assert_int_not_equal(take(&pool, 2, &grace), first);
	snat_pool_free(&pool);
}

/* The first @count of 1, 2, ... beginning with @first. */
static int take_row(struct snat_pool *pool, uint32_t first, uint32_t count,
		    const struct grace *grace, union weir_range *ret)
{
	struct weir_address addresses[COUNT(table) + 1];

	for (uint32_t i = 0; i < count; i++)
		addresses[i] = address_from_v4(first + i);
	return snat_pool_take_row(pool, addresses, count, grace, ret);
}

static void test_rows(void **state)
{
	struct grace grace = { 0 };
	union weir_range range, again;
	struct snat_pool pool;

	begin(&pool, &grace);
	assert_int_equal(take_row(&pool, 1, 3, &grace, &range), 0);
	assert_int_equal(range.length, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(address_to_v4(&table[range.offset + i]), 1 + i);
	assert_int_equal(take_row(&pool, 7, 2, &grace, &again), -ENOSPC);
	assert_int_equal(take_row(&pool, 1, COUNT(table) + 1, &grace, &again), -ENOSPC);
	/* The same row again, or a part of it, is the same place with one user more. */
	assert_int_equal(take_row(&pool, 1, 3, &grace, &again), 0);
	assert_int_equal(again.word, range.word);
	assert_int_equal(take_row(&pool, 2, 2, &grace, &again), 0);
	assert_int_equal(again.offset, range.offset + 1);
	assert_int_equal(pool.places[range.offset].users, 2);
	assert_int_equal(pool.places[range.offset + 2].users, 3);
	/* And a single one of them, too. */
	assert_int_equal(take(&pool, 3, &grace), range.offset + 2);
	assert_int_equal(take(&pool, 9, &grace), 3);
	snat_pool_free(&pool);
}

static void test_a_left_row_waits_for_grace(void **state)
{
	union weir_range range, other = { .word = 77 };
	struct grace grace = { 0 };
	struct snat_pool pool;

	begin(&pool, &grace);
	assert_int_equal(take_row(&pool, 1, 3, &grace, &range), 0);
	assert_int_equal(take_row(&pool, 1, 3, &grace, &range), 0);
	snat_pool_put_row(&pool, range, &grace);
	pass_grace(&grace);
	assert_int_equal(take_row(&pool, 5, 2, &grace, &other), -ENOSPC);
	snat_pool_put_row(&pool, range, &grace);
	assert_int_equal(take_row(&pool, 5, 2, &grace, &other), -ENOSPC);
	assert_int_equal(other.word, 77);
	assert_int_equal(address_to_v4(&table[range.offset]), 1);
	pass_grace(&grace);
	assert_int_equal(take_row(&pool, 5, 2, &grace, &other), 0);
	assert_int_equal(other.offset, range.offset);
	/* One that is gone in part is no row any more. */
	assert_int_equal(take_row(&pool, 1, 3, &grace, &range), -ENOSPC);
	snat_pool_put_row(&pool, (union weir_range){ .word = 0 }, &grace);
	snat_pool_free(&pool);
}

/* The same row comes back before its grace period has passed: it is what it was. */
static void test_a_row_may_come_back(void **state)
{
	struct grace grace = { 0 };
	union weir_range range, again;
	struct snat_pool pool;

	begin(&pool, &grace);
	assert_int_equal(take_row(&pool, 1, 3, &grace, &range), 0);
	snat_pool_put_row(&pool, range, &grace);
	assert_int_equal(take_row(&pool, 1, 3, &grace, &again), 0);
	assert_int_equal(again.word, range.word);
	pass_grace(&grace);
	assert_int_equal(take_row(&pool, 5, 2, &grace, &again), -ENOSPC);
	snat_pool_free(&pool);
}

/* What an earlier daemon has left: with users, or free after a grace period. */
static void test_adopted(void **state)
{
	struct weir_address nine = address_from_v4(9);
	struct grace grace = { 0 };
	struct snat_pool pool;
	uint32_t place;

	memset(table, 0, sizeof(table));
	for (uint32_t i = 0; i < COUNT(table); i++)
		table[i] = address_from_v4(i + 1);
	assert_int_equal(snat_pool_init(&pool, table, COUNT(table), &grace), 0);
	snat_pool_adopt(&pool, 1);
	snat_pool_adopt(&pool, 1);
	assert_int_equal(snat_pool_take(&pool, &nine, &grace, &place), -ENOSPC);
	/* An address that is there is found. */
	assert_int_equal(take(&pool, 3, &grace), 2);
	pass_grace(&grace);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_not_equal(take(&pool, 10 + i, &grace) % 3, 1);
	assert_int_equal(snat_pool_take(&pool, &nine, &grace, &place), -ENOSPC);
	assert_int_equal(pool.places[1].users, 2);
	snat_pool_put(&pool, 1, &grace);
	snat_pool_put(&pool, 1, &grace);
	pass_grace(&grace);
	assert_int_equal(take(&pool, 9, &grace), 1);
	snat_pool_free(&pool);
}

static void test_no_memory(void **state)
{
	struct grace grace = { 0 };
	struct snat_pool pool;

	allocation_fail_at(1);
	assert_int_equal(snat_pool_init(&pool, table, 4, &grace), -ENOMEM);
	allocation_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_place_for_all_users),
		cmocka_unit_test(test_a_left_place_waits_for_grace),
		cmocka_unit_test(test_an_address_may_come_back),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_a_left_row_waits_for_grace),
		cmocka_unit_test(test_a_row_may_come_back),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
