/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/daemon/check_paths.h"
#include "src/daemon/ranges.h"
#include "src/datapath/datapath.h"
#include "src/health/health.h"
#include "src/model/config.h"

/*
 * Services and backends under the ids that they have in the datapath. What leaves the configuration
 * keeps its id for as long as flows hold it, and comes back under it if it returns.
 *
 * I1  an id is used if `used`, and then tables->backends[id].service or service_names[id] says so too
 * I2  ids of a service's backends are in `backends`, in configuration order; those that are leaving are not
 * I3  `config` points to `own`, a copy whose strings and arrays belong to the live configuration; of what
 *     is leaving, they are NULL
 */
struct backend {
	struct config_backend own;
	const struct config_backend *config;
	uint32_t service;       /* id */
	uint32_t next_same_hop; /* id of the next backend with this hop; 0: the last */
	uint32_t last_same_hop; /* the one before; 0: the first */
	uint16_t hop;
	bool used;
	bool leaving;   /* not in the configuration any more: until its last flow has ended */
	bool reachable; /* its hop is usable */
	bool in_slots;  /* stands in its service's slots */
	bool adopted; /* an earlier daemon has left it; `in_slots` is what that one thought of it */
	bool was_down;    /* its check said so */
	bool has_source;  /* the next one is valid */
	uint32_t source;  /* place in `snat_addresses` */
	bool wanted;      /* seen in the configuration that is being applied */
	uint32_t empty;   /* walks of the sweep that saw no flow of it, while leaving */
	uint64_t came_ms; /* when it came while the daemon ran, until it can be reached; else 0 */
	uint64_t ramp_began_ms;      /* slow start; 0: none */
	struct health_watch *watch;  /* NULL: not checked */
	struct check_places *places; /* what the watch looks at in dsr and ipip; else NULL */
};

struct service {
	struct config_service own;
	const struct config_service *config;
	uint32_t *backends; /* ids */
	uint32_t backend_count;
	uint32_t users; /* backend ids that name this service, those that are leaving included */
	union weir_range slots;     /* the live ones */
	struct access_list *access; /* of which it is one user; NULL: all clients are served */
	uint64_t fingerprint;       /* of what they were made of, if it hashes */
	bool used;
	bool leaving;
	bool wanted;  /* seen in the configuration that is being applied */
	bool changed; /* is in the list of services to publish */
	struct service *next_changed;
};

struct registry {
	struct service *services; /* indexed by id, 0 is never used; `service_ids` of them */
	struct backend *backends;
	uint32_t service_ids;
	uint32_t backend_ids;
	uint32_t service_count; /* in the configuration */
	uint32_t backend_count;
	uint32_t hashing_count; /* services that hash */
	uint32_t last_service;  /* highest id that was ever used */
	uint32_t last_backend;
	uint32_t used_services; /* ids that are used */
	uint32_t used_backends;
	uint32_t next_service; /* id that was given last: the next one is tried after it */
	uint32_t next_backend;
	void *names;     /* tsearch() trees: services by name, */
	void *endpoints; /* backends by service and endpoint */
};

/* Empty, for tables of these sizes. -ENOMEM leaves @registry zeroed. */
int registry_init(struct registry *registry, const struct datapath_sizes *sizes);
void registry_free(struct registry *registry); /* a zeroed one, too */

static inline uint32_t registry_service_id(const struct registry *registry,
					   const struct service *service)
{
	return service - registry->services;
}

/* NULL: there is none of this name, leaving ones included. */
struct service *registry_find_service(const struct registry *registry, const char *name);
/* The id of a backend of @service, those that are leaving included; 0: none. */
uint32_t registry_find_backend(const struct registry *registry, uint32_t service,
			       const struct endpoint *endpoint);
/* The same. It is quick if that is the backend at @place of @service. */
uint32_t registry_find_backend_near(const struct registry *registry, const struct service *service,
				    size_t place, const struct endpoint *endpoint);

/*
 * Gives a free id to what has none yet. -ENOSPC: none is left. @name and
 * @config are copied.
 */
int registry_new_service(struct registry *registry, const char *name, uint32_t *ret);
int registry_new_backend(struct registry *registry, uint32_t service,
			 const struct config_backend *config, uint32_t *ret);
/* The same under the id that an earlier daemon gave it. -ENOMEM. */
int registry_adopt_service(struct registry *registry, uint32_t id, const char *name);
int registry_adopt_backend(struct registry *registry, uint32_t id, uint32_t service,
			   const struct config_backend *config);
/* The id is free again. Its watch and ids of places are the caller's business. */
void registry_drop_service(struct registry *registry, uint32_t id);
void registry_drop_backend(struct registry *registry, uint32_t id);

/* The list of backends behind one hop; *first: id of its first one, or 0. */
void registry_join_hop(struct registry *registry, uint32_t id, uint32_t *first);
void registry_leave_hop(struct registry *registry, uint32_t id, uint32_t *first);

/* How many services and backends of @config have no id yet. */
void registry_count_new(const struct registry *registry, const struct config *config,
			uint32_t *services, uint32_t *backends);

/*
 * All single ports that are listened on as the datapath wants them, *ret of them; there is room for one more for
 * each range. Freed by the caller. NULL: no memory.
 */
struct weir_listener *registry_listeners(const struct registry *registry, size_t *ret);
/* Runs of ports that the ranges of @config may come to. */
size_t registry_count_ranges(const struct config *config);

/* Of dsr and ipip, that are to be remembered. */
uint32_t registry_sessions(const struct config *config);
/*
 * What datapath_open() must make room for, with room for changes while it runs. -E2BIG: more than the
 * datapath can number.
 */
int registry_sizes(const struct config *config, struct datapath_sizes *ret, struct error *error);
