// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/areas.h"
#include "src/model/slots.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static void fill(struct config_service *service, struct config_backend *backends,
		 enum weir_scheduler scheduler, size_t count, const uint32_t *weights)
{
	for (size_t i = 0; i < count; i++)
		backends[i].weight = weights[i];
	service->scheduler = scheduler;
	service->backends = backends;
	service->backend_count = count;
}

static uint32_t capacity(enum weir_scheduler scheduler, size_t count, const uint32_t *weights)
{
	struct config_backend backends[32] = { 0 };
	struct config_service service = { 0 };

	fill(&service, backends, scheduler, count, weights);
	return areas_capacity(&service);
}

static void test_capacity(void **state)
{
	static const uint32_t weights[] = { 2, 4, 6 }, none[] = { 0, 0 }, prime[] = { 1, 256, 255 };
	uint32_t many[32];

	assert_int_equal(capacity(WEIR_SCHEDULER_RR, 3, weights), 3);
	assert_int_equal(capacity(WEIR_SCHEDULER_LC, 3, weights), 3);
	assert_int_equal(capacity(WEIR_SCHEDULER_WLC, 3, weights), 3);
	assert_int_equal(capacity(WEIR_SCHEDULER_WRR, 3, weights), 6);
	assert_int_equal(capacity(WEIR_SCHEDULER_HASH, 3, weights), 6);
	assert_int_equal(capacity(WEIR_SCHEDULER_WRR, 2, none), 2);
	assert_int_equal(capacity(WEIR_SCHEDULER_WRR, 3, prime), 512);
	for (size_t i = 0; i < COUNT(many); i++)
		many[i] = 256 - i;
	assert_int_equal(capacity(WEIR_SCHEDULER_WRR, COUNT(many), many), slots_bound(COUNT(many)));
}

/* Whatever is left of the backends, its table fits: all subsets of some sets of weights. */
static void test_every_subset_fits(void **state)
{
	static const uint32_t sets[][10] = {
		{ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 },
		{ 256, 255, 254, 253, 251, 241, 239, 233, 229, 227 },
		{ 2, 4, 8, 16, 32, 64, 128, 256, 1, 0 },
		{ 6, 10, 15, 6, 10, 15, 6, 10, 15, 30 },
	};

	for (size_t set = 0; set < COUNT(sets); set++)
		for (unsigned int left = 0; left < 1 << 10; left++) {
			uint32_t most = capacity(WEIR_SCHEDULER_WRR, 10, sets[set]);
			struct slot_candidate candidates[10];
			struct weir_slot *slots = NULL;
			size_t count = 0;
			int length;

			for (uint32_t i = 0; i < 10; i++)
				if (left >> i & 1 && sets[set][i])
					candidates[count++] = (struct slot_candidate){
						i + 1, sets[set][i]
					};
			length = slots_build(WEIR_SCHEDULER_WRR, candidates, count, &slots);
			assert_in_range(length, 0, most);
			free(slots);
		}
}

static void test_rounded_tables_fit(void **state)
{
	struct config_backend *backends = calloc(3000, sizeof(*backends));
	struct slot_candidate *candidates = calloc(3000, sizeof(*candidates));
	struct config_service service = { .scheduler = WEIR_SCHEDULER_HASH, .backends = backends };

	for (uint32_t i = 0; i < 3000; i++) {
		backends[i].weight = 1 + i * 37 % 256;
		candidates[i] = (struct slot_candidate){ i + 1, backends[i].weight };
	}
	for (uint32_t count = 100; count <= 3000; count += 100) {
		struct weir_slot *slots = NULL;
		int length;

		service.backend_count = count;
		length = slots_build(WEIR_SCHEDULER_HASH, candidates, count, &slots);
		assert_in_range(length, 1, areas_capacity(&service));
		free(slots);
	}
	free(backends);
	free(candidates);
}

static void test_areas_take_turns(void **state)
{
	struct areas areas = { .first = 100, .capacity = 8 };
	uint32_t first, second, offset = 7;

	assert_true(areas_claim(&areas, &first));
	areas_published(&areas);
	assert_int_equal(first, 108);
	/* Somebody may still read the old area. */
	assert_false(areas_claim(&areas, &offset));
	assert_int_equal(offset, 7);
	assert_true(areas_released(&areas));
	assert_true(areas_claim(&areas, &second));
	assert_int_equal(second, 100);
	areas_published(&areas);
	/* Nothing was asked for meanwhile. */
	assert_false(areas_released(&areas));
	assert_true(areas_claim(&areas, &offset));
	assert_int_equal(offset, 108);
}

static void test_unpublished_claim_changes_nothing(void **state)
{
	struct areas areas = { .first = 0, .capacity = 4 };
	uint32_t first, second;

	assert_true(areas_claim(&areas, &first));
	assert_true(areas_claim(&areas, &second));
	assert_int_equal(first, second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_every_subset_fits),
		cmocka_unit_test(test_rounded_tables_fit),
		cmocka_unit_test(test_areas_take_turns),
		cmocka_unit_test(test_unpublished_claim_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
