// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/prefix.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

static void test_good_and_meant(void **state)
{
	static const struct {
		const char *text, *printed;
		int length;
		bool bits;
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", 104, false },
		{ "0.0.0.0/0", "0.0.0.0/0", 96, false },
		{ "192.0.2.7", "192.0.2.7/32", 128, false },
		{ "192.0.2.128/25", "192.0.2.128/25", 121, false },
		{ "10.0.0.1/8", "10.0.0.0/8", 104, true },
		{ "192.0.2.255/31", "192.0.2.254/31", 127, true },
		{ "1.0.0.0/0", "0.0.0.0/0", 96, true },
		{ "::/0", "::/0", 0, false },
		{ "2001:db8::/32", "2001:db8::/32", 32, false },
		{ "2001:db8::1", "2001:db8::1/128", 128, false },
		{ "2001:db8:8000::/33", "2001:db8:8000::/33", 33, false },
		{ "2001:db8:8000::/32", "2001:db8::/32", 32, true },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8", 104, false },
		{ "::ffff:10.0.0.0/95", "::fffe:0:0/95", 95, true },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[PREFIX_STRING_SIZE];
		struct prefix prefix;
		const int r = prefix_parse(rows[i].text, &prefix);

		if (r != (rows[i].bits ? -ERANGE : 0))
			fail_msg("'%s': %d", rows[i].text, r);
		assert_int_equal(prefix.length, rows[i].length);
		assert_string_equal(prefix_format(&prefix, text), rows[i].printed);
	}
}

static void test_malformed(void **state)
{
	static const char *const rows[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0/8",
		"10.0.0.0/08",
		"10.0.0.0/8/8",
		"10.0.0.0:80",
		"[2001:db8::]/32",
		"::/129",
		"a::/x",
		"10.0.0.0 /8",
		"2001:db8:2001:db8:2001:db8:2001:db8:2001:db8/32",
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct prefix prefix, before;

		memset(&prefix, 0xa5, sizeof(prefix));
		before = prefix;
		if (prefix_parse(rows[i], &prefix) != -EINVAL)
			fail_msg("'%s' was taken", rows[i]);
		assert_memory_equal(&prefix, &before, sizeof(before));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_and_meant),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
