// SPDX-License-Identifier: GPL-2.0-only
#include "src/health/health_state.h"

#include "tests/unit/unit.h"

enum { RISE = 2, FALL = 3 };

static uint64_t now; /* advances by one with each result */

/* Feeds results: 'g' good, 'b' bad; returns for each 'C' where the owner is told, else '.'. */
static const char *feed(struct health_report *report, const char *results)
{
	static char told[64];
	size_t count = 0;

	for (; results[count]; count++) {
		const struct health_result result = { results[count] == 'b' ? "why" : NULL, 7 };

		now++;
		told[count] = health_state_take(report, RISE, FALL, &result, now) ? 'C' : '.';
	}
	told[count] = '\0';
	return told;
}

static int begin(void **state)
{
	now = 1000;
	return 0;
}

static void first_result_decides_alone(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UNKNOWN);
	assert_int_equal(report.state, HEALTH_UNKNOWN);
	assert_int_equal(report.since_ms, 0);
	assert_string_equal(feed(&report, "g"), "C");
	assert_int_equal(report.state, HEALTH_UP);
	assert_int_equal(report.since_ms, 1001);

	health_state_init(&report, HEALTH_UNKNOWN);
	assert_string_equal(feed(&report, "b"), "C");
	assert_int_equal(report.state, HEALTH_DOWN);
}

static void falls_after_fall_bad_ones_in_a_row(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UNKNOWN);
	assert_string_equal(feed(&report, "gbb"), "C..");
	assert_int_equal(report.state, HEALTH_UP);
	assert_int_equal(report.since_ms, 1001);
	assert_string_equal(feed(&report, "b"), "C");
	assert_int_equal(report.state, HEALTH_DOWN);
	assert_int_equal(report.since_ms, 1004);
	assert_string_equal(feed(&report, "bbbb"), "....");
}

static void rises_after_rise_good_ones_in_a_row(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UNKNOWN);
	assert_string_equal(feed(&report, "bgbgbg"), "C.....");
	assert_int_equal(report.state, HEALTH_DOWN);
	assert_string_equal(feed(&report, "g"), "C");
	assert_int_equal(report.state, HEALTH_UP);
}

static void bad_ones_are_not_added_up_over_good_ones(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UNKNOWN);
	assert_string_equal(feed(&report, "gbbgbbgbbg"), "C.........");
	assert_int_equal(report.state, HEALTH_UP);
}

/* After a reload or restart: the owner hears of the first result, but nothing changes by one. */
static void what_was_known_counts(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UP);
	assert_string_equal(feed(&report, "bb"), "C.");
	assert_int_equal(report.state, HEALTH_UP);
	assert_int_equal(report.since_ms, 0);
	assert_string_equal(feed(&report, "b"), "C");
	assert_int_equal(report.state, HEALTH_DOWN);

	health_state_init(&report, HEALTH_DOWN);
	assert_string_equal(feed(&report, "g"), "C");
	assert_int_equal(report.state, HEALTH_DOWN);
	assert_string_equal(feed(&report, "g"), "C");
	assert_int_equal(report.state, HEALTH_UP);
}

static void reports_the_last_check(void **state)
{
	struct health_report report;

	health_state_init(&report, HEALTH_UNKNOWN);
	feed(&report, "gbb");
	assert_false(report.last_good);
	assert_int_equal(report.in_a_row, 2);
	assert_int_equal(report.duration_ms, 7);
	assert_string_equal(report.error, "why");
	feed(&report, "g");
	assert_true(report.last_good);
	assert_int_equal(report.in_a_row, 1);
	assert_string_equal(report.error, "");
}

/* Every field of the configuration tells two checks apart. */
static void same_check_compares_every_field(void **state)
{
	const struct config_health one = { HEALTH_HTTP, 2000, 1000, 2,   3,        80,
					   200,         "/",  "h",  "b", "command" };
	struct config_health other = one;
	char path[] = "/";

	other.path = path; /* by content, not by pointer */
	assert_true(health_same_check(&one, &other));
#define DIFFERS(field, value)                                                                      \
	do {                                                                                       \
		other = one;                                                                       \
		other.field = value;                                                               \
		assert_false(health_same_check(&one, &other));                                     \
		assert_false(health_same_check(&other, &one));                                     \
	} while (0)
	DIFFERS(type, HEALTH_HTTPS);
	DIFFERS(interval, 2001);
	DIFFERS(timeout, 999);
	DIFFERS(rise, 1);
	DIFFERS(fall, 2);
	DIFFERS(port, 0);
	DIFFERS(status, 0);
	DIFFERS(path, NULL);
	DIFFERS(host, "g");
	DIFFERS(body, "");
	DIFFERS(command, NULL);
#undef DIFFERS
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_result_decides_alone, begin),
		cmocka_unit_test_setup(falls_after_fall_bad_ones_in_a_row, begin),
		cmocka_unit_test_setup(rises_after_rise_good_ones_in_a_row, begin),
		cmocka_unit_test_setup(bad_ones_are_not_added_up_over_good_ones, begin),
		cmocka_unit_test_setup(what_was_known_counts, begin),
		cmocka_unit_test_setup(reports_the_last_check, begin),
		cmocka_unit_test(same_check_compares_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
