// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static void test_fills_and_returns_code(void **state)
{
	struct error error;

	assert_int_equal(error_set(&error, -EINVAL, "%s: %d", "what", 7), -EINVAL);
	assert_string_equal(error.text, "what: 7");
}

static void test_null_is_allowed(void **state)
{
	assert_int_equal(error_set(NULL, -ENOENT, "nobody reads this"), -ENOENT);
}

static void test_long_text_is_cut(void **state)
{
	struct error error;

	assert_int_equal(error_set(&error, -EIO, "%0*d", (int)sizeof(error.text) + 10, 0), -EIO);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fills_and_returns_code),
		cmocka_unit_test(test_null_is_allowed),
		cmocka_unit_test(test_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
