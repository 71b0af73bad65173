// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/registry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/daemon/fixture.h"
#include "tests/unit/allocation.h"

enum { SERVICES = 8, BACKENDS = 16 };

static struct registry registry;
static struct config config;

static int set_up(void **state)
{
	config_init(&config);
	return 0;
}

static int tear_down(void **state)
{
	registry_free(&registry);
	registry_free(&registry);
	config_free(&config);
	return 0;
}

static struct config_backend backend(uint32_t number)
{
	return (struct config_backend){
		.endpoint = { address_from_v4(htonl(0xc6336400 + number)), 8000 },
		.weight = number,
	};
}

static uint32_t find(uint32_t service, uint32_t number)
{
	struct config_backend wanted = backend(number);

	return registry_find_backend(&registry, service, &wanted.endpoint);
}

static uint32_t new_service(const char *name)
{
	uint32_t id = 0;

	assert_int_equal(registry_new_service(&registry, name, &id), 0);
	assert_ptr_equal(registry_find_service(&registry, name), &registry.services[id]);
	return id;
}

static uint32_t new_backend(uint32_t service, uint32_t number)
{
	struct config_backend wanted = backend(number);
	uint32_t id = 0;

	assert_int_equal(registry_new_backend(&registry, service, &wanted, &id), 0);
	assert_int_equal(find(service, number), id);
	return id;
}

static void test_ids(void **state)
{
	struct config_backend wanted;

	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 3);
	fill_registry(&registry, &config);
	assert_int_equal(registry.last_service, 2);
	assert_int_equal(registry.last_backend, 5);
	assert_ptr_equal(registry_find_service(&registry, "b"), &registry.services[2]);
	assert_int_equal(registry_service_id(&registry, &registry.services[2]), 2);
	assert_null(registry_find_service(&registry, "c"));
	assert_null(registry_find_service(&registry, ""));
	assert_null(registry_find_service(&registry,
					  "a-name-that-is-much-longer-than-any-name-of-a-service-"
					  "can-be-in-weir"));
	/* The same endpoint in two services is two backends. */
	assert_int_equal(find(1, 2), 2);
	assert_int_equal(find(2, 2), 4);
	assert_int_equal(find(2, 4), 0);
	assert_int_equal(find(3, 1), 0);
	wanted = backend(2);
	wanted.endpoint.port++;
	assert_int_equal(registry_find_backend(&registry, 1, &wanted.endpoint), 0);
	assert_int_equal(registry.services[2].users, 3);
	assert_true(registry.backends[5].used);
	assert_int_equal(registry.backends[5].service, 2);
	/* What they were made of is copied. */
	config_free(&config);
	assert_ptr_equal(registry.backends[5].config, &registry.backends[5].own);
	assert_int_equal(registry.backends[5].config->endpoint.port, 8000);
	assert_ptr_equal(registry.services[1].config, &registry.services[1].own);
}

/* An id that was freed last is given last: whoever holds it a little longer does no harm. */
static void test_dropped_ids_are_given_again(void **state)
{
	struct config_backend one_more = backend(100);
	uint32_t id = 77;

	fill_registry(&registry, &config);
	for (uint32_t i = 1; i < SERVICES; i++) {
		char name[] = { 'a' + i, '\0' };

		assert_int_equal(new_service(name), i);
	}
	assert_int_equal(registry_new_service(&registry, "z", &id), -ENOSPC);
	for (uint32_t i = 1; i < BACKENDS; i++)
		assert_int_equal(new_backend(1 + i % 2, i), i);
	assert_int_equal(registry_new_backend(&registry, 1, &one_more, &id), -ENOSPC);
	assert_int_equal(id, 77);
	for (uint32_t i = 3; i < BACKENDS; i += 3)
		registry_drop_backend(&registry, i);
	for (uint32_t i = 1; i < BACKENDS; i++)
		assert_int_equal(find(1 + i % 2, i), i % 3 ? i : 0);
	assert_int_equal(registry.services[1].users + registry.services[2].users, 10);
	assert_int_equal(new_backend(2, 50), 3);
	registry_drop_backend(&registry, 3);
	assert_int_equal(new_backend(2, 50), 6);
	assert_int_equal(new_backend(2, 51), 9);
	assert_int_equal(new_backend(2, 52), 12);
	assert_int_equal(new_backend(2, 53), 15);
	assert_int_equal(new_backend(2, 54), 3);
	registry_drop_service(&registry, 5);
	assert_null(registry_find_service(&registry, "f"));
	assert_false(registry.services[5].used);
	assert_int_equal(new_service("z"), 5);
}

static void test_adopted(void **state)
{
	struct config_backend wanted = backend(3);

	fill_registry(&registry, &config);
	assert_int_equal(registry_adopt_service(&registry, 4, "d"), 0);
	assert_int_equal(registry_adopt_backend(&registry, 9, 4, &wanted), 0);
	assert_int_equal(find(4, 3), 9);
	assert_int_equal(registry.last_service, 4);
	assert_int_equal(registry.last_backend, 9);
	assert_int_equal(registry.services[4].users, 1);
	/* Free ones before them are used. */
	assert_int_equal(new_service("a"), 1);
	for (uint32_t i = 1; i < 9; i++)
		assert_int_equal(new_backend(1, i), i);
	assert_int_equal(new_backend(1, 9), 10);
}

static void count(uint32_t services, uint32_t backends)
{
	uint32_t s = 99, b = 99;

	registry_count_new(&registry, &config, &s, &b);
	assert_int_equal(s, services);
	assert_int_equal(b, backends);
}

static void test_count_new(void **state)
{
	struct config_service *a = add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);

	fill_registry(&registry, &config);
	count(0, 0);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 3);
	count(1, 3);
	a = &config.services[0];
	a->backends[1].endpoint.port = 1;
	count(1, 4);
	/* What is leaving has its id still. */
	registry.services[1].leaving = registry.backends[1].leaving = true;
	count(1, 4);
}

static void test_listeners(void **state)
{
	struct weir_listener *listeners;
	struct config_listen *listen;
	size_t length = 99;

	listen = config_service_add_listen(add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 1));
	listen->endpoint.address = address_from_v4(htonl(0xc0000202));
	listen->endpoint.port = 53;
	listen->protocol = IPPROTO_UDP;
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 1);
	add_service(&config, "c", 82, WEIR_SCHEDULER_RR, 1);
	fill_registry(&registry, &config);
	registry.services[2].leaving = true;
	listeners = registry_listeners(&registry, &length);
	assert_non_null(listeners);
	assert_int_equal(length, 3);
	assert_int_equal(listeners[0].key.port, htons(80));
	assert_int_equal(listeners[0].key.protocol, IPPROTO_TCP);
	assert_int_equal(listeners[1].key.port, htons(53));
	assert_int_equal(listeners[1].key.protocol, IPPROTO_UDP);
	assert_int_equal(listeners[1].key.used, 1);
	assert_int_equal(listeners[1].service, 1);
	assert_int_equal(listeners[2].key.port, htons(82));
	assert_int_equal(listeners[2].service, 3);
	free(listeners);
	allocation_fail_at(1);
	assert_null(registry_listeners(&registry, &length));
	allocation_fail_at(0);
	for (uint32_t id = 1; id <= 3; id++)
		registry.services[id].leaving = true;
	listeners = registry_listeners(&registry, &length);
	assert_non_null(listeners);
	assert_int_equal(length, 0);
	free(listeners);
}

static void test_backends_behind_one_hop(void **state)
{
	static const uint32_t orders[][3] = {
		{ 1, 2, 3 }, { 3, 2, 1 }, { 2, 1, 3 }, { 2, 3, 1 }, { 1, 3, 2 }, { 3, 1, 2 },
	};

	fill_registry(&registry, &config);
	for (size_t i = 0; i < COUNT(orders); i++) {
		uint32_t first = 0, seen = 0;

		for (uint32_t id = 1; id <= 3; id++)
			registry_join_hop(&registry, id, &first);
		registry_leave_hop(&registry, orders[i][0], &first);
		for (uint32_t id = first; id; id = registry.backends[id].next_same_hop)
			seen |= 1u << id;
		assert_int_equal(seen, 14 & ~(1u << orders[i][0]));
		registry_leave_hop(&registry, orders[i][1], &first);
		assert_int_equal(first, orders[i][2]);
		assert_int_equal(registry.backends[first].next_same_hop, 0);
		registry_leave_hop(&registry, orders[i][2], &first);
		assert_int_equal(first, 0);
	}
}

static struct datapath_sizes sizes(void)
{
	struct datapath_sizes result;
	struct error error;

	assert_int_equal(registry_sizes(&config, &result, &error), 0);
	return result;
}

static void test_sizes(void **state)
{
	struct datapath_sizes empty = sizes(), some;

	/* Places for the flows of modes that have none here would be memory for nothing. */
	assert_in_range(empty.sessions, 1024, 65536);
	assert_int_equal(empty.flows, config.limits.flows);
	assert_int_equal(empty.flows_v6, config.limits.flows / 4);
	assert_int_equal(empty.half_open, config.limits.half_open);
	assert_in_range(empty.services, 1000, 100000);
	assert_in_range(empty.backends, 4000, 100000);
	assert_in_range(empty.hops, 4096, 65536);
	assert_in_range(empty.snat_addresses, 100, 1024);
	assert_int_equal(empty.listeners & (empty.listeners - 1), 0);
	/* A configuration twice as large fits, id 0 aside. */
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 5000);
	for (uint16_t port = 1; port < 200; port++) {
		struct config_listen *listen = config_service_add_listen(&config.services[0]);

		listen->endpoint.port = port;
		listen->protocol = IPPROTO_UDP;
	}
	config.services[0].mode = WEIR_MODE_DSR;
	config.limits.flows_v6 = 100000;
	some = sizes();
	assert_int_equal(some.flows_v6, 100000);
	assert_int_equal(some.sessions, config.limits.flows + 100000);
	assert_int_equal(some.backends, 10001);
	assert_int_equal(some.slots, empty.slots + 10000);
	assert_in_range(some.hops, 10000, 65536);
	/* Places: an address each as well, twice as many at least; two tables at times. */
	assert_true(some.listeners >= 2 * 4 * 200);
	assert_int_equal(some.listeners & (some.listeners - 1), 0);
}

static uint32_t slots_of(enum weir_scheduler scheduler, const uint32_t weights[3])
{
	uint32_t before, after;
	struct config_service *service;

	before = sizes().slots;
	service = add_service(&config, "a", 80, scheduler, 3);
	for (size_t i = 0; i < 3; i++)
		service->backends[i].weight = weights[i];
	after = sizes().slots;
	config_free(&config);
	config_init(&config);
	return (after - before) / 2;
}

static void test_slots_by_scheduler(void **state)
{
	static const uint32_t even[] = { 4, 4, 4 }, odd[] = { 1, 2, 256 }, half[] = { 2, 4, 6 };

	assert_int_equal(slots_of(WEIR_SCHEDULER_RR, odd), 3);
	assert_int_equal(slots_of(WEIR_SCHEDULER_LC, odd), 3);
	assert_int_equal(slots_of(WEIR_SCHEDULER_WLC, odd), 3);
	assert_int_equal(slots_of(WEIR_SCHEDULER_WRR, even), 3);
	assert_int_equal(slots_of(WEIR_SCHEDULER_WRR, half), 6);
	assert_int_equal(slots_of(WEIR_SCHEDULER_P2C, odd), 259);
	assert_int_equal(slots_of(WEIR_SCHEDULER_HASH, odd), 65537);
	assert_int_equal(slots_of(WEIR_SCHEDULER_SOURCE, odd), 65537);
	assert_int_equal(slots_of(WEIR_SCHEDULER_MAGLEV, even), 65537);
}

/* Shares that rise need fine tables, and a new one four times a second; so may a reload. */
static void test_slots_to_spare(void **state)
{
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 3);
	assert_true(sizes().slots > 200 * 4096);
}

static void test_more_than_can_be_numbered(void **state)
{
	struct config_service *service = add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 1);
	struct datapath_sizes result = { .slots = 77 };
	struct error error = { "" };

	/* More backends than hop ids: some share an address, or publishing fails. */
	service->backend_count = 100000;
	assert_int_equal(sizes().hops, 65536);
	service->backend_count = (1 << 23) + 1;
	assert_int_equal(registry_sizes(&config, &result, &error), -E2BIG);
	assert_int_equal(result.slots, 77);
	service->backend_count = 1;
}

static void test_no_memory(void **state)
{
	const struct datapath_sizes small = { .services = SERVICES, .backends = BACKENDS };

	for (unsigned int nth = 1; nth <= 2; nth++) {
		allocation_fail_at(nth);
		assert_int_equal(registry_init(&registry, &small), -ENOMEM);
		assert_true(allocation_has_failed());
		assert_null(registry.services);
	}
	allocation_fail_at(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids),
		TEST(dropped_ids_are_given_again),
		TEST(adopted),
		TEST(count_new),
		TEST(listeners),
		TEST(backends_behind_one_hop),
		TEST(sizes),
		TEST(slots_by_scheduler),
		TEST(slots_to_spare),
		TEST(more_than_can_be_numbered),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
