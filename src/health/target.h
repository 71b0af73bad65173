/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <sys/socket.h>

#include "src/health/health.h"

/* What is checked, and how. The port is the one that the check goes to; 0 for icmp. */
struct target {
	struct endpoint backend;
	struct health_way *ways; /* owned */
	size_t way_count;
	struct config_health config; /* owns its strings */
};

/* Into an uninitialised @ret, which the caller gives to target_done(). -ENOMEM. */
int target_make(const struct health_target *what, const struct config_health *config,
		struct target *ret);
void target_done(struct target *target);

/* A total order, for tsearch(): 0 if one check serves both. */
int target_compare(const void *a, const void *b);

/* One of the addresses that a check goes to, one after the other. */
struct place {
	struct endpoint endpoint;           /* to connect to */
	const struct weir_address *service; /* that it leads to; NULL: it is the backend's own */
};

size_t target_places(const struct target *target);
struct place target_place(const struct target *target, size_t number);

/*
 * Gives a socket that checks a service address a port of its own: packets by way of two backends may
 * differ in nothing else. Negative errno.
 */
int place_bind(const struct place *place, int fd);
