/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/daemon/areas.h"
#include "src/daemon/grace.h"
#include "src/daemon/shortage.h"
#include "src/datapath/datapath.h"
#include "src/model/config.h"

/* Services and backends of the configuration under the ids that they have in the datapath. */
struct backend {
	const struct config_backend *config;
	uint32_t service;       /* id */
	uint32_t next_same_hop; /* id of the next backend with this hop; 0: the last */
	uint16_t hop;
	bool ready; /* stands in its service's slots, or will */
	bool has_source;
	uint32_t source; /* place in `snat_addresses`, if has_source */
};

struct service {
	const struct config_service *config;
	uint32_t first_backend; /* ids follow each other */
	struct areas areas;
	struct grace_waiter waiter;
	bool changed; /* is in the list of services to publish */
	struct service *next_changed;
};

struct registry {
	struct service *services; /* indexed by id, 0 is never used */
	struct backend *backends;
	uint32_t service_count;
	uint32_t backend_count;
	uint32_t slots; /* places of all areas */
	uint32_t listens;
};

int registry_init(struct registry *registry, const struct config *config);
void registry_free(struct registry *registry);

static inline uint32_t registry_service_id(const struct registry *registry,
					   const struct service *service)
{
	return service - registry->services;
}

/* NULL: there is none of this name. */
struct service *registry_find_service(const struct registry *registry, const char *name);

/* All listen addresses as the datapath wants them; freed by the caller. NULL: no memory. */
struct weir_listener *registry_listeners(const struct registry *registry);

/*
 * What datapath_open() must make room for. @listeners: length of the built table. -E2BIG: more than
 * the datapath can number.
 */
int registry_sizes(const struct registry *registry, const struct config *config, int listeners,
		   struct datapath_sizes *ret, struct error *error);
