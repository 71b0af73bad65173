// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/kill.h"
#include "src/daemon/override_store.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <time.h>

/* Run-time changes: remembered as overrides, applied like a reload. */

#define DEADLINE_MOST_S (7 * 24 * 3600)

void changes_save(struct daemon *daemon)
{
	struct error error = {};

	if (!daemon->options->overrides_path)
		return;
	if (override_store_save(daemon->options->overrides_path, &daemon->overrides, &error) < 0)
		log_error("run-time changes are not on disk and will not survive a restart: %s",
			  error.text);
}

/* Both are required. */
static int parse_place(const json_t *arguments, const char **service, struct endpoint *backend,
		       struct error *error)
{
	const char *address = json_string_value(json_object_get(arguments, "backend"));

	*service = json_string_value(json_object_get(arguments, "service"));
	if (!*service || !address)
		return error_set(error, -EINVAL, "which backend? expected SERVICE ADDR:PORT");
	if (endpoint_parse_any(address, backend) < 0)
		return error_set(error, -EINVAL,
				 "'%s' is no backend; expected ADDR:PORT, IPv6 as [ADDR]:PORT",
				 address);
	return 0;
}

static int parse_weight(const json_t *arguments, uint32_t *ret, struct error *error)
{
	const json_t *value = json_object_get(arguments, "weight");
	json_int_t weight = json_integer_value(value);

	if (!json_is_integer(value) || weight < 0 || weight > CONFIG_WEIGHT_MOST)
		return error_set(error, -EINVAL, "weight: expected 0 to %d", CONFIG_WEIGHT_MOST);
	*ret = weight;
	return 0;
}

/* The overrides of @service were changed from @before: applies them, or puts @before back. */
static int make_it_so(struct daemon *daemon, const char *service, struct overrides *before,
		      bool check, struct error *error)
{
	int err = reload_service(daemon, service, check, error);

	if (err < 0) {
		overrides_free(&daemon->overrides);
		daemon->overrides = *before;
		return err;
	}
	overrides_free(before);
	changes_save(daemon);
	return 0;
}

int changes_copy(const struct overrides *overrides, struct overrides *ret, struct error *error)
{
	struct override *entries = calloc(overrides->count + 1, sizeof(*entries));

	if (!entries)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	if (overrides->count)
		memcpy(entries, overrides->entries, overrides->count * sizeof(*entries));
	*ret = (struct overrides){ .entries = entries, .count = overrides->count };
	return 0;
}

enum change { CHANGE_ADD, CHANGE_STATE, CHANGE_WEIGHT, CHANGE_RESET, CHANGE_REMOVE };

static int change(struct control_request *request, struct daemon *daemon, enum change kind,
		  const char *service, const struct endpoint *backend, uint32_t value,
		  struct error *error)
{
	struct overrides *overrides = &daemon->overrides;
	const struct config *file = daemon->file;
	struct overrides before;
	int err = changes_copy(overrides, &before, error);

	if (err < 0)
		return err;
	switch (kind) {
	case CHANGE_ADD:
		err = overrides_add(overrides, file, service, backend, value, error);
		break;
	case CHANGE_STATE:
		err = overrides_set_state(overrides, file, service, backend, value, error);
		break;
	case CHANGE_WEIGHT:
		err = overrides_set_weight(overrides, file, service, backend, value, error);
		break;
	case CHANGE_RESET:
		err = overrides_reset(overrides, file, service, backend, error);
		break;
	case CHANGE_REMOVE:
		err = overrides_remove(overrides, file, service, backend, error);
		break;
	}
	if (err < 0) {
		overrides_free(overrides);
		*overrides = before;
		return err;
	}
	return make_it_so(daemon, service, &before, kind == CHANGE_ADD, error);
}

/* The backend as it is now, as the answer. */
static int reply_backend(struct control_request *request, struct daemon *daemon,
			 const char *service, const struct endpoint *backend, struct error *error)
{
	const struct service *found = registry_find_service(&daemon->registry, service);
	uint32_t id = found ? registry_find_backend(&daemon->registry,
						    registry_service_id(&daemon->registry, found),
						    backend) :
			      0;
	json_t *document = id ? describe_backend(daemon, id) : json_object();

	if (!document)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	control_reply(request, document);
	return 0;
}

static void log_done(const struct endpoint *backend, const char *service, const char *what)
{
	char text[ENDPOINT_STRING_SIZE];

	log_info("backend %s (%s): %s at run time", endpoint_format_any(backend, text), service,
		 what);
}

int change_backend_add(struct control_request *request, const json_t *arguments, void *user,
		       struct error *error)
{
	struct daemon *daemon = user;
	struct endpoint backend;
	const char *service;
	uint32_t weight = 1;
	int err = parse_place(arguments, &service, &backend, error);

	if (err == 0 && json_object_get(arguments, "weight"))
		err = parse_weight(arguments, &weight, error);
	if (err == 0)
		err = change(request, daemon, CHANGE_ADD, service, &backend, weight, error);
	if (err < 0)
		return err;
	log_done(&backend, service, "added");
	return reply_backend(request, daemon, service, &backend, error);
}

static int set(struct control_request *request, const json_t *arguments, struct daemon *daemon,
	       const char *service, const struct endpoint *backend, struct error *error)
{
	const char *state = json_string_value(json_object_get(arguments, "state"));
	uint32_t weight = 0;
	int err, number;

	if (!state) {
		err = parse_weight(arguments, &weight, error);
		return err < 0 ? err :
				 change(request, daemon, CHANGE_WEIGHT, service, backend, weight,
					error);
	}
	if (!strcmp(state, "reset"))
		return change(request, daemon, CHANGE_RESET, service, backend, 0, error);
	number = backend_state_parse(state);
	if (number < 0)
		return error_set(error, -EINVAL,
				 "'%s' is no state; expected ready, drain, down or reset", state);
	return change(request, daemon, CHANGE_STATE, service, backend, number, error);
}

int change_backend_set(struct control_request *request, const json_t *arguments, void *user,
		       struct error *error)
{
	const char *state = json_string_value(json_object_get(arguments, "state"));
	struct daemon *daemon = user;
	struct endpoint backend;
	const char *service;
	int err = parse_place(arguments, &service, &backend, error);

	if (err == 0)
		err = set(request, arguments, daemon, service, &backend, error);
	if (err < 0)
		return err;
	log_done(&backend, service, state ? state : "another weight");
	return reply_backend(request, daemon, service, &backend, error);
}

/* Seconds since 1970, or 0 if none is given. */
static int parse_deadline(const json_t *arguments, uint64_t *ret, struct error *error)
{
	const json_t *value = json_object_get(arguments, "deadline");
	json_int_t seconds = json_integer_value(value);

	*ret = 0;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_integer(value) || seconds < 0 || seconds > DEADLINE_MOST_S)
		return error_set(error, -EINVAL, "deadline: expected 0 to %d seconds",
				 DEADLINE_MOST_S);
	/* Never early: this clock counts whole seconds. */
	*ret = time(NULL) + seconds + (seconds > 0);
	return 0;
}

int change_backend_remove(struct control_request *request, const json_t *arguments, void *user,
			  struct error *error)
{
	struct daemon *daemon = user;
	struct endpoint backend;
	uint64_t deadline = 0;
	const char *service;
	int err = parse_place(arguments, &service, &backend, error);
	uint32_t id;

	if (err == 0)
		err = parse_deadline(arguments, &deadline, error);
	if (err == 0)
		err = change(request, daemon, CHANGE_REMOVE, service, &backend, 0, error);
	if (err < 0)
		return err;
	log_done(&backend, service, "removed");
	id = registry_find_backend(
		&daemon->registry,
		registry_service_id(&daemon->registry,
				    registry_find_service(&daemon->registry, service)),
		&backend);
	if (id)
		daemon->tables->backends[id].deadline = deadline;
	return reply_backend(request, daemon, service, &backend, error);
}

/* A filter that takes everything kills only when told so. */
static bool takes_all(const struct filter *filter)
{
	return !filter->service && !filter->has_backend && !filter->has_client;
}

/* 0.0.0.0 or :: */
static bool address_is_nobody(const struct weir_address *address)
{
	return address_is_zero(address) || (address_is_v4(address) && !address_to_v4(address));
}

int change_flow_kill(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	struct daemon *daemon = user;
	struct weir_kill kill = {};
	struct filter filter;
	uint32_t matched = 0;
	int err = filter_parse(daemon, arguments, &filter, error);

	if (err < 0)
		return err;
	if (takes_all(&filter) && !json_is_true(json_object_get(arguments, "all")))
		return error_set(error, -EINVAL,
				 "which flows? expected --service, --backend, --client or --all");
	/* Else it would take every client. */
	if (filter.has_client && address_is_nobody(&filter.client.address))
		return error_set(error, -EINVAL, "client: expected the address of one client");
	if (filter.has_client) {
		kill.client = filter.client.address;
		kill.client_port = htobe16(filter.client.port);
	}
	if (filter.service)
		kill.service_id = registry_service_id(&daemon->registry, filter.service);
	if (!filter.has_backend) {
		kill_flows(daemon, &kill);
		matched = 1;
	}
	for (uint32_t id = 1; filter.has_backend && id <= daemon->registry.last_backend; id++) {
		if (!daemon->registry.backends[id].used ||
		    !filter_takes_backend(&filter, daemon, id))
			continue;
		kill.backend_id = id;
		kill_flows(daemon, &kill);
		matched++;
	}
	if (!matched)
		return error_set(error, -ENOENT,
				 "there is no such backend; see: weir backend list");
	control_reply(request, json_object());
	return 0;
}
