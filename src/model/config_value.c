// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_schema.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/address.h"
#include "src/base/parse.h"

static void store(const struct config_key *key, void *object, uint64_t value)
{
	char *place = (char *)object + key->offset;
	const uint8_t byte = (uint8_t)value;
	const uint16_t two = (uint16_t)value;
	const uint32_t four = (uint32_t)value;

	switch (key->size) {
	case 1:
		memcpy(place, &byte, 1);
		break;
	case 2:
		memcpy(place, &two, 2);
		break;
	case 4:
		memcpy(place, &four, 4);
		break;
	default:
		memcpy(place, &value, 8);
	}
}

static const char *expected_words(const struct config_key *key, char buffer[static 256])
{
	size_t length = 0;

	buffer[0] = '\0';
	for (const struct config_word *word = key->words; word->name; word++) {
		if (word->value == CONFIG_WORD_LATER)
			continue;
		length += (size_t)snprintf(buffer + length, 256 - length, "%s%s",
					   length ? ", " : "", word->name);
	}
	return buffer;
}

static const char *expected_range(const struct config_key *key, char buffer[static 256])
{
	char least[CONFIG_TIME_SIZE], most[CONFIG_TIME_SIZE];

	switch (key->type) {
	case CONFIG_TYPE_TIME:
		config_time_format(key->least, least);
		config_time_format(key->most, most);
		snprintf(buffer, 256, "a time from %s to %s, such as 500ms, 30s or 2h4m", least,
			 most);
		break;
	case CONFIG_TYPE_SIZE:
		snprintf(buffer, 256,
			 "a number from %" PRIu64 " to %" PRIu64 ", with k, M or G if you like",
			 key->least, key->most);
		break;
	default:
		snprintf(buffer, 256, "a number from %" PRIu64 " to %" PRIu64, key->least,
			 key->most);
	}
	return buffer;
}

const char *config_value_expected(const struct config_key *key, char buffer[static 256])
{
	switch (key->type) {
	case CONFIG_TYPE_NUMBER:
	case CONFIG_TYPE_SIZE:
	case CONFIG_TYPE_TIME:
		return expected_range(key, buffer);
	case CONFIG_TYPE_SWITCH:
		return "true or false";
	case CONFIG_TYPE_WORD:
		return expected_words(key, buffer);
	case CONFIG_TYPE_TEXT:
		return "a text";
	case CONFIG_TYPE_NAME:
		snprintf(buffer, 256, "a name of 1 to %d characters", key->size - 1);
		return buffer;
	case CONFIG_TYPE_MODE:
		return "permission bits from 0000 to 0777, octal, without quotes";
	case CONFIG_TYPE_PORTS:
		return "LOW-HIGH, 1 to 65535";
	case CONFIG_TYPE_ENDPOINT:
		return "ADDR or ADDR:PORT";
	case CONFIG_TYPE_PROTOCOLS:
		return "tcp, udp or a list of both";
	case CONFIG_TYPE_LISTENS:
		return "ADDR:PORT, ADDR:LOW-HIGH, ADDR:any or a list of them";
	case CONFIG_TYPE_PREFIXES:
		return "a list of networks, ADDR/LENGTH";
	case CONFIG_TYPE_EXCEPT:
		return "a list of ports and ranges, LOW-HIGH";
	case CONFIG_TYPE_MAPPING:
	case CONFIG_TYPE_TIMEOUTS:
	case CONFIG_TYPE_DEFAULTS:
		return "a mapping";
	default:
		return "a list";
	}
}

static int refuse(const struct config_key *key, const char *text, bool range, struct error *error)
{
	char buffer[256];

	return error_set(error, -EINVAL, "%s: '%.80s' is %s; expected %s", key->name, text,
			 range ? "out of range" : "wrong", config_value_expected(key, buffer));
}

/* "128k" is a text to YAML with quotes as without. */
static bool ends_with_unit(const char *text)
{
	return text[0] && !isdigit((unsigned char)text[strlen(text) - 1]);
}

static int read_number(const struct config_key *key, const char *text, bool plain, void *object,
		       struct error *error)
{
	uint64_t value = 0;
	int r;

	if (key->type == CONFIG_TYPE_TIME)
		r = parse_time(text, &value);
	else if (!plain && !(key->type == CONFIG_TYPE_SIZE && ends_with_unit(text)))
		return error_set(error, -EINVAL,
				 "%s: \"%.80s\" is a text; expected a number without quotes",
				 key->name, text);
	else if (key->type == CONFIG_TYPE_SIZE)
		r = parse_size(text, &value);
	else
		r = parse_number(text, &value);
	if (r < 0 || value < key->least || value > key->most)
		return refuse(key, text, r != -EINVAL, error);
	store(key, object, value);
	return 0;
}

static int read_mode(const struct config_key *key, const char *text, bool plain, void *object,
		     struct error *error)
{
	const size_t length = strlen(text);

	if (!plain || length < 3 || length > 4 || strspn(text, "01234567") != length)
		return refuse(key, text, false, error);
	if (length == 4 && text[0] != '0')
		return refuse(key, text, true, error);
	store(key, object, strtoul(text, NULL, 8));
	return 0;
}

static int read_word(const struct config_key *key, const char *text, void *object,
		     struct error *error)
{
	char buffer[256];

	for (const struct config_word *word = key->words; word->name; word++) {
		if (strcmp(word->name, text))
			continue;
		if (word->value == CONFIG_WORD_LATER)
			return error_set(error, -EINVAL, "%s: %s is not supported yet; expected %s",
					 key->name, text, expected_words(key, buffer));
		store(key, object, (uint64_t)word->value);
		return 0;
	}
	return refuse(key, text, false, error);
}

static int read_text(const struct config_key *key, const char *text, void *object,
		     struct error *error)
{
	char **place = (char **)((char *)object + key->offset);
	const size_t size = strlen(text) + 1;
	char *copy;

	if (size == 1 || size > CONFIG_TEXT_MOST + 1)
		return error_set(error, -EINVAL, "%s: %s; expected 1 to %d characters", key->name,
				 size == 1 ? "is empty" : "is too long", CONFIG_TEXT_MOST);
	copy = malloc(size);
	if (!copy)
		return error_set(error, -ENOMEM, "out of memory");
	free(*place);
	*place = memcpy(copy, text, size);
	return 0;
}

static int read_name(const struct config_key *key, const char *text, void *object,
		     struct error *error)
{
	const size_t length = strlen(text);

	if (length < 1 || length >= key->size)
		return refuse(key, text, false, error);
	memcpy((char *)object + key->offset, text, length + 1);
	return 0;
}

static int read_ports(const struct config_key *key, const char *text, void *object,
		      struct error *error)
{
	uint16_t ports[2];

	if (parse_port_range(text, &ports[0], &ports[1]) < 0)
		return refuse(key, text, false, error);
	memcpy((char *)object + key->offset, ports, sizeof(ports));
	return 0;
}

static int read_endpoint(const struct config_key *key, const char *text, void *object,
			 struct error *error)
{
	struct endpoint *endpoint = (struct endpoint *)((char *)object + key->offset);

	if (endpoint_parse(text, endpoint) < 0 && endpoint_parse_any(text, endpoint) < 0)
		return refuse(key, text, false, error);
	return 0;
}

int config_value_read(const struct config_key *key, const char *text, bool plain, void *object,
		      struct error *error)
{
	switch (key->type) {
	case CONFIG_TYPE_NUMBER:
	case CONFIG_TYPE_SIZE:
	case CONFIG_TYPE_TIME:
		return read_number(key, text, plain, object, error);
	case CONFIG_TYPE_MODE:
		return read_mode(key, text, plain, object, error);
	case CONFIG_TYPE_WORD:
		return read_word(key, text, object, error);
	case CONFIG_TYPE_TEXT:
		return read_text(key, text, object, error);
	case CONFIG_TYPE_NAME:
		return read_name(key, text, object, error);
	case CONFIG_TYPE_PORTS:
		return read_ports(key, text, object, error);
	case CONFIG_TYPE_ENDPOINT:
		return read_endpoint(key, text, object, error);
	default: /* CONFIG_TYPE_SWITCH */
		if (!plain || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
			return refuse(key, text, false, error);
		store(key, object, text[0] == 't');
		return 0;
	}
}
