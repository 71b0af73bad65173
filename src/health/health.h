/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "src/base/address.h"
#include "src/base/error.h"
#include "src/model/config.h"

/*
 * Health checks. Who checks the same place in the same way shares one prober. Nothing here blocks the
 * loop, and nothing is logged: the owner is told.
 */
struct health;       /* all checks of one daemon */
struct health_watch; /* one backend of one service that wants to know */

enum health_state {
	HEALTH_UNKNOWN, /* no result yet */
	HEALTH_UP,
	HEALTH_DOWN,
};

struct health_report {
	enum health_state state;
	uint64_t since_ms;    /* uv_now() of the last change of `state`; 0: never changed */
	uint32_t duration_ms; /* of the last check that ended */
	uint32_t in_a_row;    /* like results, counted consecutively */
	bool last_good;
	char error[128]; /* of the last check, empty if it was good */
};

/* A service address, and the one to connect to, which leads there by way of a backend. */
struct health_way {
	struct weir_address service;
	struct weir_address check;
};

/* What is checked. */
struct health_target {
	struct endpoint backend; /* with a port */
	/* Service addresses that must all answer; none: the backend's own address must. */
	const struct health_way *ways;
	size_t way_count;
};

/* The state changed, or there is a first result. Called from the loop, never from health_watch(). */
typedef void (*health_changed_fn)(struct health_watch *watch, void *user);

/* @user goes to @changed together with the watch's own pointer, see health_watch_user(). */
int health_new(uv_loop_t *loop, health_changed_fn changed, void *user, struct health **ret,
	       struct error *error);
/* Ends every check; the memory goes when the loop has run. Watches must not be used any more. */
void health_free(struct health *health); /* NULL is allowed */

/*
 * Begins to check @target (at the backend's port, unless @config has one) as @config says; both are
 * copied. The first check runs at once, give or take a random part of the interval, so that
 * thousands do not start together. Until its first result the state is @initial: HEALTH_UNKNOWN (the
 * first result decides alone), or what was known of it before (then rise and fall count as usual).
 * @config->type is not HEALTH_NONE.
 */
int health_watch(struct health *health, const struct health_target *target,
		 const struct config_health *config, enum health_state initial, void *user,
		 struct health_watch **ret, struct error *error);
void health_unwatch(struct health_watch *watch); /* NULL is allowed */

const struct health_report *health_report(const struct health_watch *watch);
void *health_watch_user(const struct health_watch *watch);

/* A passive sign that something is wrong: the next check runs now, if none ran in the last 100 ms. */
void health_hint(struct health_watch *watch);

bool health_same_check(const struct config_health *a, const struct config_health *b);
