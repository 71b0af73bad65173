// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/parse.h"

#include <errno.h>

#include "tests/unit/unit.h"

#define UNTOUCHED 0xabcdef

struct row {
	const char *text;
	int result;
	uint64_t value;
};

static void run_rows(int (*parse)(const char *, uint64_t *), const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;
		int r = parse(rows[i].text, &value);

		if (r != rows[i].result || value != (r < 0 ? UNTOUCHED : rows[i].value))
			fail_msg("'%s': %d, %llu", rows[i].text, r, (unsigned long long)value);
	}
}

static void test_number(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 0 },
		{ "1", 0, 1 },
		{ "65535", 0, 65535 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "18446744073709551620", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "01", -EINVAL, 0 },
		{ "00", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 },
	};

	run_rows(parse_number, rows, COUNT(rows));
}

static void test_size(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 0 },
		{ "64", 0, 64 },
		{ "64k", 0, 65536 },
		{ "16M", 0, 16777216 },
		{ "3G", 0, 3221225472 },
		{ "17179869183G", 0, 17179869183ULL << 30 },
		{ "17179869184G", -ERANGE, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551615k", -ERANGE, 0 },
		{ "k", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "1K", -EINVAL, 0 },
		{ "1kk", -EINVAL, 0 },
		{ "1 k", -EINVAL, 0 },
		{ "1T", -EINVAL, 0 },
		{ "1.5k", -EINVAL, 0 },
	};

	run_rows(parse_size, rows, COUNT(rows));
}

static void test_time(void **state)
{
	static const struct row rows[] = {
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "500ms", 0, 500 },
		{ "10s", 0, 10000 },
		{ "3m", 0, 180000 },
		{ "2h", 0, 7200000 },
		{ "2h4m", 0, 7440000 },
		{ "1h2m3s4ms", 0, 3723004 },
		{ "1m90s", 0, 150000 },
		{ "18446744073709551615ms", 0, UINT64_MAX },
		{ "18446744073709551615ms1", -EINVAL, 0 },
		{ "18446744073709551615s", -ERANGE, 0 },
		{ "5124095576030h18446744073709551615ms", -ERANGE, 0 },
		{ "18446744073709551616ms", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "10", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ "1s1s", -EINVAL, 0 },
		{ "4m2h", -EINVAL, 0 },
		{ "1ms1s", -EINVAL, 0 },
		{ "1d", -EINVAL, 0 },
		{ "1h4", -EINVAL, 0 },
		{ "1.5s", -EINVAL, 0 },
		{ "-1s", -EINVAL, 0 },
		{ "1 s", -EINVAL, 0 },
		{ "01s", -EINVAL, 0 },
		{ "1sm", -EINVAL, 0 },
		{ "1S", -EINVAL, 0 },
	};

	run_rows(parse_time, rows, COUNT(rows));
}

static void test_port_range(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint16_t low, high;
	} rows[] = {
		{ "1024-65535", 0, 1024, 65535 },
		{ "1-1", 0, 1, 1 },
		{ "0-1", -ERANGE, 0, 0 },
		{ "2-1", -ERANGE, 0, 0 },
		{ "1-65536", -ERANGE, 0, 0 },
		{ "65536-65537", -ERANGE, 0, 0 },
		{ "1-99999999999999999999", -ERANGE, 0, 0 },
		{ "99999999999999999999-1", -ERANGE, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ "1024", -EINVAL, 0, 0 },
		{ "1024-", -EINVAL, 0, 0 },
		{ "-1024", -EINVAL, 0, 0 },
		{ "1024:2048", -EINVAL, 0, 0 },
		{ "1-2-3", -EINVAL, 0, 0 },
		{ "1 - 2", -EINVAL, 0, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint16_t low = 7, high = 8;
		int r = parse_port_range(rows[i].text, &low, &high);

		if (r != rows[i].result || low != (r < 0 ? 7 : rows[i].low) ||
		    high != (r < 0 ? 8 : rows[i].high))
			fail_msg("'%s': %d, %u-%u", rows[i].text, r, low, high);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_port_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
