/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/model/config.h"
#include "tests/unit/unit.h"

static inline struct endpoint endpoint_of(const char *text)
{
	struct endpoint endpoint;

	assert_int_equal(endpoint_parse(text, &endpoint), 0);
	return endpoint;
}

static inline struct config_service *add_service(struct config *config, const char *name)
{
	struct config_service *service = config_add_service(config);

	assert_non_null(service);
	snprintf(service->name, sizeof(service->name), "%s", name);
	return service;
}

static inline void add_listen(struct config_service *service, const char *text, uint8_t protocol)
{
	struct config_listen *listen = config_service_add_listen(service);

	assert_non_null(listen);
	listen->endpoint = endpoint_of(text);
	listen->protocol = protocol;
}

static inline void add_backend(struct config_service *service, const char *text)
{
	struct config_backend *backend = config_service_add_backend(service);

	assert_non_null(backend);
	backend->endpoint = endpoint_of(text);
}

/* An accepted configuration: two services, "web" and "dns", which each test then breaks. */
static inline int setup(void **state)
{
	struct config *config = calloc(1, sizeof(*config));
	struct config_service *service;

	assert_non_null(config);
	config_init(config);
	snprintf(config_add_interface(config)->name, 16, "eth0");
	service = add_service(config, "web");
	add_listen(service, "192.168.178.10:8000", IPPROTO_TCP);
	add_backend(service, "192.168.178.11:8000");
	add_backend(service, "192.168.178.12:8000");
	service = add_service(config, "dns");
	add_listen(service, "192.168.178.10:53", IPPROTO_UDP);
	add_listen(service, "192.168.178.10:53", IPPROTO_TCP);
	add_backend(service, "192.168.178.11:53");
	*state = config;
	return 0;
}

static inline int teardown(void **state)
{
	config_free(*state);
	free(*state);
	return 0;
}

static inline void assert_accepted(const struct config *config)
{
	struct error error = { "" };

	if (config_check(config, &error) != 0)
		fail_msg("refused: %s", error.text);
	assert_string_equal(error.text, "");
}

static inline void assert_refused(const struct config *config, const char *text)
{
	struct error error = { "" };

	assert_int_equal(config_check(config, &error), -EINVAL);
	assert_string_equal(error.text, text);
	assert_int_equal(config_check(config, NULL), -EINVAL);
}

#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
