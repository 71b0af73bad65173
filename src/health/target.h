/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <sys/socket.h>

#include "src/base/address.h"
#include "src/model/config.h"

/* What is checked, and how. The port is the one that the check goes to; 0 for icmp. */
struct target {
	struct endpoint endpoint;
	struct config_health config; /* owns its strings */
};

/* Into an uninitialised @ret, which the caller gives to target_done(). -ENOMEM. */
int target_make(const struct endpoint *endpoint, const struct config_health *config,
		struct target *ret);
void target_done(struct target *target);

/* A total order, for tsearch(): 0 if one check serves both. */
int target_compare(const void *a, const void *b);

/* Returns the length. */
socklen_t target_socket_address(const struct target *target, struct sockaddr_storage *ret);
