/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "src/health/health.h"

/* A loop with health checks; what changed is counted. */
struct harness {
	uv_loop_t loop;
	struct health *health;
	unsigned int told;
	void (*on_change)(struct harness *harness, struct health_watch *watch); /* or NULL */
};

/* For cmocka: *state is a struct harness. The end fails if a handle or memory was left behind. */
int harness_start(void **state);
int harness_stop(void **state);

/* Frees all checks and lets the loop end; again is allowed. */
void harness_free(struct harness *harness);

void run_for(struct harness *harness, unsigned int milliseconds);
/* Fails the test if @told is not reached in 5 seconds. */
void run_until_told(struct harness *harness, unsigned int told);

/* Every 100 ms with 80 ms of time, one result changes the state. */
struct config_health quick(enum health_type type);

struct health_watch *watch(struct harness *harness, const char *target,
			   const struct config_health *config, enum health_state initial);

/* The report of one first check. */
struct health_report check(struct harness *harness, const char *target,
			   const struct config_health *config);
void assert_up(struct harness *harness, const char *target, const struct config_health *config);
void assert_down(struct harness *harness, const char *target, const struct config_health *config,
		 const char *error);

unsigned int open_files(void);
