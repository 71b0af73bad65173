// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/candidates.h"

#include "tests/unit/unit.h"

enum { NO = 1, UNREACHABLE = 2, SICK = 4, BACKUP = 8 };

/* The ids that are chosen of candidates 1, 2, ... with these flaws, as digits of a number. */
static unsigned int choose(const unsigned int *flaws, size_t count, bool fail_open)
{
	struct slot_candidate chosen[8];
	struct candidate all[8];
	unsigned int digits = 0;
	size_t length;

	for (size_t i = 0; i < count; i++)
		all[i] = (struct candidate){
			.id = i + 1,
			.weight = 10 + i,
			.ramp = 100 + i,
			.serves = !(flaws[i] & NO),
			.reachable = !(flaws[i] & UNREACHABLE),
			.healthy = !(flaws[i] & SICK),
			.backup = flaws[i] & BACKUP,
		};
	length = candidates_choose(all, count, fail_open, chosen);
	for (size_t i = 0; i < length; i++) {
		assert_int_equal(chosen[i].weight, 9 + chosen[i].backend);
		assert_int_equal(chosen[i].ramp, 99 + chosen[i].backend);
		digits = digits * 10 + chosen[i].backend;
	}
	return digits;
}

static void test_tiers(void **state)
{
	static const struct {
		unsigned int flaws[4];
		unsigned int chosen;
		unsigned int fail_open;
	} rows[] = {
		{ { 0, 0, 0, BACKUP }, 123, 123 },
		{ { 0, NO, UNREACHABLE, BACKUP }, 1, 1 },
		{ { SICK, 0, SICK, BACKUP }, 2, 2 },
		/* No first one is left. */
		{ { SICK, NO, UNREACHABLE, BACKUP }, 4, 4 },
		{ { SICK, SICK, BACKUP, BACKUP }, 34, 34 },
		{ { SICK, SICK, BACKUP | NO, BACKUP }, 4, 4 },
		/* Nor a backup. */
		{ { SICK, SICK, SICK, BACKUP | SICK }, 0, 1234 },
		{ { SICK, NO, UNREACHABLE, BACKUP | SICK }, 0, 14 },
		{ { SICK | NO, NO, SICK | UNREACHABLE, UNREACHABLE | BACKUP }, 0, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(choose(rows[i].flaws, 4, false), rows[i].chosen);
		assert_int_equal(choose(rows[i].flaws, 4, true), rows[i].fail_open);
	}
	assert_int_equal(choose(NULL, 0, true), 0);
}

/* The members of a table, and then those of them that are usable, as digits of two numbers. */
static void assert_members(const unsigned int flaws[4], bool fail_open, unsigned int members,
			   unsigned int usable)
{
	struct maglev_backend found[4];
	struct candidate all[4];
	unsigned int digits = 0, usable_digits = 0;
	size_t count;

	for (size_t i = 0; i < 4; i++)
		all[i] = (struct candidate){
			.id = i + 1,
			.weight = 10 + i,
			.serves = !(flaws[i] & NO),
			.reachable = !(flaws[i] & UNREACHABLE),
			.healthy = !(flaws[i] & SICK),
			.backup = flaws[i] & BACKUP,
		};
	count = candidates_members(all, 4, fail_open, found);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(found[i].weight, 9 + found[i].id);
		digits = digits * 10 + found[i].id;
		if (found[i].usable)
			usable_digits = usable_digits * 10 + found[i].id;
	}
	assert_int_equal(digits, members);
	assert_int_equal(usable_digits, usable);
}

static void test_members(void **state)
{
	static const struct {
		unsigned int flaws[4];
		unsigned int members, usable;           /* without fail_open */
		unsigned int open_members, open_usable; /* with it */
	} rows[] = {
		{ { 0, 0, 0, BACKUP }, 123, 123, 123, 123 },
		{ { 0, NO, UNREACHABLE, BACKUP }, 13, 1, 13, 1 },
		{ { SICK, 0, SICK, BACKUP }, 123, 2, 123, 2 },
		{ { SICK, SICK, BACKUP | SICK, BACKUP }, 34, 4, 34, 4 },
		{ { SICK, NO, UNREACHABLE, BACKUP | SICK }, 4, 0, 134, 14 },
		{ { NO, NO, NO, NO }, 0, 0, 0, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_members(rows[i].flaws, false, rows[i].members, rows[i].usable);
		assert_members(rows[i].flaws, true, rows[i].open_members, rows[i].open_usable);
	}
}

static void test_ramp(void **state)
{
	uint32_t last = 0;

	/* Never nothing at all: else nobody would see it work. */
	assert_int_equal(candidates_ramp(0, 10000), 1);
	assert_int_equal(candidates_ramp(5000, 10000), WEIR_RAMP_FULL / 2);
	assert_int_equal(candidates_ramp(10000, 10000), WEIR_RAMP_FULL);
	assert_int_equal(candidates_ramp(UINT64_MAX, 10000), WEIR_RAMP_FULL);
	assert_int_equal(candidates_ramp(0, 0), WEIR_RAMP_FULL);
	for (uint64_t passed = 0; passed <= 86400000; passed += 4321) {
		uint32_t ramp = candidates_ramp(passed, 86400000);

		assert_true(ramp >= last && ramp <= WEIR_RAMP_FULL);
		last = ramp;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tiers),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_ramp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
