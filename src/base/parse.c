// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Reads the digits at *text and moves it behind them. */
static int take_digits(const char **text, uint64_t *ret)
{
	const char *c = *text;
	uint64_t number = 0;

	if (*c < '0' || *c > '9')
		return -EINVAL;
	if (c[0] == '0' && c[1] >= '0' && c[1] <= '9')
		return -EINVAL;
	for (; *c >= '0' && *c <= '9'; c++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number))
			return -ERANGE;
	}
	*text = c;
	*ret = number;
	return 0;
}

int parse_number(const char *text, uint64_t *ret)
{
	uint64_t number;
	int r;

	r = take_digits(&text, &number);
	if (r < 0)
		return r;
	if (*text)
		return -EINVAL;
	*ret = number;
	return 0;
}

int parse_size(const char *text, uint64_t *ret)
{
	static const char suffixes[] = "kMG";
	uint64_t number, factor = 1;
	const char *suffix;
	int r;

	r = take_digits(&text, &number);
	if (r < 0)
		return r;
	if (*text) {
		suffix = strchr(suffixes, *text);
		if (!suffix || text[1])
			return -EINVAL;
		factor = 1ULL << (10 * (suffix - suffixes + 1));
	}
	if (__builtin_mul_overflow(number, factor, &number))
		return -ERANGE;
	*ret = number;
	return 0;
}

static const struct time_unit {
	const char *name;
	uint64_t milliseconds;
} time_units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

#define TIME_UNITS (sizeof(time_units) / sizeof(time_units[0]))

/* Index of the unit at *text, which is moved behind it, or -EINVAL. */
static int take_unit(const char **text)
{
	size_t length = strcspn(*text, "0123456789");

	for (size_t i = 0; i < TIME_UNITS; i++) {
		if (strlen(time_units[i].name) == length &&
		    !strncmp(*text, time_units[i].name, length)) {
			*text += length;
			return (int)i;
		}
	}
	return -EINVAL;
}

int parse_time(const char *text, uint64_t *ret)
{
	uint64_t total = 0, number;
	int unit, previous = -1, r;

	if (!strcmp(text, "0")) {
		*ret = 0;
		return 0;
	}
	do {
		r = take_digits(&text, &number);
		if (r < 0)
			return r;
		unit = take_unit(&text);
		if (unit <= previous)
			return -EINVAL;
		previous = unit;
		if (__builtin_mul_overflow(number, time_units[unit].milliseconds, &number) ||
		    __builtin_add_overflow(total, number, &total))
			return -ERANGE;
	} while (*text);
	*ret = total;
	return 0;
}

int parse_port_range(const char *text, uint16_t *ret_low, uint16_t *ret_high)
{
	uint64_t low, high;
	int r;

	r = take_digits(&text, &low);
	if (r < 0)
		return r;
	if (*text++ != '-')
		return -EINVAL;
	r = parse_number(text, &high);
	if (r < 0)
		return r;
	if (low < 1 || low > high || high > UINT16_MAX)
		return -ERANGE;
	*ret_low = (uint16_t)low;
	*ret_high = (uint16_t)high;
	return 0;
}
