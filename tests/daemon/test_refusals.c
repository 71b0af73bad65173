// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/refusals.h"

#include <stdbool.h>
#include <string.h>

#include "tests/unit/unit.h"

#define BACKENDS 4 /* of the model; the first one refuses */
#define NEW_FLOWS 10000

static void test_nothing_happens(void **state)
{
	struct refusals memory = { .total = 100, .live = 60, .failed = 40 };
	struct weir_load sum = { .total = 100, .half_open = 10, .established = 50, .failed = 40 };

	assert_true(refusals_fade(&memory, &sum) == REFUSALS_FADE_LEAST);
}

/* 30 of 80 connections ended, whatever came meanwhile. */
static void test_the_part_that_ended(void **state)
{
	struct refusals memory = { .total = 100, .live = 60, .failed = 40 };
	/* 20 came and stayed, 10 were refused. */
	struct weir_load sum = { .total = 130, .half_open = 10, .established = 40, .failed = 50 };

	assert_true(refusals_fade(&memory, &sum) == 30.0 / 80.0);
	sum.half_open = sum.established = 0; /* and the rest */
	assert_true(refusals_fade(&memory, &sum) == 1);
}

/* Only refusals came: nothing held has ended. */
static void test_only_refusals(void **state)
{
	struct refusals memory = { .total = 100, .live = 60, .failed = 40 };
	struct weir_load sum = { .total = 150, .half_open = 10, .established = 50, .failed = 90 };

	assert_true(refusals_fade(&memory, &sum) == REFUSALS_FADE_LEAST);
	/* A connection of which a refusal is known before its flow has gone. */
	sum.failed = 95;
	assert_true(refusals_fade(&memory, &sum) == REFUSALS_FADE_LEAST);
}

static void test_taking_keeps_the_rest(void **state)
{
	double rest = 0;
	uint32_t taken = 0;

	for (int i = 0; i < 600; i++) {
		uint32_t some = refusals_take(&rest, 10, REFUSALS_FADE_LEAST);

		assert_true(some <= 1);
		taken += some;
	}
	assert_in_range(taken, 374, 375);
	rest = 0;
	assert_int_equal(refusals_take(&rest, 100, 0.255), 25);
	assert_int_equal(refusals_take(&rest, 100, 0.255), 26);
	assert_int_equal(refusals_take(&rest, 100, 1), 100);
	assert_int_equal(refusals_take(&rest, 0, 1), 0);
	rest = 5; /* of a time with more */
	assert_int_equal(refusals_take(&rest, 2, 0.5), 2);
	assert_true(rest == 0);
	assert_int_equal(refusals_take(&rest, UINT32_MAX, 1), UINT32_MAX);
}

static void test_memory(void **state)
{
	struct refusals memory = { 0 };
	struct weir_load sum = { .total = 130, .half_open = 7, .established = 40, .failed = 50 };

	refusals_faded(&memory, &sum, 20);
	assert_int_equal(memory.total, 130);
	assert_int_equal(memory.live, 47);
	assert_int_equal(memory.failed, 30);
}

/* wlc over a few backends, as the datapath does it, and the daemon's walk once a second. */
struct model {
	struct weir_load loads[BACKENDS];
	uint32_t weights[BACKENDS];
	double rest[BACKENDS];
	struct refusals memory;
	uint64_t turn;
	uint32_t seed;
};

static uint32_t next_random(struct model *model)
{
	model->seed ^= model->seed << 13;
	model->seed ^= model->seed >> 17;
	model->seed ^= model->seed << 5;
	return model->seed;
}

static bool less(const struct model *model, uint32_t a, uint32_t b)
{
	const struct weir_load *load_a = &model->loads[a], *load_b = &model->loads[b];

	return (uint64_t)(load_a->established + load_a->failed + 1) * model->weights[b] <
	       (uint64_t)(load_b->established + load_b->failed + 1) * model->weights[a];
}

/* As bpf/schedule.h: the least, but who lately refused in its turn only, and by its weight. */
static uint32_t least(struct model *model)
{
	uint32_t start = (uint32_t)(model->turn++ % BACKENDS), best = start, sum = 0;

	for (uint32_t i = 0; i < BACKENDS; i++) {
		uint32_t at = (start + i) % BACKENDS;
		bool suspect = model->loads[at].failed, best_suspect = model->loads[best].failed;

		sum += model->weights[at];
		if (suspect < best_suspect || (suspect == best_suspect && less(model, at, best)))
			best = at;
	}
	if (model->loads[start].failed && !model->loads[best].failed && !less(model, best, start) &&
	    next_random(model) % sum < model->weights[start] * BACKENDS)
		return start;
	return best;
}

static void open_one(struct model *model)
{
	struct weir_load *load = &model->loads[least(model)];

	load->total++;
	if (load == &model->loads[0])
		load->failed++;
	else
		load->established++;
}

/* Each connection ends with a chance of @in_a_thousand. */
static void some_end(struct model *model, uint32_t in_a_thousand)
{
	for (int i = 1; i < BACKENDS; i++)
		for (uint32_t held = model->loads[i].established; held; held--)
			if (next_random(model) % 1000 < in_a_thousand)
				model->loads[i].established--;
}

static void walk(struct model *model)
{
	struct weir_load sum = { 0 };
	uint64_t taken = 0;
	double fade;

	for (int i = 0; i < BACKENDS; i++) {
		sum.total += model->loads[i].total;
		sum.established += model->loads[i].established;
		sum.failed += model->loads[i].failed;
	}
	fade = refusals_fade(&model->memory, &sum);
	for (int i = 0; i < BACKENDS; i++) {
		uint32_t some = refusals_take(&model->rest[i], model->loads[i].failed, fade);

		model->loads[i].failed -= some;
		taken += some;
	}
	refusals_faded(&model->memory, &sum, taken);
}

/* At most a tenth over its fair share of NEW_FLOWS, @rate of them a second. */
static void share(uint32_t rate, uint32_t end_in_a_thousand, const uint32_t weights[BACKENDS])
{
	struct model model = { .seed = 4711 };
	uint32_t sum = 0;

	memcpy(model.weights, weights, sizeof(model.weights));
	for (int i = 0; i < BACKENDS; i++)
		sum += weights[i];

	for (uint32_t i = 1; i <= NEW_FLOWS; i++) {
		open_one(&model);
		if (i % rate)
			continue;
		some_end(&model, end_in_a_thousand);
		walk(&model);
	}
	print_message("# %u a second, %u of 1000 end in each: %u of %u were refused\n", rate,
		      end_in_a_thousand, (unsigned int)model.loads[0].total, NEW_FLOWS);
	assert_true(model.loads[0].total <= NEW_FLOWS * weights[0] / sum * 11 / 10);
	assert_true(model.loads[0].total > 0);
}

static const uint32_t equal[BACKENDS] = { 1, 1, 1, 1 }, light[BACKENDS] = { 1, 9, 5, 5 },
		      heavy[BACKENDS] = { 7, 1, 1, 1 };

static void test_share_with_held_connections(void **state)
{
	share(1000, 0, equal);
	share(200, 0, equal);
}

static void shares_with_ends(const uint32_t weights[BACKENDS])
{
	const uint32_t rates[] = { 50, 200, 1000 }, ends[] = { 0, 1, 10, 100, 300, 900, 1000 };

	for (size_t i = 0; i < COUNT(rates); i++)
		for (size_t j = 0; j < COUNT(ends); j++)
			share(rates[i], ends[j], weights);
}

static void test_share_with_connections_that_end(void **state)
{
	shares_with_ends(equal);
}

static void test_share_of_a_light_one(void **state)
{
	shares_with_ends(light);
}

static void test_share_of_a_heavy_one(void **state)
{
	shares_with_ends(heavy);
}

/* The backend is mended: its refusals are forgotten within a minute or so, without any other sign. */
static void test_it_comes_back(void **state)
{
	struct model model = { .seed = 4711, .weights = { 1, 1, 1, 1 } };
	uint32_t i;

	for (i = 0; i < 4000; i++)
		open_one(&model);
	walk(&model);
	assert_true(model.loads[0].failed > 900);
	for (i = 0; i < 16; i++)
		walk(&model);
	assert_true(model.loads[0].failed > 300);
	for (i = 0; i < 120; i++)
		walk(&model);
	assert_int_equal(model.loads[0].failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_happens),
		cmocka_unit_test(test_the_part_that_ended),
		cmocka_unit_test(test_only_refusals),
		cmocka_unit_test(test_taking_keeps_the_rest),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_share_with_held_connections),
		cmocka_unit_test(test_share_with_connections_that_end),
		cmocka_unit_test(test_share_of_a_light_one),
		cmocka_unit_test(test_share_of_a_heavy_one),
		cmocka_unit_test(test_it_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
