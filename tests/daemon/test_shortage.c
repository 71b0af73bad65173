// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/shortage.h"

#include <string.h>

#include "tests/unit/unit.h"

static void test_begins_at_80_percent(void **state)
{
	struct shortage shortage = { 0 };
	uint32_t queue = 99;

	assert_int_equal(shortage_step(&shortage, 7, 0, 1000, 0, &queue), SHORTAGE_SAME);
	assert_int_equal(shortage_step(&shortage, 7, 799, 1000, 0, &queue), SHORTAGE_SAME);
	assert_int_equal(queue, 99);
	assert_int_equal(shortage_step(&shortage, 7, 800, 1000, 0, &queue), SHORTAGE_BEGAN);
	assert_int_equal(queue, 1);
	assert_int_equal(shortage.queues[1].backend, 7);
}

static void test_ends_below_60_percent(void **state)
{
	struct shortage shortage = { 0 };
	uint32_t queue = 0, untouched = 99;

	shortage_step(&shortage, 7, 1000, 1000, 0, &queue);
	assert_int_equal(shortage_step(&shortage, 7, 700, 1000, queue, &untouched), SHORTAGE_SAME);
	assert_int_equal(shortage_step(&shortage, 7, 600, 1000, queue, &untouched), SHORTAGE_SAME);
	assert_int_equal(shortage.queues[queue].backend, 7);
	assert_int_equal(shortage_step(&shortage, 7, 599, 1000, queue, &untouched), SHORTAGE_ENDED);
	assert_int_equal(shortage.queues[queue].backend, 0);
	assert_int_equal(untouched, 99);
	/* Between the two marks, without a queue: still none. */
	assert_int_equal(shortage_step(&shortage, 7, 700, 1000, 0, &untouched), SHORTAGE_SAME);
}

/* Flows of a pool that has become smaller: more in use than there is. */
static void test_more_than_all(void **state)
{
	struct shortage shortage = { 0 };
	uint32_t queue = 0;

	assert_int_equal(shortage_step(&shortage, 7, 5000, 1000, 0, &queue), SHORTAGE_BEGAN);
	assert_int_equal(shortage_step(&shortage, 7, 5000, 0, queue, &queue), SHORTAGE_SAME);
	assert_int_equal(shortage_step(&shortage, 8, 5, 0, 0, &queue), SHORTAGE_SAME);
	assert_int_equal(
		shortage_step(&shortage, 8, UINT32_MAX, (uint64_t)64512 * 65536, 0, &queue),
		SHORTAGE_BEGAN);
}

static void test_queues_are_limited(void **state)
{
	struct shortage shortage = { 0 };
	bool seen[SHORTAGE_QUEUES] = { 0 };
	uint32_t queue;

	for (uint32_t backend = 1; backend < SHORTAGE_QUEUES; backend++) {
		queue = 0;
		assert_int_equal(shortage_step(&shortage, backend, 90, 100, 0, &queue),
				 SHORTAGE_BEGAN);
		assert_in_range(queue, 1, SHORTAGE_QUEUES - 1);
		assert_false(seen[queue]);
		seen[queue] = true;
	}
	queue = 99;
	assert_int_equal(shortage_step(&shortage, 500, 90, 100, 0, &queue), SHORTAGE_SAME);
	assert_int_equal(queue, 99);
	/* One is given back: the next one in need gets it, as new. */
	shortage.queues[30].next = 1234;
	shortage.queues[30].waiting = 5;
	shortage.queues[30].left = 6;
	assert_int_equal(shortage_step(&shortage, shortage.queues[30].backend, 10, 100, 30, &queue),
			 SHORTAGE_ENDED);
	assert_int_equal(shortage_step(&shortage, 500, 90, 100, 0, &queue), SHORTAGE_BEGAN);
	assert_int_equal(queue, 30);
	assert_int_equal(shortage.queues[30].backend, 500);
	assert_int_equal(shortage.queues[30].next, 0);
	assert_int_equal(shortage.queues[30].waiting, 0);
	assert_int_equal(shortage.queues[30].left, 0);
}

/* One round looks at each place once, in bounded pieces. */
static void test_a_round(void **state)
{
	struct shortage_queue queue = { .backend = 7 };
	bool clear;

	assert_int_equal(shortage_look(&queue, 9000, 10000, &clear), SHORTAGE_LOOK);
	assert_true(clear);
	queue.waiting = 400;
	assert_int_equal(shortage_look(&queue, 9000, 10000, &clear), SHORTAGE_LOOK);
	assert_false(clear);
	queue.waiting = 800;
	assert_int_equal(shortage_look(&queue, 9000, 10000, &clear), 10000 - 2 * SHORTAGE_LOOK);
	assert_false(clear);
	queue.waiting = 1000;
	for (int i = 0; i < 5; i++)
		assert_int_equal(shortage_look(&queue, 9000, 10000, &clear), 0);
	assert_false(clear);
}

static void test_the_next_round(void **state)
{
	struct shortage_queue queue = { .backend = 7, .waiting = 251 };
	bool clear;

	assert_int_equal(shortage_look(&queue, 1000, 2000, &clear), 0);
	queue.waiting = 250; /* a quarter of what is free */
	assert_int_equal(shortage_look(&queue, 1000, 2000, &clear), 2000);
	assert_true(clear);
	/* Nothing free, nothing to look for; the last one is looked for. */
	queue = (struct shortage_queue){ .backend = 7 };
	assert_int_equal(shortage_look(&queue, 2000, 2000, &clear), 0);
	assert_int_equal(shortage_look(&queue, 3000, 2000, &clear), 0);
	assert_int_equal(shortage_look(&queue, 0, 0, &clear), 0);
	assert_false(clear);
	assert_int_equal(shortage_look(&queue, 1999, 2000, &clear), 2000);
	queue.waiting = 1;
	assert_int_equal(shortage_look(&queue, 1999, 2000, &clear), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_at_80_percent),
		cmocka_unit_test(test_ends_below_60_percent),
		cmocka_unit_test(test_more_than_all),
		cmocka_unit_test(test_queues_are_limited),
		cmocka_unit_test(test_a_round),
		cmocka_unit_test(test_the_next_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
