// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/health/health_state.h"
#include "src/health/internal.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

int health_new(uv_loop_t *loop, health_changed_fn changed, void *user, struct health **ret,
	       struct error *error)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return error_set(error, -ENOMEM, "no memory for the health checks");
	health->loop = loop;
	health->changed = changed;
	health->user = user;
	TAILQ_INIT(&health->queue);
	*ret = health;
	return 0;
}

void health_handle_opened(struct health *health)
{
	health->handles++;
}

void health_handle_closed(struct health *health)
{
	if (--health->handles == 0 && health->closing)
		free(health);
}

void health_free(struct health *health)
{
	if (!health)
		return;
	health->closing = true;
	health->handles++; /* nothing is freed below our feet */
	while (health->probers) {
		struct prober *prober = *(struct prober **)health->probers;
		struct health_watch *watch;

		prober->next_told = NULL;
		while ((watch = LIST_FIRST(&prober->watches))) {
			LIST_REMOVE(watch, place);
			free(watch);
		}
		prober_free(prober);
	}
	http_free(health->http);
	icmp_free(health->icmp);
	icmp_free(health->icmp6);
	health_handle_closed(health);
}

/* Owns the contents of @target from now on, also on failure. */
static int find_prober(struct health *health, struct target *target, struct prober **ret,
		       struct error *error)
{
	struct prober *const *found = tfind(target, &health->probers, target_compare);
	const struct check_kind *kind = prober_kind(target->config.type);
	int code = 0;

	if (found) {
		target_done(target);
		*ret = *found;
		return 0;
	}
	if (kind->prepare)
		code = kind->prepare(health, target, error);
	if (code == 0) {
		code = prober_new(health, target, ret);
		if (code < 0)
			error_set(error, code, "no memory for another health check");
	}
	if (code < 0)
		target_done(target);
	return code;
}

int health_watch(struct health *health, const struct health_target *target,
		 const struct config_health *config, enum health_state initial, void *user,
		 struct health_watch **ret, struct error *error)
{
	_cleanup_free_ struct health_watch *watch = calloc(1, sizeof(*watch));
	struct target copy;
	int code;

	if (!watch || target_make(target, config, &copy) < 0)
		return error_set(error, -ENOMEM, "no memory for another health check");
	code = find_prober(health, &copy, &watch->prober, error);
	if (code < 0)
		return code;
	health_state_init(&watch->report, initial);
	watch->user = user;
	LIST_INSERT_HEAD(&watch->prober->watches, watch, place);
	prober_soon(watch->prober);
	*ret = TAKE(watch);
	return 0;
}

void health_unwatch(struct health_watch *watch)
{
	struct prober *prober;

	if (!watch)
		return;
	prober = watch->prober;
	if (prober->next_told == watch)
		prober->next_told = LIST_NEXT(watch, place);
	LIST_REMOVE(watch, place);
	free(watch);
	if (LIST_EMPTY(&prober->watches))
		prober_free(prober);
}

const struct health_report *health_report(const struct health_watch *watch)
{
	return &watch->report;
}

void *health_watch_user(const struct health_watch *watch)
{
	return watch->user;
}

void health_hint(struct health_watch *watch)
{
	prober_hint(watch->prober);
}
