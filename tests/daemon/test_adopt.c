// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/unit/allocation.h"

static struct daemon daemon_;
static struct config config;

/* What a daemon has left: two services that share a backend's address, and a gateway. */
static void leave_tables(void)
{
	tables_clear();
	tables_begin(&daemon_);
	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 3)->backends[1].max_connections = 9;
	assert_int_equal(apply_config(&daemon_, &config, NULL), 0);
	tables_tell_all(&daemon_);
	memory.gateways[0] = (struct weir_gateway_key){ .address = address_from_v4(7),
							.ifindex = 2 };
	memory.gateway_hops[0] = hops_add(&daemon_.hops, &memory.gateways[0].address, 2);
	memory.gateways[1] = (struct weir_gateway_key){ .ifindex = 2 };
	memory.gateway_hops[1] = hops_add(&daemon_.hops, &memory.gateways[1].address, 2);
	for (size_t i = 0; i < 2; i++)
		memory.hops[memory.gateway_hops[i]].destination.flags = WEIR_HOP_VALID |
									(i ? WEIR_HOP_ON_LINK : 0);
	memory.shared.records[WEIR_IPV4] = 2;
	memory.shared.records[WEIR_IPV6] = 1;
	tables_end(&daemon_);
}

static void adopt(void)
{
	struct error error = { "" };

	tables_begin(&daemon_);
	assert_int_equal(adopt_tables(&daemon_, &error), 0);
	daemon_.hold_slots = true;
}

static int set_up(void **state)
{
	leave_tables();
	return 0;
}

static int tear_down(void **state)
{
	tables_end(&daemon_);
	config_free(&config);
	return 0;
}

/* The configuration is applied before the network is known, then the network tells. */
static void go_on(struct config *wanted)
{
	struct error error = { "" };

	assert_int_equal(apply_config(&daemon_, wanted, &error), 0);
	tables_tell_all(&daemon_);
	daemon_.hold_slots = false;
	publish_slots(&daemon_);
}

static void test_the_same_books(void **state)
{
	const struct backend *backends = daemon_.registry.backends;
	struct endpoint endpoint = { address_from_v4(htonl(0xc6336402)), 8000 };

	adopt();
	assert_ptr_equal(registry_find_service(&daemon_.registry, "a"),
			 &daemon_.registry.services[1]);
	assert_ptr_equal(registry_find_service(&daemon_.registry, "b"),
			 &daemon_.registry.services[2]);
	backends = daemon_.registry.backends;
	assert_int_equal(registry_find_backend(&daemon_.registry, 1, &endpoint), 2);
	assert_int_equal(registry_find_backend(&daemon_.registry, 2, &endpoint), 4);
	assert_int_equal(backends[4].own.max_connections, 9);
	assert_int_equal(daemon_.registry.services[1].backend_count, 2);
	assert_int_equal(daemon_.registry.services[2].users, 3);
	assert_int_equal(daemon_.registry.services[2].slots.word, memory.services[2].slots.word);
	assert_int_equal(daemon_.listeners.word, memory.root.listeners.word);
	for (uint32_t id = 1; id <= 5; id++) {
		assert_true(backends[id].used && backends[id].in_slots && backends[id].adopted);
		assert_int_equal(backends[id].hop, memory.backends[id].hop);
		assert_true(backends[id].has_source);
	}
	assert_int_equal(daemon_.snat_pool.places[memory.backends[1].snat.offset].users, 5);
	assert_int_equal(hops_find(&daemon_.hops, &endpoint.address, 0), memory.backends[2].hop);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(hops_find(&daemon_.hops, &memory.gateways[i].address, 2),
				 memory.gateway_hops[i]);
	/* Until it is found in a route. */
	assert_true(memory.hops[memory.gateway_hops[0]].destination.flags & WEIR_HOP_DOUBTFUL);
	assert_false(memory.hops[memory.gateway_hops[1]].destination.flags & WEIR_HOP_DOUBTFUL);
}

static void test_the_same_configuration_changes_nothing(void **state)
{
	static struct memory before;

	before = memory;
	adopt();
	go_on(&config);
	assert_int_equal(memory.root.generation, before.root.generation + 1);
	before.root.generation = memory.root.generation;
	before.hops[memory.gateway_hops[0]].destination.flags |= WEIR_HOP_DOUBTFUL;
	assert_memory_equal(&memory, &before, sizeof(memory));
}

/* Until the network has been looked at, the earlier daemon's view is the best there is. */
static void test_slots_are_held_until_the_network_is_known(void **state)
{
	char text[TABLE_SLOTS + 1];
	struct error error;

	adopt();
	assert_int_equal(apply_config(&daemon_, &config, &error), 0);
	tables_tell(&daemon_, 1, false, 0);
	assert_string_equal(tables_live(1, text), "ab");
	tables_tell(&daemon_, 2, true, 100);
	assert_string_equal(tables_live(2, text), "cde");
	daemon_.hold_slots = false;
	publish_slots(&daemon_);
	assert_string_equal(tables_live(1, text), "b");
	assert_string_equal(tables_live(2, text), "d");
}

static void test_another_configuration(void **state)
{
	struct config other;
	char text[TABLE_SLOTS + 1];

	memory.loads[1].established = 1;
	adopt();
	config_init(&other);
	add_service(&other, "b", 82, WEIR_SCHEDULER_RR, 4);
	add_service(&other, "c", 83, WEIR_SCHEDULER_RR, 1);
	go_on(&other);
	assert_int_equal(tables_listener(80), 0);
	assert_int_equal(tables_listener(82), 2);
	assert_int_equal(tables_listener(83), 3);
	assert_string_equal(tables_live(1, text), "");
	assert_string_equal(tables_live(2, text), "cdef");
	for (unsigned int walk = 0; walk < 5; walk++)
		apply_settle(&daemon_);
	assert_int_equal(memory.backends[1].service, 1);
	assert_int_equal(memory.backends[2].service, 0);
	assert_string_equal(memory.service_names[1].text, "a");
	memory.loads[1].established = 0;
	for (unsigned int walk = 0; walk < 5; walk++)
		apply_settle(&daemon_);
	assert_int_equal(memory.backends[1].service, 0);
	assert_string_equal(memory.service_names[1].text, "");
	config_free(&other);
}

static void test_what_was_leaving_leaves_on(void **state)
{
	struct config other;

	tables_begin(&daemon_);
	config_init(&other);
	add_service(&other, "a", 80, WEIR_SCHEDULER_RR, 1);
	assert_int_equal(adopt_tables(&daemon_, NULL), 0);
	go_on(&other);
	tables_end(&daemon_);
	adopt();
	go_on(&other);
	assert_true(daemon_.registry.services[2].leaving);
	assert_true(daemon_.registry.backends[2].leaving);
	assert_false(daemon_.registry.backends[1].leaving);
	for (unsigned int walk = 0; walk < 4; walk++)
		apply_settle(&daemon_);
	assert_int_equal(daemon_.registry.services[1].users, 1);
	assert_null(registry_find_service(&daemon_.registry, "b"));
	config_free(&other);
}

static void test_a_deadline_survives(void **state)
{
	memory.backends[3].deadline = 1;
	memory.loads[3].established = 1;
	adopt();
	config.service_count = 1;
	go_on(&config);
	config.service_count = 2;
	apply_settle(&daemon_);
	assert_int_equal(asked.kill_count, 1);
	assert_int_equal(asked.kills[0].backend_id, 3);
}

/* Checks begin with what their slots say: those that were left out must show that they are up. */
static void test_health_is_remembered(void **state)
{
	const struct backend *backends;
	char text[TABLE_SLOTS + 1];

	config.services[0].health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	memory.slots[memory.services[1].slots.offset + 1].backend = 1;
	adopt();
	backends = daemon_.registry.backends;
	go_on(&config);
	assert_int_equal(health_report(backends[1].watch)->state, HEALTH_UP);
	assert_int_equal(health_report(backends[2].watch)->state, HEALTH_DOWN);
	assert_null(backends[3].watch);
	assert_string_equal(tables_live(1, text), "a");
	tables_check(&daemon_, 2, HEALTH_UP);
	assert_string_equal(tables_live(1, text), "ab");
	/* But not for ever: who comes back later begins like a new one. */
	config.services[0].backends[1].state = BACKEND_DOWN;
	go_on(&config);
	config.services[0].backends[1].state = BACKEND_READY;
	go_on(&config);
	assert_int_equal(health_report(backends[2].watch)->state, HEALTH_UNKNOWN);
	config.services[0].health = (struct config_health){ .type = HEALTH_NONE };
}

static void test_hops_that_flows_may_hold_are_not_given_away(void **state)
{
	memory.hops[11].destination.word = 1;
	adopt();
	/* Those in between were given back. */
	for (uint16_t id = 6; id < 14; id += id == 10 ? 2 : 1) {
		struct weir_address address = address_from_v4(99 + id);

		assert_int_equal(hops_add(&daemon_.hops, &address, 0), id);
	}
}

/* Only after a grace period: packets under way may read the place. */
static void test_left_sources_are_not_given_away_at_once(void **state)
{
	struct snat_pool *pool = &daemon_.snat_pool;
	struct weir_address address;
	uint32_t number = 1000, place;

	memory.snat_addresses[4] = address_from_v4(55);
	adopt();
	do {
		address = address_from_v4(++number);
	} while (snat_pool_take(pool, &address, &daemon_.grace, &place) == 0);
	assert_int_equal(number - 1000, TABLE_SOURCES - 2 + 1);
	tables_pass_grace(&daemon_);
	assert_int_equal(snat_pool_take(pool, &address, &daemon_.grace, &place), 0);
	assert_int_equal(place, 4);
}

static void test_new_runs_do_not_overlap_the_live_ones(void **state)
{
	union weir_range first = memory.services[1].slots, second = memory.services[2].slots;
	union weir_range range;

	adopt();
	while (ranges_take(&daemon_.slot_ranges, 1, &daemon_.grace, &range) == 0) {
		assert_true(range.offset < first.offset ||
			    range.offset >= first.offset + first.length);
		assert_true(range.offset < second.offset ||
			    range.offset >= second.offset + second.length);
	}
	assert_int_equal(daemon_.slot_ranges.taken, TABLE_SLOTS - 5 + 2);
}

static void check_whole(void)
{
	char text[TABLE_SLOTS + 1];

	tables_pass_grace(&daemon_);
	go_on(&config);
	for (unsigned int walk = 0; walk < 4; walk++)
		apply_settle(&daemon_);
	assert_int_equal(memory.services[1].slots.length, 2);
	assert_int_equal(memory.services[2].slots.length, 3);
	assert_true(memory.services[1].slots.offset + 2 <= memory.services[2].slots.offset ||
		    memory.services[2].slots.offset + 3 <= memory.services[1].slots.offset);
	assert_int_equal(strlen(tables_live(1, text)), 2);
	assert_int_equal(tables_listener(80), 1);
	assert_int_equal(tables_listener(81), 2);
	for (uint32_t id = 1; id <= daemon_.registry.last_backend; id++) {
		const struct backend *backend = &daemon_.registry.backends[id];

		if (backend->used)
			assert_int_equal(registry_find_backend(&daemon_.registry, backend->service,
							       &backend->own.endpoint),
					 id);
	}
}

static void test_a_service_without_slots(void **state)
{
	memory.services[2].slots.word = 0;
	adopt();
	check_whole();
}

static void test_slots_beyond_the_end(void **state)
{
	memory.services[1].slots.length = TABLE_SLOTS + 1;
	memory.services[2].slots.offset = UINT32_MAX;
	adopt();
	assert_int_equal(memory.services[1].slots.word, 0);
	check_whole();
}

static void test_slots_that_overlap(void **state)
{
	memory.services[2].slots = memory.services[1].slots;
	adopt();
	assert_int_equal(memory.services[2].slots.word, 0);
	check_whole();
}

static void test_slots_with_ids_that_are_none(void **state)
{
	memory.slots[memory.services[1].slots.offset].backend = UINT32_MAX;
	adopt();
	check_whole();
}

static void test_listeners_beyond_the_end(void **state)
{
	memory.root.listeners = (union weir_range){ .offset = TABLE_LISTENERS - 2, .length = 8 };
	adopt();
	check_whole();
}

static void test_backends_of_no_service(void **state)
{
	memory.backends[3].service = TABLE_SERVICES;
	memory.backends[5].service = 6;
	adopt();
	assert_false(daemon_.registry.backends[3].used);
	assert_int_equal(memory.backends[5].service, 0);
	check_whole();
}

static void test_a_backend_without_a_hop(void **state)
{
	memory.backends[3].hop = 0;
	memory.backends[4].hop = TABLE_HOPS;
	adopt();
	assert_false(daemon_.registry.backends[3].used);
	check_whole();
}

/* It was being freed: the hop is another backend's. */
static void test_a_hop_of_two_addresses(void **state)
{
	memory.backends[2].address = address_from_v4(1);
	adopt();
	for (uint32_t i = 0; i < 1000; i++) {
		struct weir_address address = address_from_v4(i);

		hops_find(&daemon_.hops, &address, 0);
	}
	check_whole();
}

/* The name goes first when a service is freed. */
static void test_what_is_left_of_a_service_without_a_name(void **state)
{
	memory.services[3].slots = memory.services[1].slots;
	adopt();
	assert_int_equal(memory.services[3].slots.word, 0);
	check_whole();
}

static void test_a_name_without_end_and_one_twice(void **state)
{
	memset(memory.service_names[4].text, 'x', sizeof(memory.service_names[4].text));
	strcpy(memory.service_names[5].text, "a");
	memory.services[5].slots = memory.services[1].slots;
	adopt();
	assert_int_equal(strlen(daemon_.registry.services[4].own.name), 63);
	assert_ptr_equal(registry_find_service(&daemon_.registry, "a"),
			 &daemon_.registry.services[1]);
	check_whole();
	assert_string_equal(memory.service_names[4].text, "");
	assert_string_equal(memory.service_names[5].text, "");
	assert_int_equal(memory.services[5].slots.word, 0);
	assert_ptr_equal(registry_find_service(&daemon_.registry, "a"),
			 &daemon_.registry.services[1]);
}

static void test_a_backend_twice(void **state)
{
	memory.backends[9] = memory.backends[1];
	adopt();
	check_whole();
	assert_int_equal(memory.backends[9].service, 0);
	assert_int_equal(daemon_.registry.services[1].users, 2);
}

static void test_a_queue_of_ports_is_made_anew(void **state)
{
	memory.backends[1].port_queue = 3;
	adopt();
	assert_int_equal(memory.backends[1].port_queue, 0);
}

static void test_empty_tables(void **state)
{
	tables_clear();
	adopt();
	go_on(&config);
	assert_int_equal(tables_listener(80), 1);
}

static void test_no_memory(void **state)
{
	unsigned int nth = 1;
	struct error error;

	for (;; nth++) {
		int err;

		tables_begin(&daemon_);
		allocation_fail_at(nth);
		err = adopt_tables(&daemon_, &error);
		if (!allocation_has_failed())
			break;
		allocation_fail_at(0);
		assert_int_equal(err, -ENOMEM);
		tables_end(&daemon_);
	}
	allocation_fail_at(0);
	assert_true(nth > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_books),
		TEST(the_same_configuration_changes_nothing),
		TEST(slots_are_held_until_the_network_is_known),
		TEST(another_configuration),
		TEST(what_was_leaving_leaves_on),
		TEST(a_deadline_survives),
		TEST(health_is_remembered),
		TEST(hops_that_flows_may_hold_are_not_given_away),
		TEST(left_sources_are_not_given_away_at_once),
		TEST(new_runs_do_not_overlap_the_live_ones),
		TEST(a_service_without_slots),
		TEST(slots_beyond_the_end),
		TEST(slots_that_overlap),
		TEST(slots_with_ids_that_are_none),
		TEST(listeners_beyond_the_end),
		TEST(backends_of_no_service),
		TEST(a_backend_without_a_hop),
		TEST(a_hop_of_two_addresses),
		TEST(what_is_left_of_a_service_without_a_name),
		TEST(a_name_without_end_and_one_twice),
		TEST(a_backend_twice),
		TEST(a_queue_of_ports_is_made_anew),
		TEST(empty_tables),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
