// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/file.h"
#include "src/daemon/override_store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STORE_VERSION 1

static const char *const key_names[] = {
	[OVERRIDE_STATE] = "state",
	[OVERRIDE_WEIGHT] = "weight",
	[OVERRIDE_ADDED] = "added",
	[OVERRIDE_REMOVED] = "removed",
};

static const char *const state_names[] = {
	[BACKEND_READY] = "ready",
	[BACKEND_DRAIN] = "drain",
	[BACKEND_DOWN] = "down",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int find_name(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++)
		if (!strcmp(names[i], name))
			return i;
	return -EINVAL;
}

/* A state by its name, a weight by its number. */
static int parse_value(const json_t *json, enum override_key key, uint32_t *ret)
{
	int state;

	if (key != OVERRIDE_STATE) {
		json_int_t weight = json_integer_value(json);

		if (!json_is_integer(json) || weight < 0 || weight > CONFIG_WEIGHT_MOST)
			return -EINVAL;
		*ret = weight;
		return 0;
	}
	state = find_name(state_names, COUNT(state_names), json_string_value(json));
	if (state < 0)
		return state;
	*ret = state;
	return 0;
}

static int parse_entry(const json_t *json, struct override *ret, struct error *error)
{
	const char *service = json_string_value(json_object_get(json, "service"));
	const char *backend = json_string_value(json_object_get(json, "backend"));
	const char *name = json_string_value(json_object_get(json, "key"));
	int key = find_name(key_names, COUNT(key_names), name);
	struct override entry = {};

	if (!service || !service[0] || strlen(service) >= sizeof(entry.service))
		return error_set(error, -EINVAL, "\"service\" is not a name");
	if (!backend || endpoint_parse_any(backend, &entry.backend) < 0)
		return error_set(error, -EINVAL, "\"backend\" is not ADDRESS:PORT");
	if (key < 0)
		return error_set(error, -EINVAL, "\"key\" is not state, weight, added or removed");
	strcpy(entry.service, service);
	entry.key = key;
	if (entry.key != OVERRIDE_REMOVED &&
	    parse_value(json_object_get(json, "value"), entry.key, &entry.value) < 0)
		return error_set(error, -EINVAL, "\"value\" is no %s",
				 entry.key == OVERRIDE_STATE ? "state" : "weight");
	if ((entry.key == OVERRIDE_STATE || entry.key == OVERRIDE_WEIGHT) &&
	    parse_value(json_object_get(json, "file_value"), entry.key, &entry.file_value) < 0)
		return error_set(error, -EINVAL, "\"file_value\" is no %s", key_names[entry.key]);
	*ret = entry;
	return 0;
}

/* Each key of a backend once. @seen: the set of those before. */
static int check_new(json_t *seen, const struct override *entry, struct error *error)
{
	char name[sizeof(entry->service) + ENDPOINT_STRING_SIZE + 16];
	char backend[ENDPOINT_STRING_SIZE];

	endpoint_format_any(&entry->backend, backend);
	snprintf(name, sizeof(name), "%s %s %s", entry->service, backend, key_names[entry->key]);
	if (json_object_get(seen, name))
		return error_set(error, -EINVAL, "a second \"%s\" of the same backend",
				 key_names[entry->key]);
	return json_object_set_new(seen, name, json_true()) < 0 ? -ENOMEM : 0;
}

static int parse_entries(const json_t *list, struct overrides *ret, struct error *error)
{
	_cleanup_free_ struct override *entries = NULL;
	size_t count = json_array_size(list);
	json_auto_t *seen = json_object();

	if (!json_is_array(list))
		return error_set(error, -EINVAL, "\"overrides\" is not a list");
	entries = calloc(count ? count : 1, sizeof(*entries));
	if (!entries || !seen)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct error why = {};
		int err = parse_entry(json_array_get(list, i), &entries[i], &why);

		if (err == 0)
			err = check_new(seen, &entries[i], &why);
		if (err < 0)
			return error_set(error, err, "overrides[%zu]: %s", i, why.text);
	}
	*ret = (struct overrides){ .entries = TAKE(entries), .count = count };
	return 0;
}

/* -EINVAL: nonsense. */
static int parse_file(FILE *file, struct overrides *ret, struct error *error)
{
	json_error_t problem;
	json_auto_t *document = json_loadf(file, JSON_REJECT_DUPLICATES, &problem);
	const json_t *version;

	if (ferror(file))
		return -EIO;
	/* Without memory jansson says this, too: nothing is lost then, the file is moved only. */
	if (!document)
		return error_set(error, -EINVAL, "line %d: %s", problem.line, problem.text);
	version = json_object_get(document, "version");
	if (!json_is_integer(version) || json_integer_value(version) != STORE_VERSION)
		return error_set(error, -EINVAL, "it is not of version %d", STORE_VERSION);
	return parse_entries(json_object_get(document, "overrides"), ret, error);
}

static int move_aside(const char *path, const char *why, struct error *error)
{
	_cleanup_free_ char *aside = NULL;

	if (asprintf(&aside, "%s.broken", path) < 0) {
		aside = NULL;
		return error_set(error, -ENOMEM, "out of memory");
	}
	if (rename(path, aside) < 0)
		return error_set(error, -EBADMSG,
				 "run-time changes in %s are not understood (%s) and are lost; the "
				 "file cannot be moved to %s: %s",
				 path, why, aside, strerror(errno));
	return error_set(error, -EBADMSG,
			 "run-time changes in %s are not understood (%s) and do not apply; the "
			 "file is now %s: see what it says and repeat it with 'weir backend'",
			 path, why, aside);
}

/* Not a FIFO or a device, which might keep us waiting. */
static FILE *open_regular(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	FILE *file;

	if (fd < 0 || fstat(fd, &status) < 0)
		return NULL;
	if (!S_ISREG(status.st_mode)) {
		errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
		return NULL;
	}
	file = fdopen(fd, "r");
	if (file)
		fd = -1;
	return file;
}

int override_store_load(const char *path, struct overrides *ret, struct error *error)
{
	_cleanup_fclose_ FILE *file = open_regular(path);
	struct error why = {};
	int err;

	if (!file && errno == ENOENT) {
		*ret = (struct overrides){};
		return 0;
	}
	if (!file)
		return error_set(error, -errno, "cannot read run-time changes from %s: %s", path,
				 strerror(errno));
	err = parse_file(file, ret, &why);
	if (err == -EINVAL)
		return move_aside(path, why.text, error);
	if (err < 0)
		return error_set(error, err, "cannot read run-time changes from %s: %s", path,
				 strerror(-err));
	return 0;
}

static json_t *describe_value(enum override_key key, uint32_t value)
{
	return key == OVERRIDE_STATE ? json_string(state_names[value]) : json_integer(value);
}

static json_t *describe_entry(const struct override *entry)
{
	char backend[ENDPOINT_STRING_SIZE];
	json_auto_t *json = json_pack("{s:s, s:s, s:s}", "service", entry->service, "backend",
				      endpoint_format_any(&entry->backend, backend), "key",
				      key_names[entry->key]);
	int err = json ? 0 : -1;

	if (err == 0 && entry->key != OVERRIDE_REMOVED)
		err = json_object_set_new(json, "value", describe_value(entry->key, entry->value));
	if (err == 0 && (entry->key == OVERRIDE_STATE || entry->key == OVERRIDE_WEIGHT))
		err = json_object_set_new(json, "file_value",
					  describe_value(entry->key, entry->file_value));
	return err == 0 ? json_incref(json) : NULL;
}

/* Not json_dumps(): where it finds no memory for a key it goes on without it. */
static char *dump(const json_t *document)
{
	size_t length = json_dumpb(document, NULL, 0, JSON_INDENT(1));
	char *text = length ? malloc(length + 1) : NULL;

	if (!text)
		return NULL;
	if (json_dumpb(document, text, length, JSON_INDENT(1)) != length) {
		free(text);
		return NULL;
	}
	text[length] = '\0';
	return text;
}

static char *describe(const struct overrides *overrides)
{
	json_auto_t *document = json_pack("{s:i, s:[]}", "version", STORE_VERSION, "overrides");
	json_t *list = json_object_get(document, "overrides");

	if (!list)
		return NULL;
	for (size_t i = 0; i < overrides->count; i++)
		if (json_array_append_new(list, describe_entry(&overrides->entries[i])) < 0)
			return NULL;
	return dump(document);
}

int override_store_save(const char *path, const struct overrides *overrides, struct error *error)
{
	_cleanup_free_ char *text = describe(overrides);
	int err = text ? file_replace(path, text, strlen(text)) : -ENOMEM;

	if (err < 0)
		return error_set(
			error, err,
			"cannot keep run-time changes in %s: %s; they are lost at the next "
			"restart",
			path, strerror(-err));
	return 0;
}
