// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <errno.h>
#include <stdlib.h>

static int reply_one(struct control_request *request, json_t *document, struct error *error)
{
	if (!document)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	control_reply(request, document);
	return 0;
}

static int status(struct control_request *request, const json_t *arguments, void *user,
		  struct error *error)
{
	return reply_one(request, describe_status(user), error);
}

static int flow_count(struct control_request *request, const json_t *arguments, void *user,
		      struct error *error)
{
	return reply_one(request, describe_flow_count(user), error);
}

/* A list that is described while it is sent. */
struct listing {
	struct daemon *daemon;
	struct filter filter;
	uint32_t next; /* id */
};

static json_t *next_service(void *state)
{
	struct listing *listing = state;

	while (listing->next <= listing->daemon->registry.last_service) {
		uint32_t id = listing->next++;

		if (listing->daemon->registry.services[id].used &&
		    !listing->daemon->registry.services[id].leaving &&
		    filter_takes_service(&listing->filter, listing->daemon, id))
			return describe_service(listing->daemon, id);
	}
	return NULL;
}

static json_t *next_backend(void *state)
{
	struct listing *listing = state;
	const struct registry *registry = &listing->daemon->registry;

	while (listing->next <= registry->last_backend) {
		uint32_t id = listing->next++;

		if (registry->backends[id].used &&
		    filter_takes_service(&listing->filter, listing->daemon,
					 registry->backends[id].service) &&
		    filter_takes_backend(&listing->filter, listing->daemon, id))
			return describe_backend(listing->daemon, id);
	}
	return NULL;
}

static int list(struct control_request *request, const json_t *arguments, struct daemon *daemon,
		json_t *(*next)(void *state), struct error *error)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	int err;

	if (!listing)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	listing->daemon = daemon;
	listing->next = 1;
	err = filter_parse(daemon, arguments, &listing->filter, error);
	if (err < 0) {
		free(listing);
		return err;
	}
	return control_reply_stream(request, next, free, listing);
}

static int service_list(struct control_request *request, const json_t *arguments, void *user,
			struct error *error)
{
	return list(request, arguments, user, next_service, error);
}

static int service_show(struct control_request *request, const json_t *arguments, void *user,
			struct error *error)
{
	struct daemon *daemon = user;
	struct filter filter;
	int err = filter_parse(daemon, arguments, &filter, error);

	if (err == 0 && (!filter.service || filter.service->leaving))
		err = error_set(error, -EINVAL, "which service? see: weir service list");
	if (err < 0)
		return err;
	return reply_one(request,
			 describe_service_whole(
				 daemon, registry_service_id(&daemon->registry, filter.service)),
			 error);
}

static int backend_list(struct control_request *request, const json_t *arguments, void *user,
			struct error *error)
{
	return list(request, arguments, user, next_backend, error);
}

const struct control_command daemon_commands[] = {
	{ .name = "status", .run = status },
	{ .name = "service list", .run = service_list },
	{ .name = "service show", .run = service_show },
	{ .name = "backend list", .run = backend_list },
	{ .name = "backend add", .changes = true, .run = change_backend_add },
	{ .name = "backend set", .changes = true, .run = change_backend_set },
	{ .name = "backend remove", .changes = true, .run = change_backend_remove },
	{ .name = "flow list", .run = flow_list },
	{ .name = "flow count", .run = flow_count },
	{ .name = "flow kill", .changes = true, .run = change_flow_kill },
	{ .name = "trace", .run = trace_run },
	{ .name = "reload", .changes = true, .run = config_reload },
	{ .name = "confirm", .changes = true, .run = config_confirm },
	{ .name = "rollback", .changes = true, .run = config_rollback },
	{ .name = "config show", .run = config_show },
	{ .name = "config diff", .run = config_show_diff },
	{ .name = NULL },
};
