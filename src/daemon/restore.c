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

static int append(struct restore *restore, const char *interface, bool original)
{
	struct restore_forwarding *grown;

	if (strlen(interface) >= sizeof(grown->interface))
		return -EINVAL;
	grown = reallocarray(restore->forwarding, restore->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	restore->forwarding = grown;
	grown += restore->count++;
	memset(grown, 0, sizeof(*grown));
	memcpy(grown->interface, interface, strlen(interface));
	grown->original = original;
	return 0;
}

int restore_load(struct restore *restore, const char *path, struct error *error)
{
	_cleanup_(cleanup_json) json_t *document = NULL;
	const char *interface;
	json_error_t problem;
	json_t *original;

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
	json_object_foreach(json_object_get(document, "forwarding"), interface, original) {
		int err = append(restore, interface, json_is_true(original));

		if (err < 0) {
			restore_free(restore);
			return error_set(error, -EINVAL, "state file %s: entry '%s': %s", path,
					 interface, strerror(-err));
		}
	}
	return 1;
}

void restore_free(struct restore *restore)
{
	free(restore->forwarding);
	restore->forwarding = NULL;
	restore->count = 0;
}

static json_t *to_json(const struct restore *restore)
{
	json_t *forwarding = json_object();

	for (size_t i = 0; i < restore->count; i++)
		if (json_object_set_new(forwarding, restore->forwarding[i].interface,
					json_boolean(restore->forwarding[i].original)) < 0) {
			json_decref(forwarding);
			return NULL;
		}
	return json_pack("{s:i, s:I, s:o}", "version", 1, "network_namespace", network_namespace(),
			 "forwarding", forwarding);
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

struct restore_forwarding *restore_find(struct restore *restore, const char *interface)
{
	for (size_t i = 0; i < restore->count; i++)
		if (!strcmp(restore->forwarding[i].interface, interface))
			return &restore->forwarding[i];
	return NULL;
}

int restore_remember(struct restore *restore, const char *interface, bool original,
		     struct error *error)
{
	int err;

	if (restore_find(restore, interface))
		return 0;
	err = append(restore, interface, original);
	if (err < 0)
		return error_set(error, err, "state of '%s': %s", interface, strerror(-err));
	err = write_file(restore, error);
	if (err < 0)
		restore->count--;
	return err;
}

int restore_forget(struct restore *restore, struct restore_forwarding *entry, struct error *error)
{
	*entry = restore->forwarding[--restore->count];
	return write_file(restore, error);
}
