/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "src/daemon/registry.h"
#include "src/model/config.h"
#include "tests/unit/unit.h"

/* Adds a service "NAME" on 192.0.2.1:PORT with backends 198.51.100.1, .2, ... on port 8000. */
static inline struct config_service *add_service(struct config *config, const char *name,
						 uint16_t port, enum weir_scheduler scheduler,
						 size_t backends)
{
	struct config_service *service = config_add_service(config);
	struct config_listen *listen;

	assert_non_null(service);
	snprintf(service->name, sizeof(service->name), "%s", name);
	service->scheduler = scheduler;
	listen = config_service_add_listen(service);
	assert_non_null(listen);
	listen->endpoint.address = address_from_v4(htonl(0xc0000201));
	listen->endpoint.port = port;
	listen->protocol = IPPROTO_TCP;
	for (size_t i = 0; i < backends; i++) {
		struct config_backend *backend = config_service_add_backend(service);

		assert_non_null(backend);
		backend->endpoint.address = address_from_v4(htonl(0xc6336401 + i));
		backend->endpoint.port = 8000;
		backend->weight = 1;
	}
	return service;
}

/* Room for 7 services and 15 backends, and all of @config in it, with ids from 1 on. */
static inline void fill_registry(struct registry *registry, const struct config *config)
{
	const struct datapath_sizes sizes = { .services = 8, .backends = 16 };
	uint32_t id, backend;

	assert_int_equal(registry_init(registry, &sizes), 0);
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		assert_int_equal(registry_new_service(registry, service->name, &id), 0);
		registry->services[id].own = *service;
		for (size_t j = 0; j < service->backend_count; j++)
			assert_int_equal(
				registry_new_backend(registry, id, &service->backends[j], &backend),
				0);
	}
}
