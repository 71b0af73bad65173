// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/arithmetic.h"
#include "src/daemon/registry.h"
#include "src/daemon/shortage.h"
#include "src/model/listen.h"
#include "src/model/maglev.h"
#include "src/model/slots.h"

#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* Room beyond what the configuration needs: for what comes while the daemon runs. */
#define SPARE_HOPS 4095
#define SPARE_SNAT_ADDRESSES 256
#define LEAST_BACKENDS 4096
#define LEAST_SERVICES 1024
#define LEAST_PORT_RANGES 4096
/* The tables of 256 services whose backends come back at the same time, or that begin to hash. */
#define SPARE_SLOTS (256 * SLOTS_MOST)
#define MOST_HOPS 65536
#define MOST_IDS (1u << 24)

static int compare_names(const void *left, const void *right)
{
	const struct service *a = left, *b = right;

	return strcmp(a->own.name, b->own.name);
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct backend *a = left, *b = right;
	const struct endpoint *one = &a->own.endpoint, *other = &b->own.endpoint;
	int r;

	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	r = memcmp(&one->address, &other->address, sizeof(one->address));
	return r ? r : (int)one->port - (int)other->port;
}

int registry_init(struct registry *registry, const struct datapath_sizes *sizes)
{
	*registry = (struct registry){
		.services = calloc(sizes->services, sizeof(*registry->services)),
		.backends = calloc(sizes->backends, sizeof(*registry->backends)),
		.service_ids = sizes->services,
		.backend_ids = sizes->backends,
	};
	if (!registry->services || !registry->backends) {
		registry_free(registry);
		return -ENOMEM;
	}
	return 0;
}

static void keep(void *node)
{
}

void registry_free(struct registry *registry)
{
	tdestroy(registry->names, keep);
	tdestroy(registry->endpoints, keep);
	for (uint32_t id = 1; registry->services && id <= registry->last_service; id++)
		free(registry->services[id].backends);
	free(registry->services);
	free(registry->backends);
	*registry = (struct registry){ 0 };
}

struct service *registry_find_service(const struct registry *registry, const char *name)
{
	struct service key = { 0 };
	struct service **found;

	if (strlen(name) >= sizeof(key.own.name))
		return NULL;
	strcpy(key.own.name, name);
	found = tfind(&key, &registry->names, compare_names);
	return found ? *found : NULL;
}

uint32_t registry_find_backend(const struct registry *registry, uint32_t service,
			       const struct endpoint *endpoint)
{
	struct backend key = { .own.endpoint = *endpoint, .service = service };
	struct backend **found = tfind(&key, &registry->endpoints, compare_endpoints);

	return found ? *found - registry->backends : 0;
}

uint32_t registry_find_backend_near(const struct registry *registry, const struct service *service,
				    size_t place, const struct endpoint *endpoint)
{
	const uint32_t id = place < service->backend_count ? service->backends[place] : 0;

	if (id && endpoint_equal(&registry->backends[id].own.endpoint, endpoint))
		return id;
	return registry_find_backend(registry, registry_service_id(registry, service), endpoint);
}

int registry_adopt_service(struct registry *registry, uint32_t id, const char *name)
{
	struct service *service = &registry->services[id];

	*service = (struct service){ .used = true, .config = &service->own };
	memcpy(service->own.name, name, strlen(name) + 1);
	if (!tsearch(service, &registry->names, compare_names)) {
		service->used = false;
		return -ENOMEM;
	}
	registry->used_services++;
	if (id > registry->last_service)
		registry->last_service = id;
	return 0;
}

int registry_adopt_backend(struct registry *registry, uint32_t id, uint32_t service,
			   const struct config_backend *config)
{
	struct backend *backend = &registry->backends[id];

	*backend = (struct backend){
		.used = true,
		.own = *config,
		.config = &backend->own,
		.service = service,
	};
	if (!tsearch(backend, &registry->endpoints, compare_endpoints)) {
		backend->used = false;
		return -ENOMEM;
	}
	registry->services[service].users++;
	registry->used_backends++;
	if (id > registry->last_backend)
		registry->last_backend = id;
	return 0;
}

int registry_new_service(struct registry *registry, const char *name, uint32_t *ret)
{
	uint32_t id = registry->next_service;

	for (uint32_t tried = 1; tried < registry->service_ids; tried++) {
		id = id + 1 < registry->service_ids ? id + 1 : 1;
		if (registry->services[id].used)
			continue;
		registry->next_service = *ret = id;
		return registry_adopt_service(registry, id, name);
	}
	return -ENOSPC;
}

int registry_new_backend(struct registry *registry, uint32_t service,
			 const struct config_backend *config, uint32_t *ret)
{
	uint32_t id = registry->next_backend;

	for (uint32_t tried = 1; tried < registry->backend_ids; tried++) {
		id = id + 1 < registry->backend_ids ? id + 1 : 1;
		if (registry->backends[id].used)
			continue;
		registry->next_backend = *ret = id;
		return registry_adopt_backend(registry, id, service, config);
	}
	return -ENOSPC;
}

void registry_drop_service(struct registry *registry, uint32_t id)
{
	struct service *service = &registry->services[id];

	tdelete(service, &registry->names, compare_names);
	free(service->backends);
	registry->used_services--;
	*service = (struct service){ 0 };
}

void registry_drop_backend(struct registry *registry, uint32_t id)
{
	struct backend *backend = &registry->backends[id];

	tdelete(backend, &registry->endpoints, compare_endpoints);
	registry->services[backend->service].users--;
	registry->used_backends--;
	*backend = (struct backend){ 0 };
}

void registry_join_hop(struct registry *registry, uint32_t id, uint32_t *first)
{
	struct backend *backend = &registry->backends[id];

	backend->next_same_hop = *first;
	backend->last_same_hop = 0;
	if (*first)
		registry->backends[*first].last_same_hop = id;
	*first = id;
}

void registry_leave_hop(struct registry *registry, uint32_t id, uint32_t *first)
{
	const struct backend *backend = &registry->backends[id];

	if (backend->next_same_hop)
		registry->backends[backend->next_same_hop].last_same_hop = backend->last_same_hop;
	if (backend->last_same_hop)
		registry->backends[backend->last_same_hop].next_same_hop = backend->next_same_hop;
	else
		*first = backend->next_same_hop;
}

void registry_count_new(const struct registry *registry, const struct config *config,
			uint32_t *services, uint32_t *backends)
{
	*services = *backends = 0;
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *wanted = &config->services[i];
		const struct service *service = registry_find_service(registry, wanted->name);

		*services += !service;
		for (size_t j = 0; j < wanted->backend_count; j++)
			*backends += !service ||
				     !registry_find_backend_near(registry, service, j,
								 &wanted->backends[j].endpoint);
	}
}

struct weir_listener *registry_listeners(const struct registry *registry, size_t *ret)
{
	struct weir_listener *entries, *entry;
	size_t count = 0;

	for (uint32_t id = 1; id <= registry->last_service; id++)
		if (registry->services[id].used && !registry->services[id].leaving)
			count += registry->services[id].config->listen_count;
	entries = entry = calloc(count + 1, sizeof(*entries));
	if (!entries)
		return NULL;
	for (uint32_t id = 1; id <= registry->last_service; id++) {
		const struct service *service = &registry->services[id];

		if (!service->used || service->leaving)
			continue;
		for (size_t i = 0; i < service->config->listen_count; i++) {
			const struct config_listen *listen = &service->config->listens[i];

			if (listen_is_wide(listen))
				continue;
			entry->key.address = listen->endpoint.address;
			entry->key.port = htons(listen->endpoint.port);
			entry->key.protocol = listen->protocol;
			entry->key.used = 1;
			entry->service = id;
			entry++;
		}
	}
	*ret = entry - entries;
	return entries;
}

size_t registry_count_ranges(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; j < service->listen_count; j++)
			if (listen_is_wide(&service->listens[j]))
				count += service->except_count + 1;
	}
	return count;
}

/* Places that the largest slot table of @service can need, while nobody's share rises. */
static uint64_t slots_capacity(const struct config_service *service, size_t hashing)
{
	uint32_t count = service->backend_count;
	uint32_t divisor = 0;
	uint64_t sum = 0;

	if (scheduler_hashes(service->scheduler))
		return maglev_size(service, hashing);
	if (service->scheduler != WEIR_SCHEDULER_WRR && service->scheduler != WEIR_SCHEDULER_P2C)
		return count;
	/* Fewer backends never need more: their sum is smaller, their divisor not. */
	for (size_t i = 0; i < service->backend_count; i++) {
		sum += service->backends[i].weight;
		divisor = greatest_common_divisor(divisor, service->backends[i].weight);
	}
	if (divisor)
		sum /= divisor;
	if (sum > slots_bound(count))
		sum = slots_bound(count);
	return sum > count ? sum : count;
}

/* Twice as many as there are now, so that a reload finds room. */
static uint32_t twice(uint64_t count, uint32_t least)
{
	uint64_t room = 2 * count + 1;

	return room > least ? room : least;
}

/*
 * Places for flows of dsr and ipip, where the configuration that makes the tables has none. They
 * are evicted then, which costs nothing where the scheduler hashes.
 */
#define LEAST_SESSIONS 4096

/* So many that a flood of SYNs cannot fill the table of flows, which is smaller than that of IPv4. */
static uint32_t half_open_v6(const struct config_limits *limits)
{
	uint32_t quarter = config_flows_v6(limits) / 4;

	quarter = quarter ? quarter : 1;
	return limits->half_open < quarter ? limits->half_open : quarter;
}

uint32_t registry_sessions(const struct config *config)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (config->services[i].mode != WEIR_MODE_NAT)
			return config->limits.flows + config_flows_v6(&config->limits);
	return LEAST_SESSIONS;
}

int registry_sizes(const struct config *config, struct datapath_sizes *ret, struct error *error)
{
	uint64_t backends = 0, listens = 0, slots = 0, hops, listeners = 1024;
	const size_t hashing = maglev_services(config);

	for (size_t i = 0; i < config->service_count; i++) {
		backends += config->services[i].backend_count;
		listens += config->services[i].listen_count;
		slots += slots_capacity(&config->services[i], hashing);
	}
	if (2 * backends > MOST_IDS || 2 * slots > UINT32_MAX / 2)
		return error_set(error, -E2BIG,
				 "%llu backends in %zu services are too many for one instance",
				 (unsigned long long)backends, config->service_count);
	/* Backends of several services may share an address: then there is room after all. */
	hops = 2 * backends + config->interface_count + 1 + SPARE_HOPS;
	/* A table is at most four times as long as it has places, and two of them exist at times. */
	while (listeners < 16 * listens)
		listeners *= 2;
	*ret = (struct datapath_sizes){
		.flows = config->limits.flows,
		.flows_v6 = config_flows_v6(&config->limits),
		.sessions = registry_sessions(config),
		.half_open = config->limits.half_open,
		.half_open_v6 = half_open_v6(&config->limits),
		.services = twice(config->service_count, LEAST_SERVICES),
		.backends = twice(backends, LEAST_BACKENDS),
		.slots = 2 * slots + SPARE_SLOTS,
		.listeners = listeners,
		.port_ranges = twice(registry_count_ranges(config), LEAST_PORT_RANGES),
		.hops = hops < MOST_HOPS ? hops : MOST_HOPS,
		.snat_addresses = 2 * config->snat.address_count + SPARE_SNAT_ADDRESSES,
		.port_queues = SHORTAGE_QUEUES,
	};
	return 0;
}
