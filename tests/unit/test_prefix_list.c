// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/prefix_list.h"

#include <string.h>

#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	/* Padding must not count. */
	memset(&prefix, 0xa5, sizeof(prefix));
	assert_int_equal(prefix_parse(text, &prefix), 0);
	return prefix;
}

static void test_order_is_by_content(void **state)
{
	const struct prefix entries[] = { prefix_of("10.0.0.0/8"), prefix_of("2001:db8::/32") };
	const struct prefix others[] = { prefix_of("10.0.0.0/9"), prefix_of("2001:db8::/32") };
	struct prefix_list *a = prefix_list_new(entries, 2), *same = prefix_list_new(entries, 2);
	struct prefix_list *other = prefix_list_new(others, 2);
	struct prefix_list *shorter = prefix_list_new(entries, 1);

	assert_int_equal(prefix_list_compare(a, a), 0);
	assert_int_equal(prefix_list_compare(a, same), 0);
	assert_int_equal(prefix_list_compare(NULL, NULL), 0);
	assert_true(prefix_list_compare(a, NULL) > 0);
	assert_true(prefix_list_compare(NULL, a) < 0);
	assert_int_not_equal(prefix_list_compare(a, other), 0);
	assert_int_equal(prefix_list_compare(a, other) < 0, prefix_list_compare(other, a) > 0);
	assert_int_not_equal(prefix_list_compare(a, shorter), 0);
	/* Whatever the hash says. */
	other->hash = shorter->hash = a->hash;
	assert_int_not_equal(prefix_list_compare(a, other), 0);
	assert_int_not_equal(prefix_list_compare(a, shorter), 0);
	prefix_list_unref(a);
	prefix_list_unref(same);
	prefix_list_unref(other);
	prefix_list_unref(shorter);
}

static void test_lives_as_long_as_it_has_users(void **state)
{
	const struct prefix entry = prefix_of("192.0.2.1");
	struct prefix_list *list = prefix_list_new(&entry, 1);

	assert_ptr_equal(prefix_list_ref(list), list);
	prefix_list_unref(list);
	assert_int_equal(list->count, 1); /* ASan would tell */
	prefix_list_unref(list);
	assert_null(prefix_list_ref(NULL));
	prefix_list_unref(NULL);
}

static void test_no_memory(void **state)
{
	const struct prefix entry = prefix_of("192.0.2.1");

	allocation_fail_at(1);
	assert_null(prefix_list_new(&entry, 1));
	allocation_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_is_by_content),
		cmocka_unit_test(test_lives_as_long_as_it_has_users),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
