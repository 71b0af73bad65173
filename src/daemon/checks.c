// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/check_leftovers.h"
#include "src/daemon/internal.h"

#include <string.h>

/* How often the share of a backend that comes back rises. */
#define RAMP_MS 250

static void log_change(const struct daemon *daemon, const struct backend *backend,
		       const struct health_report *report)
{
	const char *service = daemon->registry.services[backend->service].config->name;
	char text[ENDPOINT_STRING_SIZE];

	endpoint_format_any(&backend->config->endpoint, text);
	if (report->state == HEALTH_UP)
		log_info("backend %s (%s): up", text, service);
	else
		log_warning("backend %s (%s): down: %s", text, service, report->error);
}

static void on_changed(struct health_watch *watch, void *user)
{
	const struct health_report *report = health_report(watch);
	struct backend *backend = health_watch_user(watch);
	struct daemon *daemon = user;
	uint32_t id = backend - daemon->registry.backends;

	/* No news: up from the start, or a good check of one that is not yet believed to be up. */
	if (report->state == HEALTH_DOWN ? !report->last_good : backend->was_down)
		log_change(daemon, backend, report);
	if (report->state == HEALTH_UP && backend->was_down)
		checks_ramp(daemon, id);
	backend->was_down = report->state == HEALTH_DOWN;
	publish_mark(daemon, &daemon->registry.services[backend->service]);
	publish_slots(daemon);
}

/* What was known before: a restart changes nothing that is not known better. */
static enum health_state first_state(const struct backend *backend)
{
	if (backend->watch)
		return health_report(backend->watch)->state;
	if (!backend->adopted)
		return HEALTH_UNKNOWN;
	return backend->in_slots ? HEALTH_UP : HEALTH_DOWN;
}

static int watch_backend(struct daemon *daemon, struct backend *backend,
			 const struct check_places *places, struct health_watch **ret,
			 struct error *error)
{
	const struct health_target target = {
		.backend = backend->config->endpoint,
		.ways = places ? places->ways : NULL,
		.way_count = places ? places->count : 0,
	};

	return health_watch(daemon->health, &target,
			    &daemon->registry.services[backend->service].own.health,
			    first_state(backend), backend, ret, error);
}

void checks_follow(struct daemon *daemon, uint32_t id, const struct config_health *before)
{
	struct backend *backend = &daemon->registry.backends[id];
	const struct config_health *now = &daemon->registry.services[backend->service].own.health;
	bool wanted = now->type != HEALTH_NONE && !backend->leaving &&
		      backend->config->state != BACKEND_DOWN;
	struct check_places *places = NULL;
	struct health_watch *watch = NULL;
	char text[ENDPOINT_STRING_SIZE];
	struct error error = {};
	int err = wanted ? check_paths_take(daemon, backend, &places, &error) : 0;

	if (err == 0 && wanted && backend->watch && before && health_same_check(before, now) &&
	    check_paths_same(places, backend->places)) {
		check_paths_put(daemon, places);
		return;
	}
	if (err == 0 && wanted)
		err = watch_backend(daemon, backend, places, &watch, &error);
	if (err < 0)
		log_error("backend %s: cannot check its health (%s): it counts as healthy",
			  endpoint_format_any(&backend->config->endpoint, text), error.text);
	health_unwatch(backend->watch);
	check_paths_put(daemon, backend->places);
	backend->watch = watch;
	backend->places = places;
	/* Of the moment of the start: who comes back later begins like anybody else. */
	backend->adopted = false;
	backend->was_down = watch && health_report(watch)->state == HEALTH_DOWN;
}

static void on_ramp(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	uint64_t now = uv_now(&daemon->loop);
	bool some = false;

	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++) {
		struct backend *backend = &daemon->registry.backends[id];
		struct service *service = &daemon->registry.services[backend->service];

		if (!backend->used || !backend->ramp_began_ms)
			continue;
		if (now - backend->ramp_began_ms >= service->config->slow_start)
			backend->ramp_began_ms = 0;
		else
			some = true;
		publish_mark(daemon, service);
	}
	publish_slots(daemon);
	if (!some)
		uv_timer_stop(timer);
}

void checks_ramp(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];

	if (!daemon->registry.services[backend->service].config->slow_start || !daemon->ready)
		return;
	backend->ramp_began_ms = uv_now(&daemon->loop);
	if (!uv_is_active((uv_handle_t *)&daemon->ramp))
		uv_timer_start(&daemon->ramp, on_ramp, RAMP_MS, RAMP_MS);
}

int checks_start(struct daemon *daemon, struct error *error)
{
	int err = check_leftovers_remove(daemon->options->state_path);

	if (err < 0)
		return error_set(error, err, "cannot remove what an earlier weir has left: %s",
				 strerror(-err));
	uv_timer_init(&daemon->loop, &daemon->ramp);
	daemon->ramp.data = daemon;
	return health_new(&daemon->loop, on_changed, daemon, &daemon->health, error);
}

void checks_stop(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++)
		daemon->registry.backends[id].watch = NULL;
	health_free(daemon->health);
	daemon->health = NULL;
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++) {
		check_paths_put(daemon, daemon->registry.backends[id].places);
		daemon->registry.backends[id].places = NULL;
	}
	check_paths_close(daemon);
}
