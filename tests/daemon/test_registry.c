// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/daemon/fixture.h"
#include "tests/unit/allocation.h"

static void test_ids(void **state)
{
	struct registry registry;
	struct config config;

	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 3);
	assert_int_equal(registry_init(&registry, &config), 0);
	assert_int_equal(registry.service_count, 2);
	assert_int_equal(registry.backend_count, 5);
	assert_int_equal(registry.services[1].first_backend, 1);
	assert_int_equal(registry.services[2].first_backend, 3);
	assert_int_equal(registry.backends[2].service, 1);
	assert_int_equal(registry.backends[3].service, 2);
	assert_ptr_equal(registry.backends[5].config, &config.services[1].backends[2]);
	assert_ptr_equal(registry_find_service(&registry, "b"), &registry.services[2]);
	assert_int_equal(registry_service_id(&registry, &registry.services[2]), 2);
	assert_null(registry_find_service(&registry, "c"));
	registry_free(&registry);
	registry_free(&registry);
	config_free(&config);
}

/* Two areas for each service, none overlaps another. */
static void test_areas_do_not_overlap(void **state)
{
	struct registry registry;
	struct config config;
	uint32_t end = 0;

	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_WRR, 3)->backends[1].weight = 100;
	add_service(&config, "c", 82, WEIR_SCHEDULER_LC, 7);
	assert_int_equal(registry_init(&registry, &config), 0);
	for (uint32_t id = 1; id <= 3; id++) {
		assert_int_equal(registry.services[id].areas.first, end);
		end += 2 * registry.services[id].areas.capacity;
	}
	assert_int_equal(registry.services[2].areas.capacity, 102);
	assert_int_equal(registry.slots, end);
	registry_free(&registry);
	config_free(&config);
}

static void test_listeners(void **state)
{
	struct weir_listener *listeners;
	struct config_listen *listen;
	struct registry registry;
	struct config config;

	config_init(&config);
	listen = config_service_add_listen(add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 1));
	listen->endpoint.address = address_from_v4(htonl(0xc0000202));
	listen->endpoint.port = 53;
	listen->protocol = IPPROTO_UDP;
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 1);
	assert_int_equal(registry_init(&registry, &config), 0);
	assert_int_equal(registry.listens, 3);
	listeners = registry_listeners(&registry);
	assert_non_null(listeners);
	assert_int_equal(listeners[1].key.port, htons(53));
	assert_int_equal(listeners[1].key.protocol, IPPROTO_UDP);
	assert_int_equal(listeners[1].key.used, 1);
	assert_int_equal(listeners[1].service, 1);
	assert_int_equal(listeners[2].key.port, htons(81));
	assert_int_equal(listeners[2].service, 2);
	free(listeners);
	registry_free(&registry);
	config_free(&config);
}

static void test_sizes(void **state)
{
	struct datapath_sizes sizes;
	struct registry registry;
	struct config config;
	struct error error;

	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 5);
	assert_int_equal(registry_init(&registry, &config), 0);
	assert_int_equal(registry_sizes(&registry, &config, 4, &sizes, &error), 0);
	assert_int_equal(sizes.flows, config.limits.flows);
	assert_int_equal(sizes.half_open, config.limits.half_open);
	assert_int_equal(sizes.slots, 10);
	assert_int_equal(sizes.listeners, 4);
	assert_in_range(sizes.services, 2, 100);
	assert_in_range(sizes.backends, 6, 100);
	assert_in_range(sizes.hops, 4096, 65536);
	assert_in_range(sizes.snat_addresses, 2, 1024);
	/* More backends than hop ids: some share an address, or publishing fails. */
	registry.backend_count = 100000;
	assert_int_equal(registry_sizes(&registry, &config, 4, &sizes, &error), 0);
	assert_int_equal(sizes.hops, 65536);
	registry.slots = UINT32_MAX;
	assert_int_equal(registry_sizes(&registry, &config, 4, &sizes, &error), -E2BIG);
	registry_free(&registry);
	config_free(&config);
}

static void test_no_memory(void **state)
{
	struct registry registry;
	struct config config;

	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 5);
	for (unsigned int nth = 1; nth <= 2; nth++) {
		allocation_fail_at(nth);
		assert_int_equal(registry_init(&registry, &config), -ENOMEM);
		assert_true(allocation_has_failed());
		assert_null(registry.services);
	}
	allocation_fail_at(0);
	assert_int_equal(registry_init(&registry, &config), 0);
	allocation_fail_at(1);
	assert_null(registry_listeners(&registry));
	allocation_fail_at(0);
	registry_free(&registry);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),       cmocka_unit_test(test_areas_do_not_overlap),
		cmocka_unit_test(test_listeners), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
