// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>

#include "src/model/config_file.h"
#include "src/model/config_schema.h"

/* One key a line, with what is below it. */
static void write_keys(const struct config_key *keys, const void *object, int indent, FILE *out)
{
	for (const struct config_key *key = keys; key->name; key++) {
		if (key->type == CONFIG_TYPE_MAPPING) {
			fprintf(out, "%*s%s:\n", indent, "", key->name);
			write_keys(key->keys, (const char *)object + key->offset, indent + 2, out);
		} else if (key->type == CONFIG_TYPE_ADDRESSES) {
			fprintf(out, "%*s%s: ", indent, "", key->name);
			config_addresses_write(object, out);
			fputc('\n', out);
		} else if (key->type < CONFIG_TYPE_MAPPING && config_value_given(key, object)) {
			fprintf(out, "%*s%s: ", indent, "", key->name);
			config_value_write(key, object, out);
			fputc('\n', out);
		}
	}
}

/* An element of a list, in one line. */
static void write_element(const struct config_key *keys, const void *object, int indent, FILE *out)
{
	const char *separator = "";

	fprintf(out, "%*s- {", indent, "");
	for (const struct config_key *key = keys; key->name; key++) {
		if (!config_value_given(key, object))
			continue;
		fprintf(out, "%s%s: ", separator, key->name);
		config_value_write(key, object, out);
		separator = ", ";
	}
	fputs("}\n", out);
}

static void write_service(const struct config_service *service, FILE *out)
{
	fputs("  - listen: ", out);
	config_listens_write(service, out);
	fputc('\n', out);
	write_keys(config_service_keys, service, 4, out);
	fprintf(out, "    backends:%s\n", service->backend_count ? "" : " []");
	for (size_t i = 0; i < service->backend_count; i++)
		write_element(config_backend_keys, &service->backends[i], 6, out);
}

char *config_write(const struct config *config)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	bool failed;

	if (!out)
		return NULL;
	fprintf(out, "interfaces:%s\n", config->interface_count ? "" : " []");
	for (size_t i = 0; i < config->interface_count; i++)
		write_element(config_interface_keys, &config->interfaces[i], 2, out);
	write_keys(config_root_keys, config, 0, out);
	fprintf(out, "services:%s\n", config->service_count ? "" : " []");
	for (size_t i = 0; i < config->service_count; i++)
		write_service(&config->services[i], out);
	failed = ferror(out);
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}
