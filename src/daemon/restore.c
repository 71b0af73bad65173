// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/file.h"
#include "src/daemon/restore.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first one is as old as the file, and was a truth value once. */
static const char *const keys[HOST_SWITCHES] = {
	[HOST_FORWARDING4] = "forwarding",
	[HOST_FORWARDING6] = "forwarding6",
	[HOST_ACCEPT_RA] = "accept_ra",
};

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

/* Tells network namespaces apart; 0 if the kernel does not say. */
static json_int_t network_namespace(void)
{
	struct stat status;

	return stat("/proc/self/ns/net", &status) < 0 ? 0 : (json_int_t)status.st_ino;
}

static int append(struct restore *restore, enum host_switch which, const char *interface,
		  int original)
{
	struct restore_entry *grown;

	if (strlen(interface) >= sizeof(grown->interface))
		return -EINVAL;
	grown = reallocarray(restore->entries, restore->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	restore->entries = grown;
	grown += restore->count++;
	*grown = (struct restore_entry){ .which = which, .original = original };
	memcpy(grown->interface, interface, strlen(interface));
	return 0;
}

static int load_switches(struct restore *restore, enum host_switch which, const json_t *document,
			 struct error *error)
{
	const char *interface;
	json_t *original;

	json_object_foreach(json_object_get(document, keys[which]), interface, original) {
		int value = json_is_true(original) ? 1 : (int)json_integer_value(original);
		int err = append(restore, which, interface, value);

		if (err < 0)
			return error_set(error, -EINVAL, "state file %s: entry '%s': %s",
					 restore->path, interface, strerror(-err));
	}
	return 0;
}

int restore_load(struct restore *restore, const char *path, struct error *error)
{
	_cleanup_(cleanup_json) json_t *document = NULL;
	json_error_t problem;
	int err = 0;

	*restore = (struct restore){ .path = path };
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	document = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
	if (!document)
		return error_set(error, -EINVAL,
				 "state file %s: %s; what an earlier weir has set "
				 "is not put back",
				 path, problem.text);
	if (json_integer_value(json_object_get(document, "version")) != 1 ||
	    json_integer_value(json_object_get(document, "network_namespace")) !=
		    network_namespace())
		return error_set(error, -EINVAL,
				 "state file %s belongs to another version or "
				 "network namespace and is replaced",
				 path);
	for (int which = 0; which < HOST_SWITCHES && err == 0; which++)
		err = load_switches(restore, which, document, error);
	if (err < 0)
		restore_free(restore);
	return err < 0 ? err : 1;
}

void restore_free(struct restore *restore)
{
	free(restore->entries);
	restore->entries = NULL;
	restore->count = 0;
}

static json_t *to_json(const struct restore *restore)
{
	json_t *document = json_pack("{s:i, s:I, s:{}, s:{}, s:{}}", "version", 1,
				     "network_namespace", network_namespace(), keys[0], keys[1],
				     keys[2]);

	for (size_t i = 0; i < restore->count; i++) {
		const struct restore_entry *entry = &restore->entries[i];

		if (json_object_set_new(json_object_get(document, keys[entry->which]),
					entry->interface, json_integer(entry->original)) < 0) {
			json_decref(document);
			return NULL;
		}
	}
	return document;
}

static int write_file(const struct restore *restore, struct error *error)
{
	_cleanup_(cleanup_json) json_t *document = to_json(restore);
	_cleanup_free_ char *text = document ? json_dumps(document, JSON_INDENT(1)) : NULL;
	int err;

	if (!text)
		return error_set(error, -ENOMEM, "out of memory");
	err = file_replace(restore->path, text, strlen(text));
	if (err < 0)
		return error_set(error, err, "cannot write the state file %s: %s", restore->path,
				 strerror(-err));
	return 0;
}

int restore_begin(struct restore *restore, struct error *error)
{
	int err = write_file(restore, error);

	restore->begun = err == 0;
	return err;
}

int restore_end(struct restore *restore, struct error *error)
{
	if (!restore->begun)
		return 0;
	restore->begun = false;
	if (unlink(restore->path) < 0 && errno != ENOENT)
		return error_set(error, -errno, "cannot remove the state file %s: %s",
				 restore->path, strerror(errno));
	return 0;
}

struct restore_entry *restore_find(struct restore *restore, enum host_switch which,
				   const char *interface)
{
	for (size_t i = 0; i < restore->count; i++)
		if (restore->entries[i].which == which &&
		    !strcmp(restore->entries[i].interface, interface))
			return &restore->entries[i];
	return NULL;
}

int restore_remember(struct restore *restore, enum host_switch which, const char *interface,
		     int original, struct error *error)
{
	int err;

	if (restore_find(restore, which, interface))
		return 0;
	err = append(restore, which, interface, original);
	if (err < 0)
		return error_set(error, err, "state of '%s': %s", interface, strerror(-err));
	err = write_file(restore, error);
	if (err < 0)
		restore->count--;
	return err;
}

int restore_forget(struct restore *restore, struct restore_entry *entry, struct error *error)
{
	*entry = restore->entries[--restore->count];
	return write_file(restore, error);
}

int restore_put_back(const struct restore_entry *entry, char line[static RESTORE_LINE_SIZE],
		     struct error *error)
{
	int err = host_set_switch(entry->which, entry->interface, entry->original);
	char name[HOST_SWITCH_STRING_SIZE];

	if (err == -ENOENT || err == -ENODEV)
		return 0;
	host_switch_format(entry->which, entry->interface, name);
	if (err < 0)
		return error_set(error, err, "cannot set %s back to %d: %s", name, entry->original,
				 strerror(-err));
	snprintf(line, RESTORE_LINE_SIZE, "%s set back to %d", name, entry->original);
	return 1;
}
