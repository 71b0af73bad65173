// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_file.h"
#include "tests/unit/config_samples.h"
#include "tests/unit/unit.h"

/* The good configuration, broken in some way at each of its lines: each refused, with a position. */

struct seen {
	size_t count, line; /* the line that one report at least is to name, 0: any */
	bool found;
};

static void take_report(size_t line, size_t column, const char *text, void *user)
{
	struct seen *seen = user;

	assert_true(line >= 1 && column >= 1 && text[0]);
	seen->count++;
	seen->found |= line == seen->line;
}

static void refuse(const char *text, size_t line, size_t *count)
{
	_cleanup_(config_free) struct config config;
	struct seen seen = { .line = line };

	config_init(&config);
	if (config_file_parse(text, strlen(text), &config, take_report, &seen) != -EINVAL)
		fail_msg("accepted:\n%s", text);
	assert_true(seen.count > 0);
	if (line && !seen.found)
		fail_msg("nothing is reported in line %zu:\n%s", line, text);
	++*count;
}

/* Puts @value where the line that begins at @start has the value of its key; NULL: it has none. */
static char *replace_value(const char *start, const char *value)
{
	const char *end = strchr(start, '\n'), *colon = strstr(start, ": ");
	char *text;

	if (!colon || colon > end || memchr(start, '{', (size_t)(end - start)))
		return NULL;
	assert_true(asprintf(&text, "%.*s%s%s", (int)(colon + 2 - good_config), good_config, value,
			     end) > 0);
	return text;
}

static void test_values(void **state)
{
	static const char *const values[] = {
		"",
		"~",
		"{a: b}",
		"[[1]]",
		"\"\"",
		"&a 1",
		"*a",
		"!!str 1",
		"\"\\0\"",
		"\"\\e[2J\"",
		"[2001:db8::1]:5",
		"{a: b",
		"x: y: z",
		"\t- [",
		"'unended",
		"{a: {a: {a: 1}}}",
		"\xc3\x28",
	};
	size_t count = 0;

	for (const char *start = good_config; *start; start = strchr(start, '\n') + 1) {
		for (size_t i = 0; i < COUNT(values); i++) {
			_cleanup_free_ char *text = replace_value(start, values[i]);

			if (text)
				refuse(text, 0, &count);
		}
	}
	assert_true(count >= 400);
}

static void test_numbers(void **state)
{
	static const char *const keys[] = { "flows",
					    "flows_v6",
					    "half_open",
					    "udp_share",
					    "icmp_rate",
					    "reset_rate",
					    "tcp",
					    "tcp_handshake",
					    "slow_start",
					    "interval",
					    "timeout",
					    "rise",
					    "fall",
					    "port",
					    "status",
					    "weight",
					    "max_connections",
					    "mode",
					    "ports" };
	static const char *const values[] = {
		"99999999999999999999", "999999999h", "1.5", "0x10", "1e3", "true"
	};
	size_t count = 0;

	for (size_t i = 0; i < COUNT(keys); i++) {
		char key[32];
		const char *start;
		size_t line = 1;

		snprintf(key, sizeof(key), " %s: ", keys[i]);
		start = strstr(good_config, key);
		assert_non_null(start);
		for (const char *c = good_config; c < start; c++)
			line += *c == '\n';
		for (size_t j = 0; j < COUNT(values); j++) {
			_cleanup_free_ char *text = replace_value(start, values[j]);

			if (text)
				refuse(text, line, &count);
		}
	}
	assert_true(count >= 90);
}

/* Each line twice, and each with another key. */
static void test_keys(void **state)
{
	size_t count = 0, line = 1;

	for (const char *start = good_config; *start; start = strchr(start, '\n') + 1, line++) {
		const char *end = strchr(start, '\n') + 1;
		const char *key = start + strspn(start, " -");
		_cleanup_free_ char *twice = NULL, *other = NULL;

		assert_true(asprintf(&other, "%.*sx_%s", (int)(key - good_config), good_config,
				     key) > 0);
		if (key[0] != '{' && key[0] != '1')
			refuse(other, line, &count);
		if (start[strspn(start, " ")] == '-' || end[-2] == ':')
			continue;
		assert_true(asprintf(&twice, "%.*s%s", (int)(end - good_config), good_config,
				     start) > 0);
		refuse(twice, line + 1, &count);
	}
	assert_true(count >= 80);
}

/* Cut off anywhere, it may be right or wrong, but it is dealt with. */
static void test_beginnings(void **state)
{
	for (size_t length = 0; length < strlen(good_config); length++) {
		_cleanup_(config_free) struct config config;
		_cleanup_free_ char *text = malloc(length + 1);
		struct seen seen = { .count = 0 };
		int r;

		memcpy(text, good_config, length);
		config_init(&config);
		r = config_file_parse(text, length, &config, take_report, &seen);
		assert_true(r == (seen.count ? -EINVAL : 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_beginnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
