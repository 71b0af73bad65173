// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

static struct grace grace;
static struct ranges ranges;

static int set_up(void **state)
{
	memset(&grace, 0, sizeof(grace));
	return ranges_init(&ranges, 100);
}

static int tear_down(void **state)
{
	ranges_free(&ranges);
	ranges_free(&ranges);
	return 0;
}

static union weir_range run_of(uint32_t offset, uint32_t length)
{
	return (union weir_range){ .offset = offset, .length = length };
}

static void pass_grace(void)
{
	grace.ended = ++grace.begun;
}

static union weir_range take(uint32_t length)
{
	union weir_range range = { .word = UINT64_MAX };

	assert_int_equal(ranges_take(&ranges, length, &grace, &range), 0);
	assert_int_equal(range.length, length);
	return range;
}

static void refuse(uint32_t length)
{
	union weir_range range = { .word = 77 };

	assert_int_equal(ranges_take(&ranges, length, &grace, &range), -ENOSPC);
	assert_int_equal(range.word, 77);
}

static void adopt(uint32_t offset, uint32_t length, int expected)
{
	assert_int_equal(ranges_adopt(&ranges, run_of(offset, length)), expected);
}

static void test_first_fit(void **state)
{
	union weir_range first = take(40), second = take(60);

	assert_int_equal(first.offset, 0);
	assert_int_equal(second.offset, 40);
	refuse(1);
	assert_int_equal(take(0).word, 0);
	ranges_give_back(&ranges, first);
	assert_int_equal(take(30).offset, 0);
	refuse(11);
	assert_int_equal(take(10).offset, 30);
}

static void test_a_retired_run_waits_for_grace(void **state)
{
	union weir_range first = take(40), second;

	take(60);
	grace.begun = 1; /* runs, and began before */
	ranges_retire(&ranges, first, &grace);
	refuse(1);
	grace.ended = 1;
	refuse(1);
	pass_grace();
	second = take(1);
	assert_int_equal(second.offset, 0);
	/* Nothing is nothing. */
	ranges_retire(&ranges, (union weir_range){ .word = 0 }, &grace);
	ranges_give_back(&ranges, (union weir_range){ .word = 0 });
	assert_int_equal(ranges.retired_count, 0);
	assert_int_equal(ranges.taken, 2);
}

static void test_later_ones_wait_longer(void **state)
{
	union weir_range first = take(50), second = take(50);

	ranges_retire(&ranges, first, &grace);
	pass_grace();
	ranges_retire(&ranges, second, &grace);
	assert_int_equal(take(50).offset, first.offset);
	refuse(50);
	pass_grace();
	assert_int_equal(take(50).offset, second.offset);
}

static void test_neighbours_become_one(void **state)
{
	static const unsigned char orders[][4] = {
		{ 0, 1, 2, 3 }, { 3, 2, 1, 0 }, { 0, 2, 1, 3 }, { 1, 3, 0, 2 }, { 0, 3, 1, 2 },
	};

	for (size_t i = 0; i < COUNT(orders); i++) {
		union weir_range runs[4];

		for (size_t j = 0; j < 4; j++)
			runs[j] = take(25);
		for (size_t j = 0; j < 4; j++)
			ranges_give_back(&ranges, runs[orders[i][j]]);
		assert_int_equal(ranges.free_count, 1);
		assert_int_equal(ranges.taken, 0);
		ranges_give_back(&ranges, take(100));
	}
}

static void test_adopt(void **state)
{
	adopt(30, 20, 0);
	adopt(0, 10, 0);
	adopt(90, 10, 0);
	/* Some of it is taken, or there is no such place. */
	adopt(30, 20, -EINVAL);
	adopt(25, 6, -EINVAL);
	adopt(49, 2, -EINVAL);
	adopt(20, 40, -EINVAL);
	adopt(0, 1, -EINVAL);
	adopt(100, 1, -EINVAL);
	adopt(60, 41, -EINVAL);
	adopt(80, UINT32_MAX, -EINVAL);
	adopt(UINT32_MAX, UINT32_MAX, -EINVAL);
	adopt(30, 0, 0);
	assert_int_equal(ranges.taken, 3);
	assert_int_equal(take(20).offset, 10);
	assert_int_equal(take(40).offset, 50);
	refuse(1);
	ranges_retire(&ranges, run_of(30, 20), &grace);
	pass_grace();
	assert_int_equal(take(20).offset, 30);
}

static void test_no_places(void **state)
{
	ranges_free(&ranges);
	assert_int_equal(ranges_init(&ranges, 0), 0);
	refuse(1);
	adopt(0, 1, -EINVAL);
	assert_int_equal(take(0).word, 0);
}

static void test_no_memory(void **state)
{
	union weir_range runs[65];
	struct ranges other;

	for (unsigned int nth = 1; nth <= 2; nth++) {
		allocation_fail_at(nth);
		assert_int_equal(ranges_init(&other, 10), -ENOMEM);
		assert_true(allocation_has_failed());
		assert_null(other.free);
		assert_null(other.retired);
	}
	allocation_fail_at(0);
	for (size_t i = 0; i < 63; i++)
		runs[i] = take(1);
	for (unsigned int nth = 1; nth <= 2; nth++) {
		union weir_range range = { .word = 77 };

		allocation_fail_at(nth);
		assert_int_equal(ranges_take(&ranges, 1, &grace, &range), -ENOMEM);
		assert_true(allocation_has_failed());
		assert_int_equal(range.word, 77);
	}
	allocation_fail_at(1);
	adopt(99, 1, -ENOMEM);
	assert_true(allocation_has_failed());
	allocation_fail_at(0);
	adopt(99, 1, 0);
	runs[63] = take(1);
	/* What was taken can be given back without memory. */
	allocation_fail_at(1);
	for (size_t i = 0; i < 64; i += 2)
		ranges_give_back(&ranges, runs[i]);
	for (size_t i = 1; i < 64; i += 2)
		ranges_retire(&ranges, runs[i], &grace);
	ranges_retire(&ranges, run_of(99, 1), &grace);
	assert_false(allocation_has_failed());
	allocation_fail_at(0);
	pass_grace();
	assert_int_equal(take(100).offset, 0);
}

/* A slow model beside it: one byte for each place says whose it is. */
enum { MODEL = 400, RUNS = 80, STEPS = 100000 };

static unsigned char places[MODEL]; /* 0: free */

struct run {
	union weir_range range;
	uint64_t ticket; /* 0: live */
};

static struct run runs[RUNS];
static size_t run_count;

static void mark(union weir_range range, unsigned char old, unsigned char new)
{
	assert_true((uint64_t)range.offset + range.length <= MODEL);
	for (uint32_t i = 0; i < range.length; i++) {
		assert_int_equal(places[range.offset + i], old);
		places[range.offset + i] = new;
	}
}

static void forget(size_t run)
{
	mark(runs[run].range, 1, 0);
	runs[run] = runs[--run_count];
}

static void collect_model(void)
{
	for (size_t i = 0; i < run_count;)
		if (runs[i].ticket && grace_over(&grace, runs[i].ticket))
			forget(i);
		else
			i++;
}

static uint32_t longest_free(void)
{
	uint32_t longest = 0, length = 0;

	for (size_t i = 0; i < MODEL; i++) {
		length = places[i] ? 0 : length + 1;
		if (length > longest)
			longest = length;
	}
	return longest;
}

static void step_take(uint32_t length)
{
	union weir_range range;
	int err = ranges_take(&ranges, length, &grace, &range);

	collect_model();
	if (longest_free() < length) {
		assert_int_equal(err, -ENOSPC);
		return;
	}
	assert_int_equal(err, 0);
	mark(range, 0, 1);
	runs[run_count++] = (struct run){ .range = range };
}

/* Sees less than the model does as long as nobody took what is over: refused, then. */
static void step_adopt(union weir_range range)
{
	bool is_free = range.offset + range.length <= MODEL;

	for (uint32_t i = 0; is_free && i < range.length; i++)
		is_free = !places[range.offset + i];
	assert_int_equal(ranges_adopt(&ranges, range), is_free ? 0 : -EINVAL);
	if (!is_free)
		return;
	mark(range, 0, 1);
	runs[run_count++] = (struct run){ .range = range };
}

static void step_end(size_t run, bool at_once)
{
	if (runs[run].ticket)
		return;
	if (at_once) {
		ranges_give_back(&ranges, runs[run].range);
		forget(run);
		return;
	}
	ranges_retire(&ranges, runs[run].range, &grace);
	runs[run].ticket = grace_ticket(&grace);
}

/* Sorted, apart from each other, and exactly what the model says. */
static void check_free(void)
{
	uint32_t sum = 0, end = 0, expected = 0;

	for (size_t i = 0; i < ranges.free_count; i++) {
		assert_true(ranges.free[i].length);
		assert_true(i == 0 || ranges.free[i].offset > end);
		for (uint32_t j = 0; j < ranges.free[i].length; j++)
			assert_false(places[ranges.free[i].offset + j]);
		end = ranges.free[i].offset + ranges.free[i].length;
		sum += ranges.free[i].length;
	}
	for (size_t i = 0; i < MODEL; i++)
		expected += !places[i];
	assert_int_equal(sum, expected);
	assert_int_equal(ranges.taken, run_count);
}

static void test_random_walk(void **state)
{
	unsigned int seed = 4711;

	ranges_free(&ranges);
	assert_int_equal(ranges_init(&ranges, MODEL), 0);
	for (unsigned int step = 0; step < STEPS; step++) {
		unsigned int choice = rand_r(&seed) % 100;
		uint32_t number = rand_r(&seed);

		if (choice < 40 && run_count < RUNS)
			step_take(1 + number % (choice < 35 ? 8 : 100));
		else if (choice < 50 && run_count < RUNS)
			step_adopt(run_of(number % (MODEL + 5), 1 + choice % 7));
		else if (choice < 90 && run_count)
			step_end(number % run_count, choice < 60);
		else if (choice < 95)
			grace.begun = grace.ended + 1;
		else
			grace.ended = grace.begun;
		check_free();
	}
	while (run_count) {
		step_end(run_count - 1, true);
		pass_grace();
		step_take(1);
		step_end(run_count - 1, true);
	}
	assert_int_equal(take(MODEL).offset, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_fit),
		TEST(a_retired_run_waits_for_grace),
		TEST(later_ones_wait_longer),
		TEST(neighbours_become_one),
		TEST(adopt),
		TEST(no_places),
		TEST(no_memory),
		TEST(random_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
