// SPDX-License-Identifier: GPL-2.0-only
#include "tests/unit/schema_json.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "src/model/config_schema.h"

#define TIME_PATTERN "^(0|([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
#define LIST_OF(type) "\"type\": \"array\", \"items\": { " type " }"
#define TEXT "\"type\": \"string\""
#define ONE_OR_LIST(type) "\"oneOf\": [{ " type " }, { " LIST_OF(type) " }]"

static void write_object(const struct config_key *keys, bool defaults, int indent, FILE *out);

static void write_words(const struct config_key *key, FILE *out)
{
	const char *separator = "";

	fputs("\"enum\": [", out);
	for (const struct config_word *word = key->words; word->name; word++) {
		/* YAML 1.1 editors take on and off for booleans. */
		const bool boolean = !strcmp(word->name, "on") || !strcmp(word->name, "off");

		if (word->value == CONFIG_WORD_LATER)
			continue;
		fprintf(out, "%s\"%s\"", separator, word->name);
		if (boolean)
			fprintf(out, ", %s", word->name[1] == 'n' ? "true" : "false");
		separator = ", ";
	}
	fputc(']', out);
}

static void write_elements(const struct config_key *keys, bool or_text, int indent, FILE *out)
{
	fputs("\"type\": \"array\", \"items\": ", out);
	fputs(or_text ? "{ \"oneOf\": [{ " TEXT " }, {" : "{", out);
	write_object(keys, false, indent, out);
	fputs(or_text ? "}] }" : "}", out);
}

static void write_type(const struct config_key *key, int indent, FILE *out)
{
	switch (key->type) {
	case CONFIG_TYPE_NUMBER:
		fprintf(out,
			"\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64,
			key->least, key->most);
		break;
	case CONFIG_TYPE_SIZE:
		fprintf(out,
			"\"type\": [\"integer\", \"string\"], \"minimum\": %" PRIu64
			", \"maximum\": %" PRIu64 ", \"pattern\": \"^[0-9]+[kMG]$\"",
			key->least, key->most);
		break;
	case CONFIG_TYPE_TIME:
		fputs("\"type\": [\"integer\", \"string\"], \"maximum\": 0, \"pattern\": "
		      "\"" TIME_PATTERN "\"",
		      out);
		break;
	case CONFIG_TYPE_SWITCH:
		fputs("\"type\": \"boolean\"", out);
		break;
	case CONFIG_TYPE_WORD:
		write_words(key, out);
		break;
	case CONFIG_TYPE_MODE:
		fputs("\"type\": [\"integer\", \"string\"]", out);
		break;
	case CONFIG_TYPE_LISTENS:
		fputs(ONE_OR_LIST(TEXT), out);
		break;
	case CONFIG_TYPE_PROTOCOLS:
		fputs(ONE_OR_LIST("\"enum\": [\"tcp\", \"udp\"]"), out);
		break;
	case CONFIG_TYPE_EXCEPT:
		fputs(LIST_OF("\"type\": [\"integer\", \"string\"]"), out);
		break;
	case CONFIG_TYPE_PREFIXES:
	case CONFIG_TYPE_ADDRESSES:
		fputs(LIST_OF(TEXT), out);
		break;
	case CONFIG_TYPE_INTERFACES:
		write_elements(config_interface_keys, true, indent, out);
		break;
	case CONFIG_TYPE_BACKENDS:
		write_elements(config_backend_keys, true, indent, out);
		break;
	case CONFIG_TYPE_SERVICES:
		write_elements(config_service_keys, false, indent, out);
		break;
	case CONFIG_TYPE_MAPPING:
	case CONFIG_TYPE_TIMEOUTS:
	case CONFIG_TYPE_DEFAULTS:
		write_object(key->keys, key->type == CONFIG_TYPE_DEFAULTS, indent, out);
		break;
	default:
		fputs(TEXT, out);
	}
}

static void write_property(const struct config_key *key, int indent, FILE *out)
{
	fprintf(out, "%*s\"%s\": {\n%*s\"description\": \"%s\",\n", indent, "", key->name,
		indent + 1, "", key->help);
	if (key->fallback)
		fprintf(out, "%*s\"$comment\": \"default: %s\",\n", indent + 1, "", key->fallback);
	fprintf(out, "%*s", indent + 1, "");
	write_type(key, indent + 1, out);
	fprintf(out, "\n%*s}", indent, "");
}

static void write_object(const struct config_key *keys, bool defaults, int indent, FILE *out)
{
	const char *separator = "";

	fprintf(out, "\"type\": \"object\", \"additionalProperties\": false,\n%*s\"required\": [",
		indent, "");
	for (const struct config_key *key = keys; key->name; key++)
		if (key->required && !defaults) {
			fprintf(out, "%s\"%s\"", separator, key->name);
			separator = ", ";
		}
	fprintf(out, "],\n%*s\"properties\": {\n", indent, "");
	separator = "";
	for (const struct config_key *key = keys; key->name; key++) {
		if (key->type == CONFIG_TYPE_LATER || (defaults && key->own))
			continue;
		fputs(separator, out);
		write_property(key, indent + 1, out);
		separator = ",\n";
	}
	fprintf(out, "\n%*s}", indent, "");
}

void schema_json_write(FILE *out)
{
	fputs("{\n \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
	      " \"title\": \"weir.yaml\",\n ",
	      out);
	write_object(config_root_keys, false, 1, out);
	fputs("\n}\n", out);
}
