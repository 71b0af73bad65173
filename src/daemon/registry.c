// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room beyond what the configuration needs: for gateways, and for addresses that come and go. */
#define SPARE_HOPS 4095
#define SPARE_SNAT_ADDRESSES 256
#define SPARE_BACKENDS 64
#define SPARE_SERVICES 16
#define MOST_HOPS 65536

static void add_service(struct registry *registry, const struct config_service *config)
{
	uint32_t id = ++registry->service_count;
	struct service *service = &registry->services[id];

	service->config = config;
	service->first_backend = registry->backend_count + 1;
	for (size_t i = 0; i < config->backend_count; i++) {
		struct backend *backend = &registry->backends[++registry->backend_count];

		backend->config = &config->backends[i];
		backend->service = id;
	}
	service->areas.first = registry->slots;
	service->areas.capacity = areas_capacity(config);
	registry->slots += 2 * service->areas.capacity;
	registry->listens += config->listen_count;
}

int registry_init(struct registry *registry, const struct config *config)
{
	size_t backends = 0;

	memset(registry, 0, sizeof(*registry));
	for (size_t i = 0; i < config->service_count; i++)
		backends += config->services[i].backend_count;
	registry->services = calloc(config->service_count + 1, sizeof(*registry->services));
	registry->backends = calloc(backends + 1, sizeof(*registry->backends));
	if (!registry->services || !registry->backends) {
		registry_free(registry);
		return -ENOMEM;
	}
	for (size_t i = 0; i < config->service_count; i++)
		add_service(registry, &config->services[i]);
	return 0;
}

void registry_free(struct registry *registry)
{
	free(registry->services);
	free(registry->backends);
	memset(registry, 0, sizeof(*registry));
}

struct service *registry_find_service(const struct registry *registry, const char *name)
{
	for (uint32_t id = 1; id <= registry->service_count; id++)
		if (!strcmp(registry->services[id].config->name, name))
			return &registry->services[id];
	return NULL;
}

struct weir_listener *registry_listeners(const struct registry *registry)
{
	struct weir_listener *entries = calloc(registry->listens + 1, sizeof(*entries));
	struct weir_listener *entry = entries;

	if (!entries)
		return NULL;
	for (uint32_t id = 1; id <= registry->service_count; id++) {
		const struct config_service *config = registry->services[id].config;

		for (size_t i = 0; i < config->listen_count; i++, entry++) {
			entry->key.address = config->listens[i].endpoint.address;
			entry->key.port = htons(config->listens[i].endpoint.port);
			entry->key.protocol = config->listens[i].protocol;
			entry->key.used = 1;
			entry->service = id;
		}
	}
	return entries;
}

int registry_sizes(const struct registry *registry, const struct config *config, int listeners,
		   struct datapath_sizes *ret, struct error *error)
{
	uint32_t hops = registry->backend_count + config->interface_count + 1 + SPARE_HOPS;

	/* Backends of several services may share an address: then there is room after all. */
	if (hops > MOST_HOPS)
		hops = MOST_HOPS;
	if (registry->slots > UINT32_MAX / 2)
		return error_set(error, -E2BIG,
				 "%u backends in %u services need too many slots: "
				 "use smaller weights",
				 registry->backend_count, registry->service_count);
	*ret = (struct datapath_sizes){
		.flows = config->limits.flows,
		.half_open = config->limits.half_open,
		.services = registry->service_count + 1 + SPARE_SERVICES,
		.backends = registry->backend_count + 1 + SPARE_BACKENDS,
		.slots = registry->slots ? registry->slots : 1,
		.listeners = listeners ? listeners : 1,
		.hops = hops,
		.snat_addresses = config->snat.address_count + SPARE_SNAT_ADDRESSES,
		.port_queues = SHORTAGE_QUEUES,
	};
	return 0;
}
