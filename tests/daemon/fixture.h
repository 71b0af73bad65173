/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

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
