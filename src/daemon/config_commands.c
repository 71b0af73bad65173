// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/daemon/internal.h"
#include "src/model/config_file.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIRM_MOST_S (24 * 3600)

int config_reply_generation(struct control_request *request, struct daemon *daemon)
{
	control_reply(request, json_pack("{s:I}", "generation",
					 (json_int_t)daemon->tables->root->generation));
	return 0;
}

int config_reload(struct control_request *request, const json_t *arguments, void *user,
		  struct error *error)
{
	const json_t *confirm = json_object_get(arguments, "confirm");
	json_int_t seconds = json_integer_value(confirm);

	if (confirm && (!json_is_integer(confirm) || seconds < 1 || seconds > CONFIRM_MOST_S))
		return error_set(error, -EINVAL, "confirm: expected 1 to %d seconds",
				 CONFIRM_MOST_S);
	return reload_from_file(user, seconds * 1000, request, error);
}

int config_confirm(struct control_request *request, const json_t *arguments, void *user,
		   struct error *error)
{
	int err = reload_confirm(user, error);

	return err < 0 ? err : config_reply_generation(request, user);
}

int config_rollback(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	int err = reload_rollback(user, error);

	return err < 0 ? err : config_reply_generation(request, user);
}

int config_show(struct control_request *request, const json_t *arguments, void *user,
		struct error *error)
{
	const struct daemon *daemon = user;
	_cleanup_free_ char *text = config_write(daemon->config);
	json_t *document = text ? json_pack("{s:s}", "yaml", text) : NULL;

	if (!document)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	control_reply(request, document);
	return 0;
}

static void add_difference(const char *path, const char *file, const char *running, void *user)
{
	json_array_append_new(user, json_pack("{s:s, s:s?, s:s?}", "path", path, "file", file,
					      "running", running));
}

static int compare(const struct config *file, const struct config *running, json_t **ret,
		   struct error *error)
{
	json_t *list = json_array();
	int err = list ? config_diff(file, running, add_difference, list) : -ENOMEM;

	if (err >= 0) {
		*ret = list;
		return 0;
	}
	json_decref(list);
	return error_set(error, err, "the daemon is out of memory");
}

/* Takes the reference. */
static void reply_all(struct control_request *request, json_t *list)
{
	json_t *difference;
	size_t i;

	json_array_foreach(list, i, difference)
		control_reply(request, json_incref(difference));
	json_decref(list);
}

/* Who wants to know what differs from the file. */
struct asker {
	struct control_request *request; /* NULL: has left */
	struct config *running;          /* as it was when he asked */
	json_t *list;
};

static void on_gone(struct control_request *request, void *user)
{
	struct asker *asker = user;

	asker->request = NULL;
}

/* Aside, as the reading: a large configuration takes long to compare. */
static int compare_aside(const struct config *file, void *user, struct error *error)
{
	struct asker *asker = user;

	return compare(file, asker->running, &asker->list, error);
}

static void free_asker(struct asker *asker)
{
	reload_drop(&asker->running);
	json_decref(asker->list);
	free(asker);
}

static void on_read(struct daemon *daemon, struct config *file, int err, struct error *error,
		    void *user)
{
	struct asker *asker = user;

	reload_drop(&file);
	if (asker->request && err == 0)
		reply_all(asker->request, json_incref(asker->list));
	if (asker->request)
		control_finish(asker->request, err < 0 ? error : NULL);
	free_asker(asker);
}

/* What runs against what the file says now, not when it was read. */
int config_show_diff(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	struct daemon *daemon = user;
	struct asker *asker;
	json_t *list;
	int err;

	if (!daemon->options->config_path) {
		err = compare(daemon->file, daemon->config, &list, error);
		if (err == 0)
			reply_all(request, list);
		return err;
	}
	asker = calloc(1, sizeof(*asker));
	if (asker)
		asker->running = reload_clone(daemon->config);
	if (!asker || !asker->running) {
		free(asker);
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	}
	asker->request = request;
	err = reading_begin(daemon, compare_aside, on_read, asker, error);
	if (err < 0)
		free_asker(asker);
	else
		control_defer(request, on_gone, asker);
	return err;
}
