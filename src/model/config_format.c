// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <string.h>

#include "src/base/address.h"
#include "src/model/config_schema.h"
#include "src/model/listen.h"

static uint64_t load(const struct config_key *key, const void *object)
{
	const char *place = (const char *)object + key->offset;
	uint64_t value;
	uint32_t four;
	uint16_t two;

	switch (key->size) {
	case 1:
		return *(const uint8_t *)place;
	case 2:
		memcpy(&two, place, 2);
		return two;
	case 4:
		memcpy(&four, place, 4);
		return four;
	default:
		memcpy(&value, place, 8);
		return value;
	}
}

static char *text_of(const struct config_key *key, const void *object)
{
	char *text;

	memcpy(&text, (const char *)object + key->offset, sizeof(text));
	return text;
}

static const struct prefix_list *prefixes_of(const struct config_key *key, const void *object)
{
	const struct prefix_list *list;

	memcpy(&list, (const char *)object + key->offset, sizeof(list));
	return list;
}

bool config_value_given(const struct config_key *key, const void *object)
{
	switch (key->type) {
	case CONFIG_TYPE_TEXT:
		return text_of(key, object);
	case CONFIG_TYPE_PREFIXES:
		return prefixes_of(key, object);
	case CONFIG_TYPE_EXCEPT:
		return ((const struct config_service *)object)->except_count;
	case CONFIG_TYPE_NUMBER:
	case CONFIG_TYPE_SIZE:
		return load(key, object) >= key->least;
	default:
		return true;
	}
}

char *config_time_format(uint64_t time, char buffer[static CONFIG_TIME_SIZE])
{
	static const struct {
		const char *name;
		uint64_t milliseconds;
	} units[] = { { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	char *end = buffer;

	strcpy(buffer, "0");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (time < units[i].milliseconds)
			continue;
		end += sprintf(end, "%" PRIu64 "%s", time / units[i].milliseconds, units[i].name);
		time %= units[i].milliseconds;
	}
	return buffer;
}

/* The character at *text, which is UTF-8 as libyaml gave it; moves behind it. */
static uint32_t take_character(const unsigned char **text)
{
	const unsigned char *c = (*text)++;
	uint32_t character;

	if (*c < 0x80)
		return *c;
	character = *c & (*c >= 0xf0 ? 0x07 : *c >= 0xe0 ? 0x0f : 0x1f);
	while ((**text & 0xc0) == 0x80)
		character = character << 6 | (*(*text)++ & 0x3f);
	return character;
}

/* In double quotes: nothing in it means anything to YAML, or to a terminal. */
static void write_text(const char *text, FILE *out)
{
	const unsigned char *rest = (const unsigned char *)text;

	fputc('"', out);
	while (*rest) {
		const uint32_t character = take_character(&rest);

		if (character == '"' || character == '\\')
			fprintf(out, "\\%c", (int)character);
		else if (character < 0x20 || character >= 0x7f)
			fprintf(out, "\\U%08" PRIx32, character);
		else
			fputc((int)character, out);
	}
	fputc('"', out);
}

static void write_word(const struct config_key *key, uint64_t value, FILE *out)
{
	for (const struct config_word *word = key->words; word->name; word++)
		if (word->value >= 0 && (uint64_t)word->value == value)
			fputs(word->name, out);
}

static void write_endpoint(const struct endpoint *endpoint, FILE *out)
{
	char text[ENDPOINT_STRING_SIZE];

	write_text(endpoint_format_any(endpoint, text), out);
}

static void write_prefixes(const struct prefix_list *list, FILE *out)
{
	char text[PREFIX_STRING_SIZE];

	fputc('[', out);
	for (size_t i = 0; i < list->count; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", prefix_format(&list->entries[i], text));
	fputc(']', out);
}

static void write_except(const struct config_service *service, FILE *out)
{
	fputc('[', out);
	for (size_t i = 0; i < service->except_count; i++) {
		const struct config_ports *ports = &service->except[i];

		fprintf(out, "%s%" PRIu16, i ? ", " : "", ports->first);
		if (ports->last != ports->first)
			fprintf(out, "-%" PRIu16, ports->last);
	}
	fputc(']', out);
}

static void write_ports(const struct config_key *key, const void *object, FILE *out)
{
	uint16_t ports[2];

	memcpy(ports, (const char *)object + key->offset, sizeof(ports));
	fprintf(out, "%" PRIu16 "-%" PRIu16, ports[0], ports[1]);
}

void config_value_write(const struct config_key *key, const void *object, FILE *out)
{
	const char *place = (const char *)object + key->offset;
	char time[CONFIG_TIME_SIZE];

	switch (key->type) {
	case CONFIG_TYPE_TIME:
		fputs(config_time_format(load(key, object), time), out);
		break;
	case CONFIG_TYPE_SWITCH:
		fputs(load(key, object) ? "true" : "false", out);
		break;
	case CONFIG_TYPE_WORD:
		write_word(key, load(key, object), out);
		break;
	case CONFIG_TYPE_TEXT:
		write_text(text_of(key, object), out);
		break;
	case CONFIG_TYPE_NAME:
		write_text(place, out);
		break;
	case CONFIG_TYPE_MODE:
		fprintf(out, "%04" PRIo64, load(key, object));
		break;
	case CONFIG_TYPE_PORTS:
		write_ports(key, object, out);
		break;
	case CONFIG_TYPE_ENDPOINT:
		write_endpoint((const struct endpoint *)place, out);
		break;
	case CONFIG_TYPE_PREFIXES:
		write_prefixes(prefixes_of(key, object), out);
		break;
	case CONFIG_TYPE_EXCEPT:
		write_except(object, out);
		break;
	default: /* CONFIG_TYPE_NUMBER, CONFIG_TYPE_SIZE */
		fprintf(out, "%" PRIu64, load(key, object));
	}
}

void config_listens_write(const struct config_service *service, FILE *out)
{
	char text[LISTEN_STRING_SIZE];

	fputc('[', out);
	for (size_t i = 0; i < service->listen_count; i++)
		fprintf(out, "%s\"%s/%s\"", i ? ", " : "",
			listen_format(&service->listens[i], text),
			protocol_name(service->listens[i].protocol));
	fputc(']', out);
}

void config_addresses_write(const struct config_snat *snat, FILE *out)
{
	char text[ENDPOINT_STRING_SIZE];

	fputc('[', out);
	for (size_t i = 0; i < snat->address_count; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : "", address_format(&snat->addresses[i], text));
	fputc(']', out);
}
