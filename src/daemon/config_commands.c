// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/daemon/internal.h"
#include "src/model/config_file.h"

#include <errno.h>
#include <stdlib.h>

#define CONFIRM_MOST_S (24 * 3600)

static int reply_generation(struct control_request *request, struct daemon *daemon)
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
	struct daemon *daemon = user;
	int err;

	if (confirm && (!json_is_integer(confirm) || seconds < 1 || seconds > CONFIRM_MOST_S))
		return error_set(error, -EINVAL, "confirm: expected 1 to %d seconds",
				 CONFIRM_MOST_S);
	err = reload_from_file(daemon, seconds * 1000, error);
	return err < 0 ? err : reply_generation(request, daemon);
}

int config_confirm(struct control_request *request, const json_t *arguments, void *user,
		   struct error *error)
{
	int err = reload_confirm(user, error);

	return err < 0 ? err : reply_generation(request, user);
}

int config_rollback(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	int err = reload_rollback(user, error);

	return err < 0 ? err : reply_generation(request, user);
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

/* What runs against what the file says now, not when it was read. */
int config_show_diff(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	const struct daemon *daemon = user;
	struct config *now = NULL;
	json_t *list, *difference;
	int err = 0;
	size_t i;

	if (daemon->options->config_path)
		err = reload_read(daemon, &now, error);
	if (err < 0)
		return err;
	list = json_array();
	err = list ? config_diff(now ? now : daemon->file, daemon->config, add_difference, list) :
		     -ENOMEM;
	reload_drop(&now);
	if (err < 0) {
		json_decref(list);
		return error_set(error, err, "the daemon is out of memory");
	}
	json_array_foreach(list, i, difference)
		control_reply(request, json_incref(difference));
	json_decref(list);
	return 0;
}
