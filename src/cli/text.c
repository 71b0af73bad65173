// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct text nothing = { "-" };

struct text text_count(uint64_t number)
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	struct text ret = { "" };
	size_t used = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			ret.s[used++] = ',';
		ret.s[used++] = digits[i];
	}
	return ret;
}

struct text text_short(uint64_t number)
{
	static const char units[] = "kMGTPE";
	uint64_t tenths = number / 100 + (number % 100 >= 50);
	struct text ret;
	size_t unit = 0;

	if (number < 100000)
		return text_count(number);
	while (tenths >= 10000 && units[unit + 1]) {
		tenths = tenths / 1000 + (tenths % 1000 >= 500);
		unit++;
	}
	snprintf(ret.s, sizeof(ret.s), "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
		 units[unit]);
	return ret;
}

struct text text_duration(uint64_t milliseconds)
{
	const double seconds = milliseconds / 1000.0;
	struct text ret;

	if (milliseconds < 1000)
		snprintf(ret.s, sizeof(ret.s), "%" PRIu64 " ms", milliseconds);
	else if (seconds < 120)
		snprintf(ret.s, sizeof(ret.s), "%.1f s", seconds);
	else if (seconds < 7200)
		snprintf(ret.s, sizeof(ret.s), "%.1f min", seconds / 60);
	else
		snprintf(ret.s, sizeof(ret.s), "%.1f h", seconds / 3600);
	return ret;
}

const json_t *field(const json_t *document, const char *path)
{
	while (document) {
		size_t length = strcspn(path, ".");
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)length, path);
		document = json_object_get(document, key);
		if (!path[length])
			break;
		path += length + 1;
	}
	return document;
}

const char *field_text(const json_t *document, const char *path)
{
	const char *text = json_string_value(field(document, path));

	return text && text[0] ? text : nothing.s;
}

uint64_t field_number(const json_t *document, const char *path)
{
	json_int_t number = json_integer_value(field(document, path));

	return number > 0 ? number : 0;
}

struct text field_count(const json_t *document, const char *path)
{
	return json_is_integer(field(document, path)) ? text_count(field_number(document, path)) :
							nothing;
}

struct text field_short(const json_t *document, const char *path)
{
	return json_is_integer(field(document, path)) ? text_short(field_number(document, path)) :
							nothing;
}

struct text field_duration(const json_t *document, const char *path)
{
	return json_is_integer(field(document, path)) ?
		       text_duration(field_number(document, path)) :
		       nothing;
}
