// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_file.h"
#include "src/model/config_schema.h"

/* A configuration as a list of keys and values, in the order of the keys. */
struct flat_entry {
	const char *path, *value;
};

struct flat {
	char *text; /* "path\0value\0path\0value\0..." */
	size_t length;
	struct flat_entry *entries;
	size_t count;
};

static void flat_free(struct flat *flat)
{
	free(flat->text);
	free(flat->entries);
}

static void put_keys(const struct config_key *keys, const void *object, const char *prefix,
		     FILE *out)
{
	char path[256];

	for (const struct config_key *key = keys; key->name; key++) {
		if (key->type == CONFIG_TYPE_MAPPING) {
			snprintf(path, sizeof(path), "%s%s.", prefix, key->name);
			put_keys(key->keys, (const char *)object + key->offset, path, out);
		} else if (key->type == CONFIG_TYPE_ADDRESSES) {
			fprintf(out, "%s%s%c", prefix, key->name, '\0');
			config_addresses_write(object, out);
			fputc('\0', out);
		} else if (key->type < CONFIG_TYPE_MAPPING && config_value_given(key, object)) {
			fprintf(out, "%s%s%c", prefix, key->name, '\0');
			config_value_write(key, object, out);
			fputc('\0', out);
		}
	}
}

static void put_service(const struct config_service *service, FILE *out)
{
	char prefix[192], address[ENDPOINT_STRING_SIZE];

	snprintf(prefix, sizeof(prefix), "services.%.63s.", service->name);
	fprintf(out, "%slisten%c", prefix, '\0');
	config_listens_write(service, out);
	fputc('\0', out);
	put_keys(config_service_keys, service, prefix, out);
	for (size_t i = 0; i < service->backend_count; i++) {
		endpoint_format_any(&service->backends[i].endpoint, address);
		snprintf(prefix, sizeof(prefix), "services.%.63s.backends[%s].", service->name,
			 address);
		put_keys(config_backend_keys, &service->backends[i], prefix, out);
	}
}

static bool put_all(const struct config *config, struct flat *flat)
{
	FILE *out = open_memstream(&flat->text, &flat->length);
	char prefix[64];
	bool failed;

	if (!out)
		return false;
	for (size_t i = 0; i < config->interface_count; i++) {
		snprintf(prefix, sizeof(prefix), "interfaces[%.15s].", config->interfaces[i].name);
		put_keys(config_interface_keys, &config->interfaces[i], prefix, out);
	}
	put_keys(config_root_keys, config, "", out);
	for (size_t i = 0; i < config->service_count; i++)
		put_service(&config->services[i], out);
	failed = ferror(out);
	return fclose(out) == 0 && !failed;
}

static int compare(const void *left, const void *right)
{
	const struct flat_entry *a = left, *b = right;

	return strcmp(a->path, b->path);
}

static int flatten(const struct config *config, struct flat *flat)
{
	size_t ends = 0;

	if (!put_all(config, flat))
		return -ENOMEM;
	for (size_t i = 0; i < flat->length; i++)
		ends += !flat->text[i];
	flat->entries = calloc(ends / 2 + 1, sizeof(*flat->entries));
	if (!flat->entries)
		return -ENOMEM;
	for (const char *text = flat->text; text < flat->text + flat->length;) {
		struct flat_entry *entry = &flat->entries[flat->count++];

		entry->path = text;
		entry->value = text + strlen(text) + 1;
		text = entry->value + strlen(entry->value) + 1;
	}
	qsort(flat->entries, flat->count, sizeof(*flat->entries), compare);
	return 0;
}

/* Which of the two comes first, an end last of all. */
static int compare_heads(const struct flat *a, size_t i, const struct flat *b, size_t j)
{
	if (i == a->count)
		return 1;
	if (j == b->count)
		return -1;
	return strcmp(a->entries[i].path, b->entries[j].path);
}

int config_diff(const struct config *old_config, const struct config *new_config,
		config_diff_fn tell, void *user)
{
	_cleanup_(flat_free) struct flat before = { .text = NULL };
	_cleanup_(flat_free) struct flat after = { .text = NULL };
	size_t i = 0, j = 0;
	int count = 0;

	if (flatten(old_config, &before) < 0 || flatten(new_config, &after) < 0)
		return -ENOMEM;
	while (i < before.count || j < after.count) {
		const int order = compare_heads(&before, i, &after, j);
		const struct flat_entry *gone = order <= 0 ? &before.entries[i++] : NULL;
		const struct flat_entry *come = order >= 0 ? &after.entries[j++] : NULL;

		if (gone && come && !strcmp(gone->value, come->value))
			continue;
		tell(gone ? gone->path : come->path, gone ? gone->value : NULL,
		     come ? come->value : NULL, user);
		count++;
	}
	return count;
}
