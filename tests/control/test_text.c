// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/table.h"
#include "src/cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_numbers(void **state)
{
	assert_string_equal(text_count(0).s, "0");
	assert_string_equal(text_count(999).s, "999");
	assert_string_equal(text_count(1000).s, "1,000");
	assert_string_equal(text_count(123456).s, "123,456");
	assert_string_equal(text_count(UINT64_MAX).s, "18,446,744,073,709,551,615");

	assert_string_equal(text_short(99999).s, "99,999");
	assert_string_equal(text_short(100000).s, "100.0k");
	assert_string_equal(text_short(123449).s, "123.4k");
	assert_string_equal(text_short(123450).s, "123.5k");
	assert_string_equal(text_short(999949).s, "999.9k");
	assert_string_equal(text_short(999950).s, "1.0M");
	assert_string_equal(text_short(1000000000).s, "1.0G");
	assert_string_equal(text_short(UINT64_MAX).s, "18.4E");

	assert_string_equal(text_duration(0).s, "0 ms");
	assert_string_equal(text_duration(999).s, "999 ms");
	assert_string_equal(text_duration(1000).s, "1.0 s");
	assert_string_equal(text_duration(119900).s, "119.9 s");
	assert_string_equal(text_duration(120000).s, "2.0 min");
	assert_string_equal(text_duration(7200000).s, "2.0 h");
	assert_string_equal(text_duration(UINT64_MAX).s, "5124095576030.4 h");
}

static void test_fields(void **state)
{
	json_t *document = json_pack("{s:s,s:s,s:i,s:i,s:{s:{s:I}},s:n}", "text", "hello", "empty",
				     "", "count", 1234, "negative", -5, "a", "b", "c",
				     (json_int_t)7000000, "null");

	assert_string_equal(field_text(document, "text"), "hello");
	assert_string_equal(field_text(document, "empty"), "-");
	assert_string_equal(field_text(document, "count"), "-");
	assert_string_equal(field_text(NULL, "text"), "-");
	assert_string_equal(field_count(document, "count").s, "1,234");
	assert_string_equal(field_count(document, "negative").s, "0");
	assert_string_equal(field_count(document, "text").s, "-");
	assert_string_equal(field_count(document, "a.b.c").s, "7,000,000");
	assert_string_equal(field_short(document, "a.b.c").s, "7.0M");
	assert_string_equal(field_duration(document, "count").s, "1.2 s");
	assert_string_equal(field_duration(document, "null").s, "-");
	assert_string_equal(field_count(document, "a.b").s, "-");
	assert_string_equal(field_count(document, "a.x.c").s, "-");
	assert_string_equal(field_count(document, "count.x").s, "-");
	assert_int_equal(field_number(document, "nothing"), 0);
	json_decref(document);
}

/* What table_print() writes at @width. */
static void expect_table(const struct table *table, size_t width, const char *expected)
{
	FILE *before = stdout;
	char *text = NULL;
	size_t size;

	stdout = open_memstream(&text, &size);
	assert_int_equal(table_print(table, width), 0);
	fclose(stdout);
	stdout = before;
	assert_string_equal(text, expected);
	free(text);
}

static void test_table(void **state)
{
	static const struct table_column columns[] = {
		{ "NAME", false, 0, 0 },
		{ "N", true, 2, 0 },
		{ "WORD", false, 1, 0 },
		{ "M", true, 0, 0 },
	};
	struct table table = TABLE(columns);

	expect_table(&table, 0, "NAME  N  WORD  M\n");
	table_add(&table, "a");
	table_add(&table, "%d", 100);
	table_add(&table, "x");
	table_add(&table, "1");
	table_add(&table, "longer");
	table_add(&table, "2");
	table_add(&table, "%s", "");
	table_add(&table, "%s", "");
	table_add(&table, "%s", "");
	table_add(&table, "%s", "");
	table_add(&table, "y");
	table_add(&table, "22");
	expect_table(&table, 0,
		     "NAME      N  WORD   M\n"
		     "a       100  x      1\n"
		     "longer    2\n"
		     "             y     22\n");
	expect_table(&table, 21,
		     "NAME      N  WORD   M\n"
		     "a       100  x      1\n"
		     "longer    2\n"
		     "             y     22\n");
	expect_table(&table, 20,
		     "NAME    WORD   M\n"
		     "a       x      1\n"
		     "longer\n"
		     "        y     22\n");
	expect_table(&table, 15,
		     "NAME     M\n"
		     "a        1\n"
		     "longer\n"
		     "        22\n");
	/* What must stay stays. */
	expect_table(&table, 1,
		     "NAME     M\n"
		     "a        1\n"
		     "longer\n"
		     "        22\n");
	table.failed = true;
	assert_true(table_print(&table, 0) < 0);
	table_release(&table);
	table_release(&table);
}

/* What the last column says is cut where the rest is needed. */
static void test_table_is_cut(void **state)
{
	static const struct table_column columns[] = { { "NAME", false, 0, 0 },
						       { "N", true, 2, 0 },
						       { "WHY", false, 1, 8 } };
	struct table table = TABLE(columns);

	table_add(&table, "a");
	table_add(&table, "1");
	table_add(&table, "no answer");
	table_add(&table, "b");
	table_add(&table, "2");
	table_add(&table, "refus\u00e9 by it");
	expect_table(&table, 0,
		     "NAME  N  WHY\n"
		     "a     1  no answer\n"
		     "b     2  refus\u00e9 by it\n");
	expect_table(&table, 18,
		     "NAME  N  WHY\n"
		     "a     1  no answer\n"
		     "b     2  refus...\n");
	expect_table(&table, 17,
		     "NAME  N  WHY\n"
		     "a     1  no an...\n"
		     "b     2  refus...\n");
	expect_table(&table, 16,
		     "NAME  WHY\n"
		     "a     no answer\n"
		     "b     refus\u00e9...\n");
	expect_table(&table, 13,
		     "NAME\n"
		     "a\n"
		     "b\n");
	table_release(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
