// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/slots.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

#define CANDIDATES 6000

static struct slot_candidate candidates[CANDIDATES];

/* Backend ids that are not the indices, so that mixing them up is seen. */
static void set_weight(size_t index, uint32_t weight)
{
	candidates[index] = (struct slot_candidate){ 1000 + 3 * (uint32_t)index, weight, 0 };
}

static void set_ramp(size_t index, uint32_t weight, uint32_t ramp)
{
	set_weight(index, weight);
	candidates[index].ramp = ramp;
}

static size_t index_of(const struct weir_slot *slot)
{
	return (slot->backend - 1000) / 3;
}

static uint32_t random_below(uint32_t bound)
{
	static uint64_t random = 42;

	random = random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((random >> 32) * bound >> 32);
}

static int build(enum weir_scheduler scheduler, size_t count, struct weir_slot **ret)
{
	int length = slots_build(scheduler, candidates, count, ret);

	assert_true(length > 0 && (size_t)length <= slots_bound(count));
	for (int i = 0; i < length; i++) {
		const struct slot_candidate *candidate = &candidates[index_of(&(*ret)[i])];

		assert_true(index_of(&(*ret)[i]) < count);
		assert_int_equal((*ret)[i].backend, candidate->backend);
		assert_int_equal((*ret)[i].weight, candidate->weight);
		assert_int_equal((*ret)[i].ramp, candidate->ramp ? candidate->ramp : 256);
	}
	return length;
}

static void count_slots(const struct weir_slot *slots, int length, size_t count, uint32_t *ret)
{
	for (size_t i = 0; i < count; i++)
		ret[i] = 0;
	for (int i = 0; i < length; i++)
		ret[index_of(&slots[i])]++;
}

/* Plays the naive loop of the definition against @slots. */
static void assert_smooth(const struct weir_slot *slots, int length, size_t count)
{
	static int64_t current[CANDIDATES];
	static uint32_t share[CANDIDATES];

	count_slots(slots, length, count, share);
	for (size_t i = 0; i < count; i++)
		current[i] = 0;
	for (int round = 0; round < length; round++) {
		size_t best = 0;

		for (size_t i = 0; i < count; i++) {
			current[i] += share[i];
			if (current[i] > current[best])
				best = i;
		}
		current[best] -= length;
		if (index_of(&slots[round]) != best)
			fail_msg("slot %d is %zu, not %zu", round, index_of(&slots[round]), best);
	}
}

static void test_none(void **state)
{
	static const enum weir_scheduler all[] = { WEIR_SCHEDULER_RR, WEIR_SCHEDULER_WRR,
						   WEIR_SCHEDULER_LC, WEIR_SCHEDULER_WLC,
						   WEIR_SCHEDULER_P2C };

	for (size_t i = 0; i < COUNT(all); i++) {
		struct weir_slot *slots = (struct weir_slot *)&slots;

		assert_int_equal(slots_build(all[i], candidates, 0, &slots), 0);
		assert_null(slots);
	}
}

static void test_each_once_in_order(void **state)
{
	static const enum weir_scheduler once[] = { WEIR_SCHEDULER_RR, WEIR_SCHEDULER_LC,
						    WEIR_SCHEDULER_WLC };

	for (size_t i = 0; i < COUNT(once); i++) {
		struct weir_slot *slots;

		for (size_t j = 0; j < 100; j++)
			set_weight(j, 1 + random_below(256));
		assert_int_equal(build(once[i], 100, &slots), 100);
		for (size_t j = 0; j < 100; j++)
			assert_int_equal(index_of(&slots[j]), j);
		free(slots);
	}
}

static void assert_order(const char *weights, const char *order)
{
	struct weir_slot *slots;
	size_t count = 0;
	int length;

	for (; weights[count]; count++)
		set_weight(count, (uint32_t)(weights[count] - '0'));
	length = build(WEIR_SCHEDULER_WRR, count, &slots);
	for (int i = 0; i < length; i++)
		if (order[i] != (char)('a' + index_of(&slots[i])))
			fail_msg("weights %s: place %d is %zu", weights, i, index_of(&slots[i]));
	assert_int_equal(order[length], '\0');
	free(slots);
}

static void test_published_orders(void **state)
{
	assert_order("511", "aabacaa"); /* the example that nginx gives */
	assert_order("12", "bab");
	assert_order("1", "a");
	assert_order("7", "a");
	assert_order("11", "ab");
	assert_order("22", "ab");
	assert_order("24", "bab");
	assert_order("963", "abacba");
}

static void test_smooth_order_is_the_definition(void **state)
{
	for (unsigned int turn = 0; turn < 300; turn++) {
		const size_t count = 1 + random_below(30);
		const uint32_t most = 1 + random_below(turn % 2 ? 256 : 6);
		struct weir_slot *slots;
		int length;

		for (size_t i = 0; i < count; i++)
			set_weight(i, 1 + random_below(most));
		length = build(WEIR_SCHEDULER_WRR, count, &slots);
		assert_smooth(slots, length, count);
		free(slots);
	}
}

static uint32_t divisor_of(size_t count)
{
	uint32_t divisor;

	for (divisor = 256; divisor > 1; divisor--) {
		size_t i;

		for (i = 0; i < count && candidates[i].weight % divisor == 0; i++)
			;
		if (i == count)
			break;
	}
	return divisor;
}

static void test_period_is_weights_over_their_divisor(void **state)
{
	uint32_t share[20];

	for (unsigned int turn = 0; turn < 200; turn++) {
		const size_t count = 1 + random_below(15); /* 15 * 256 < SLOTS_MOST: exact */
		const uint32_t factor = 1 + random_below(16);
		struct weir_slot *slots;
		uint32_t sum = 0;
		int length;

		for (size_t i = 0; i < count; i++)
			set_weight(i, factor * (1 + random_below(16)));
		for (size_t i = 0; i < count; i++)
			sum += candidates[i].weight / divisor_of(count);
		length = build(WEIR_SCHEDULER_WRR, count, &slots);
		assert_int_equal(length, sum);
		count_slots(slots, length, count, share);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(share[i], candidates[i].weight / divisor_of(count));
		free(slots);
	}
}

static void test_p2c_has_the_same_shares(void **state)
{
	static uint32_t wrr[CANDIDATES], p2c[CANDIDATES];

	for (size_t count = 1; count < 2000; count = 3 * count + 1) {
		struct weir_slot *slots;
		int length;

		for (size_t i = 0; i < count; i++)
			set_weight(i, 1 + random_below(256));
		length = build(WEIR_SCHEDULER_WRR, count, &slots);
		count_slots(slots, length, count, wrr);
		free(slots);
		assert_int_equal(build(WEIR_SCHEDULER_P2C, count, &slots), length);
		count_slots(slots, length, count, p2c);
		free(slots);
		assert_memory_equal(wrr, p2c, count * sizeof(*wrr));
	}
}

/* Every candidate stands there, none is off by 0.1 % of the traffic, as slots.h says. */
static void assert_shares(size_t count)
{
	static uint32_t share[CANDIDATES];
	struct weir_slot *slots;
	double total = 0;
	int length;

	for (size_t i = 0; i < count; i++)
		total += candidates[i].weight;
	length = build(WEIR_SCHEDULER_WRR, count, &slots);
	count_slots(slots, length, count, share);
	free(slots);
	for (size_t i = 0; i < count; i++) {
		const double off = share[i] / (double)length - candidates[i].weight / total;

		if (!share[i] || off >= 0.001 || off <= -0.001)
			fail_msg("%zu of %zu, weight %u of %.0f: %u of %d slots", i, count,
				 candidates[i].weight, total, share[i], length);
	}
}

static void test_rounded_shares(void **state)
{
	for (size_t count = 16; count <= 4096; count *= 2) {
		for (size_t i = 0; i < count; i++)
			set_weight(i, 1 + random_below(256));
		assert_shares(count);
		for (size_t i = 0; i < count; i++)
			set_weight(i, random_below(10) ? 255 : 256);
		assert_shares(count);
	}
}

/* The worst that weights can do to rounding: a crowd of light ones beside a few heavy ones. */
static void test_heavy_among_light(void **state)
{
	for (size_t count = 20; count <= 1024; count += count < 200 ? 9 : 137) {
		for (size_t heavy = 1; heavy < count; heavy += 1 + heavy / 3) {
			for (size_t i = 0; i < count; i++)
				set_weight(i, i % (count / heavy) == 0 ? 256 : 1);
			assert_shares(count);
		}
	}
}

static void test_more_candidates_than_slots(void **state)
{
	for (size_t i = 0; i < CANDIDATES; i++)
		set_weight(i, 200);
	assert_shares(CANDIDATES);
	for (size_t i = 0; i < CANDIDATES; i++)
		set_weight(i, 1 + (uint32_t)(i % 2));
	assert_shares(CANDIDATES);
	for (size_t i = 0; i < CANDIDATES; i++)
		set_weight(i, i % 100 ? 1 : 256);
	assert_shares(CANDIDATES);
}

static void test_ordinary_tables_stay_small(void **state)
{
	struct weir_slot *slots;

	assert_int_equal(slots_bound(0), SLOTS_MOST);
	assert_int_equal(slots_bound(150), SLOTS_MOST);
	assert_true(slots_bound(1024) <= 4 * SLOTS_MOST);
	for (size_t i = 0; i < 1024; i++)
		set_weight(i, 1 + random_below(256));
	assert_int_equal(build(WEIR_SCHEDULER_WRR, 1024, &slots), SLOTS_MOST);
	free(slots);
}

static void test_rounded_order_is_smooth_too(void **state)
{
	struct weir_slot *slots;
	int length;

	for (size_t i = 0; i < 100; i++)
		set_weight(i, 1 + random_below(256));
	length = build(WEIR_SCHEDULER_WRR, 100, &slots);
	assert_int_equal(length, SLOTS_MOST);
	assert_smooth(slots, length, 100);
	free(slots);
}

static void test_no_memory(void **state)
{
	static const enum weir_scheduler both[] = { WEIR_SCHEDULER_RR, WEIR_SCHEDULER_WRR };
	struct weir_slot *const untouched = (struct weir_slot *)&both;

	for (size_t i = 0; i < 100; i++)
		set_weight(i, 1 + random_below(256));
	for (size_t i = 0; i < COUNT(both); i++) {
		for (unsigned int nth = 1;; nth++) {
			struct weir_slot *slots = untouched;
			int r;

			allocation_fail_at(nth);
			r = slots_build(both[i], candidates, 100, &slots);
			if (!allocation_has_failed()) {
				allocation_fail_at(0);
				assert_true(r > 0 && nth > 1);
				free(slots);
				break;
			}
			assert_int_equal(r, -ENOMEM);
			assert_ptr_equal(slots, untouched);
		}
	}
}

/* A quarter of its fair share; the rest is the others', evenly. */
static void test_ramp_of_rr(void **state)
{
	struct weir_slot *slots = NULL;
	uint32_t share[4];
	int length;

	for (size_t i = 0; i < 4; i++)
		set_ramp(i, 1, i == 2 ? 64 : 256);
	length = build(WEIR_SCHEDULER_RR, 4, &slots);
	assert_int_equal(length, SLOTS_MOST);
	count_slots(slots, length, 4, share);
	assert_int_equal(share[2], SLOTS_MOST / 16);
	assert_int_equal(share[0], SLOTS_MOST / 16 * 5);
	assert_int_equal(share[1], SLOTS_MOST / 16 * 5);
	assert_int_equal(share[3], SLOTS_MOST / 16 * 5);
	assert_smooth(slots, length, 4);
	free(slots);
	candidates[2].ramp = 256; /* all there: no more than it takes */
	slots = NULL;
	assert_int_equal(build(WEIR_SCHEDULER_RR, 4, &slots), 4);
	free(slots);
}

static void test_ramp_of_wrr(void **state)
{
	struct weir_slot *slots = NULL;
	uint32_t share[3];
	int length;

	set_ramp(0, 5, 128);
	set_ramp(1, 2, 0);
	set_ramp(2, 1, 256);
	length = build(WEIR_SCHEDULER_WRR, 3, &slots);
	count_slots(slots, length, 3, share);
	assert_int_equal(share[0], length * 5 / 16);
	assert_in_range(share[1], length * 22 / 48 - 1, length * 22 / 48 + 1);
	assert_in_range(share[2], length * 11 / 48 - 1, length * 11 / 48 + 1);
	assert_smooth(slots, length, 3);
	free(slots);
}

/* Nobody else is there to take what they must not get. */
static void test_all_ramp(void **state)
{
	struct weir_slot *slots = NULL;
	uint32_t share[2];
	int length;

	set_ramp(0, 1, 1);
	set_ramp(1, 1, 3);
	length = build(WEIR_SCHEDULER_RR, 2, &slots);
	count_slots(slots, length, 2, share);
	assert_int_equal(share[0], length / 4);
	assert_int_equal(share[1], length / 4 * 3);
	free(slots);
}

/* Less than a slot is none. */
static void test_ramp_begins_with_nothing(void **state)
{
	struct weir_slot *slots = NULL;
	uint32_t share[100];
	int length;

	for (size_t i = 0; i < 100; i++)
		set_ramp(i, 1, i ? 256 : 1);
	length = build(WEIR_SCHEDULER_RR, 100, &slots);
	count_slots(slots, length, 100, share);
	assert_int_equal(share[0], 0);
	for (size_t i = 1; i < 100; i++)
		assert_in_range(share[i], length / 99, length / 99 + 1);
	free(slots);
}

/* Never more than its part, whatever the others are; those in full swing have a slot at least. */
static void test_ramps_at_random(void **state)
{
	static uint32_t share[CANDIDATES];

	for (size_t count = 2; count <= 1000; count = count * 3 / 2 + 1) {
		struct weir_slot *slots = NULL;
		uint64_t total = 0;
		bool heavy = count % 2;
		int length;

		for (size_t i = 0; i < count; i++) {
			if (heavy) /* the ramping ones are nearly there, and all the weight */
				set_ramp(i, i % 2 ? 1 : 256, i % 2 ? 256 : 255);
			else
				set_ramp(i, 1 + random_below(256), 1 + random_below(256));
			total += candidates[i].weight;
		}
		candidates[count - 1].ramp = 256;
		length = build(WEIR_SCHEDULER_WRR, count, &slots);
		count_slots(slots, length, count, share);
		for (size_t i = 0; i < count; i++) {
			if (candidates[i].ramp == 256)
				assert_true(share[i] > 0);
			else
				assert_true(share[i] * total * 256 <= (uint64_t)length *
									      candidates[i].weight *
									      candidates[i].ramp);
		}
		free(slots);
	}
}

/* These look at the ramp when they pick. */
static void test_ramp_of_others(void **state)
{
	struct weir_slot *slots = NULL;

	for (size_t i = 0; i < 5; i++)
		set_ramp(i, 1 + (uint32_t)i, 10);
	assert_int_equal(build(WEIR_SCHEDULER_LC, 5, &slots), 5);
	free(slots);
	slots = NULL;
	assert_int_equal(build(WEIR_SCHEDULER_WLC, 5, &slots), 5);
	free(slots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_each_once_in_order),
		cmocka_unit_test(test_published_orders),
		cmocka_unit_test(test_smooth_order_is_the_definition),
		cmocka_unit_test(test_period_is_weights_over_their_divisor),
		cmocka_unit_test(test_p2c_has_the_same_shares),
		cmocka_unit_test(test_rounded_shares),
		cmocka_unit_test(test_heavy_among_light),
		cmocka_unit_test(test_more_candidates_than_slots),
		cmocka_unit_test(test_ordinary_tables_stay_small),
		cmocka_unit_test(test_rounded_order_is_smooth_too),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_ramp_of_rr),
		cmocka_unit_test(test_ramp_of_wrr),
		cmocka_unit_test(test_all_ramp),
		cmocka_unit_test(test_ramp_begins_with_nothing),
		cmocka_unit_test(test_ramps_at_random),
		cmocka_unit_test(test_ramp_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
