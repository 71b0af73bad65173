// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "src/base/address.h"

static uint32_t backend_id(const char *service, uint32_t number)
{
	const struct service *found = registry_find_service(&daemon_.registry, service);
	const struct endpoint endpoint = { address_from_v4(htonl(0xc6336400 + number)), 8000 };

	if (!found)
		return 0;
	return registry_find_backend(&daemon_.registry,
				     registry_service_id(&daemon_.registry, found), &endpoint);
}

static void remove_backend(struct config_service *service, size_t place)
{
	memmove(&service->backends[place], &service->backends[place + 1],
		(--service->backend_count - place) * sizeof(*service->backends));
}

static bool is_zero(const void *memory_, size_t size)
{
	const char *bytes = memory_;

	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void test_first_configuration(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	assert_string_equal(memory.service_names[1].text, "a");
	assert_string_equal(memory.service_names[2].text, "b");
	assert_string_equal(tables_live(1, text), "ab");
	assert_string_equal(tables_live(2, text), "cde");
	assert_int_equal(tables_listener(80), 1);
	assert_int_equal(tables_listener(81), 2);
	assert_int_equal(memory.backends[3].service, 2);
	/* Both services' first backends are behind one hop. */
	assert_int_equal(memory.backends[1].hop, memory.backends[3].hop);
	assert_int_equal(memory.root.generation, 1);
	assert_int_equal(asked.resolved, 3);
	assert_int_equal(daemon_.registry.service_count, 2);
	assert_int_equal(daemon_.registry.backend_count, 5);
	assert_ptr_equal(daemon_.config, &configs[0]);
}

static void test_an_unchanged_reload_changes_nothing(void **state)
{
	static struct memory before;

	begin();
	before = memory;
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	assert_int_equal(memory.root.generation, 2);
	before.root.generation = 2;
	assert_memory_equal(&memory, &before, sizeof(memory));
	assert_ptr_equal(daemon_.config, &configs[1]);
	assert_int_equal(asked.kill_count, 0);
	assert_int_equal(asked.resolved, 3);
}

/* Commands come faster than grace periods: what did not change needs no new room. */
static void test_many_reloads_without_a_grace_period(void **state)
{
	begin();
	for (unsigned int i = 0; i < 100; i++)
		apply(&configs[0]);
	assert_int_equal(memory.root.generation, 101);
}

static void test_an_added_backend(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "a", 80, 3);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	/* Its hop is known from the other service. */
	assert_int_equal(backend_id("a", 3), 6);
	assert_string_equal(tables_live(1, text), "abf");
	assert_string_equal(tables_live(2, text), "cde");
	assert_int_equal(memory.backends[6].hop, memory.backends[5].hop);
	assert_int_equal(memory.backends[6].snat.word, memory.backends[5].snat.word);
}

static void test_an_added_backend_that_must_be_resolved(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "b", 81, 4);
	apply(&configs[1]);
	assert_int_equal(asked.resolved, 4);
	assert_string_equal(tables_live(2, text), "cde");
	tables_tell(&daemon_, 6, true, 100);
	assert_string_equal(tables_live(2, text), "cdef");
}

static void test_a_leaving_backend_is_kept_while_it_has_flows(void **state)
{
	uint16_t hop;
	char text[TABLE_SLOTS + 1];

	begin();
	memory.loads[5] = (struct weir_load){ .established = 1, .snat_ports = 1, .total = 9 };
	hop = memory.backends[5].hop;
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "b", 81, 2);
	apply(&configs[1]);
	assert_string_equal(tables_live(2, text), "cd");
	settle(10);
	assert_true(daemon_.registry.backends[5].leaving);
	assert_int_equal(memory.backends[5].service, 2);
	assert_int_equal(memory.backends[5].hop, hop);
	/* A port that is in use keeps it as well, and half-open flows. */
	memory.loads[5].established = 0;
	settle(10);
	memory.loads[5].snat_ports = 0;
	memory.loads[5].half_open = 1;
	settle(10);
	assert_true(daemon_.registry.backends[5].used);
	/* Two walks without and one with begin the count again. */
	memory.loads[5].half_open = 0;
	settle(2);
	memory.loads[5].established = 1;
	settle(1);
	memory.loads[5].established = 0;
	settle(2);
	assert_true(daemon_.registry.backends[5].used);
	assert_int_equal(asked.forgotten, 0);
	settle(1);
	assert_false(daemon_.registry.backends[5].used);
}

static void test_all_of_a_backend_that_has_left_is_zero(void **state)
{
	const struct weir_address address = address_from_v4(htonl(0xc6336403));
	uint32_t source, users;
	uint16_t hop;

	begin();
	memory.loads[5].total = 9;
	memory.loads[5].failed = 2;
	hop = memory.backends[5].hop;
	source = memory.backends[5].snat.offset;
	users = daemon_.snat_pool.places[source].users;
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "b", 81, 2);
	apply(&configs[1]);
	settle(3);
	assert_int_equal(backend_id("b", 3), 0);
	assert_true(is_zero(&memory.backends[5], sizeof(memory.backends[5])));
	assert_true(is_zero(&memory.loads[5], sizeof(memory.loads[5])));
	assert_int_equal(asked.forgotten, 5);
	assert_int_equal(asked.kills_forgotten, 5);
	assert_int_equal(asked.cleared, 1);
	assert_int_equal(asked.resolved, 2);
	assert_int_equal(hops_find(&daemon_.hops, &address, 0), 0);
	/* Else the next daemon takes the id for one that flows hold. */
	assert_true(is_zero(&memory.hops[hop], sizeof(memory.hops[hop])));
	assert_int_equal(daemon_.snat_pool.places[source].users, users - 1);
}

static void test_the_hop_stays_while_another_backend_has_it(void **state)
{
	const struct weir_address address = address_from_v4(htonl(0xc6336402));
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "a", 80, 1);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	settle(3);
	assert_false(daemon_.registry.backends[2].used);
	assert_int_equal(hops_find(&daemon_.hops, &address, 0), memory.backends[4].hop);
	tables_tell(&daemon_, 4, false, 0);
	assert_string_equal(tables_live(1, text), "a");
	assert_string_equal(tables_live(2, text), "ce");
}

static void test_a_backend_that_comes_back_keeps_its_id(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	memory.loads[2].established = 1;
	add(&configs[1], "a", 80, 1);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	assert_string_equal(tables_live(1, text), "a");
	settle(5);
	memory.backends[2].deadline = 1;
	apply(&configs[0]);
	assert_int_equal(backend_id("a", 2), 2);
	assert_string_equal(tables_live(1, text), "ab");
	assert_false(daemon_.registry.backends[2].leaving);
	assert_int_equal(memory.backends[2].deadline, 0);
	/* It is no longer in danger. */
	memory.loads[2].established = 0;
	settle(5);
	assert_true(daemon_.registry.backends[2].used);
	assert_int_equal(asked.kill_count, 0);
}

static void test_a_deadline_cuts_once(void **state)
{
	begin();
	memory.loads[2].established = 1;
	add(&configs[1], "a", 80, 1);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	memory.backends[2].deadline = time(NULL) + 1000;
	settle(3);
	assert_int_equal(asked.kill_count, 0);
	memory.backends[2].deadline = time(NULL);
	settle(3);
	assert_int_equal(asked.kill_count, 1);
	assert_int_equal(asked.kills[0].backend_id, 2);
	assert_true(daemon_.registry.backends[2].used);
	memory.loads[2].established = 0;
	settle(3);
	assert_false(daemon_.registry.backends[2].used);
}

static void test_a_removed_service(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	memory.loads[3].established = 1;
	add(&configs[1], "a", 80, 2);
	apply(&configs[1]);
	/* What it was made of may be gone: its flows stay. */
	config_free(&configs[0]);
	assert_int_equal(daemon_.registry.services[2].own.listen_count, 0);
	assert_int_equal(tables_listener(81), 0);
	assert_int_equal(tables_listener(80), 1);
	assert_string_equal(tables_live(2, text), "");
	memory.service_state[2].turn = 77;
	settle(5);
	assert_int_equal(memory.services[2].timeouts.tcp_handshake, 10 * 250);
	assert_string_equal(memory.service_names[2].text, "b");
	assert_false(daemon_.registry.backends[4].used);
	assert_true(daemon_.registry.backends[3].used);
	memory.loads[3].established = 0;
	settle(3);
	assert_false(daemon_.registry.services[2].used);
	assert_true(is_zero(&memory.services[2], sizeof(memory.services[2])));
	assert_int_equal(memory.service_state[2].turn, 0);
	assert_string_equal(memory.service_names[2].text, "");
	assert_null(registry_find_service(&daemon_.registry, "b"));
}

/* The old service answers until the listen address is the new one's. */
static void test_another_name_for_a_listen_address(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "c", 80, 2);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	assert_int_equal(tables_listener(80), 3);
	assert_int_equal(asked.slots_before_listeners.length, 2);
	assert_string_equal(tables_live(1, text), "");
	assert_string_equal(tables_live(3, text), "fg");
}

static void test_a_service_that_comes_back(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	for (uint32_t id = 3; id <= 5; id++)
		memory.loads[id].established = 1;
	add(&configs[1], "a", 80, 2);
	apply(&configs[1]);
	settle(5);
	add(&configs[2], "b", 82, 3);
	apply(&configs[2]);
	assert_string_equal(tables_live(1, text), "");
	assert_string_equal(tables_live(2, text), "cde");
	assert_int_equal(tables_listener(82), 2);
	assert_int_equal(tables_listener(80), 0);
	assert_int_equal(daemon_.registry.services[2].users, 3);
}

static void test_another_listen_address(void **state)
{
	struct weir_listener before[TABLE_LISTENERS];
	union weir_range old;

	begin();
	old = memory.root.listeners;
	memcpy(before, memory.listeners, sizeof(before));
	add(&configs[1], "a", 8080, 2);
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	assert_int_equal(tables_listener(8080), 1);
	assert_int_equal(tables_listener(80), 0);
	/* Who still reads the old table finds it whole. */
	assert_int_not_equal(memory.root.listeners.offset, old.offset);
	assert_memory_equal(&memory.listeners[old.offset], &before[old.offset],
			    old.length * sizeof(*before));
	tables_pass_grace(&daemon_);
	apply(&configs[0]);
	assert_int_equal(memory.root.listeners.offset, old.offset);
}

static void test_no_service_at_all(void **state)
{
	begin();
	apply(&configs[1]);
	assert_int_equal(memory.root.listeners.word, 0);
	settle(3);
	assert_true(is_zero(memory.services, sizeof(memory.services)));
	assert_true(is_zero(memory.backends, sizeof(memory.backends)));
	assert_int_equal(asked.resolved, 0);
	/* Ids go on where they were: what was freed last is used last. */
	apply(&configs[0]);
	assert_int_equal(tables_listener(80), 3);
	assert_int_equal(backend_id("a", 1), 6);
}

static void test_weights_and_limits(void **state)
{
	struct config_service *service;
	char text[TABLE_SLOTS + 1];

	begin();
	service = add(&configs[1], "a", 80, 2);
	service->scheduler = WEIR_SCHEDULER_WRR;
	service->backends[0].weight = 2;
	service->backends[1].max_connections = 500;
	service->silent = true;
	service->timeouts.udp = 4000;
	service = add(&configs[1], "b", 81, 3);
	service->backends[1].weight = 0;
	configs[1].limits.reset_rate = 7;
	apply(&configs[1]);
	assert_string_equal(tables_live(1, text), "aba");
	assert_string_equal(tables_live(2, text), "ce");
	assert_int_equal(memory.backends[1].max_connections, 0);
	assert_int_equal(memory.backends[2].max_connections, 500);
	assert_int_equal(memory.services[1].scheduler, WEIR_SCHEDULER_WRR);
	assert_int_equal(memory.services[1].flags, WEIR_SERVICE_SILENT);
	assert_int_equal(memory.services[1].timeouts.udp, 1000);
	assert_int_equal(memory.runtime.reset_rate, 7);
	assert_int_equal(memory.runtime.least.udp, 1000);
	assert_int_equal(memory.runtime.least.tcp, memory.services[1].timeouts.tcp);
}

static void test_states(void **state)
{
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "a", 80, 2)->backends[0].state = BACKEND_DRAIN;
	add(&configs[1], "b", 81, 3);
	apply(&configs[1]);
	assert_string_equal(tables_live(1, text), "b");
	assert_int_equal(asked.kill_count, 0);
	add(&configs[2], "a", 80, 2)->backends[0].state = BACKEND_DOWN;
	add(&configs[2], "b", 81, 3)->backends[2].state = BACKEND_DOWN;
	apply(&configs[2]);
	assert_string_equal(tables_live(1, text), "b");
	assert_string_equal(tables_live(2, text), "cd");
	assert_int_equal(asked.kill_count, 2);
	assert_int_equal(asked.kills[0].backend_id, 1);
	assert_int_equal(asked.kills[1].backend_id, 5);
	assert_int_equal(asked.kills[0].service_id, 0);
	/* It is down already. */
	apply(&configs[2]);
	assert_int_equal(asked.kill_count, 2);
	apply(&configs[0]);
	assert_string_equal(tables_live(1, text), "ab");
	assert_string_equal(tables_live(2, text), "cde");
}

static void test_a_new_backend_that_is_down_has_nothing_to_cut(void **state)
{
	char text[TABLE_SLOTS + 1];

	add(&configs[0], "a", 80, 2)->backends[1].state = BACKEND_DOWN;
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_string_equal(tables_live(1, text), "a");
	assert_int_equal(asked.kill_count, 0);
}

static void test_snat_addresses(void **state)
{
	const struct weir_address addresses[3] = { address_from_v4(1), address_from_v4(2),
						   address_from_v4(3) };
	union weir_range first, second;

	begin();
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "b", 81, 2);
	for (size_t i = 0; i < 2; i++)
		*config_add_snat_address(&configs[1]) = addresses[i];
	memory.loads[5].established = 1;
	apply(&configs[1]);
	first = memory.backends[1].snat;
	assert_int_equal(first.length, 2);
	assert_memory_equal(&memory.snat_addresses[first.offset], addresses,
			    2 * sizeof(addresses[0]));
	for (uint32_t id = 2; id <= 5; id++)
		assert_int_equal(memory.backends[id].snat.word, first.word);
	/* The place of the route's address is nobody's any more. */
	assert_int_equal(daemon_.snat_pool.places[0].users, 0);
	/* Others: they are in another place, until nobody reads the old ones. */
	add(&configs[2], "a", 80, 2);
	for (size_t i = 1; i < 3; i++)
		*config_add_snat_address(&configs[2]) = addresses[i];
	apply(&configs[2]);
	second = memory.backends[1].snat;
	assert_int_equal(second.length, 2);
	assert_true(second.offset >= first.offset + 2 || first.offset >= second.offset + 2);
	assert_memory_equal(&memory.snat_addresses[first.offset], addresses,
			    2 * sizeof(addresses[0]));
	assert_memory_equal(&memory.snat_addresses[second.offset], &addresses[1],
			    2 * sizeof(addresses[0]));
	/* None: the route's again. */
	apply(&configs[0]);
	assert_int_equal(memory.backends[1].snat.length, 1);
	assert_int_equal(address_to_v4(&memory.snat_addresses[memory.backends[1].snat.offset]),
			 htonl(100));
	for (uint32_t i = 0; i < TABLE_SOURCES; i++)
		assert_int_equal(daemon_.snat_pool.places[i].users,
				 i == memory.backends[1].snat.offset ? 5 : 0);
}

static void test_the_same_snat_addresses_stay(void **state)
{
	const struct weir_address address = address_from_v4(1);
	union weir_range before;

	add(&configs[0], "a", 80, 2);
	*config_add_snat_address(&configs[0]) = address;
	apply(&configs[0]);
	before = memory.backends[1].snat;
	for (unsigned int i = 0; i < 20; i++)
		apply(&configs[0]);
	assert_int_equal(memory.backends[1].snat.word, before.word);
	assert_int_equal(daemon_.snat_pool.places[before.offset].users, 1);
}

static void test_checks_follow_the_configuration(void **state)
{
	char text[TABLE_SLOTS + 1];
	struct config_service *service;

	begin();
	service = add(&configs[1], "a", 80, 3);
	service->health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	service->backends[2].state = BACKEND_DOWN;
	apply(&configs[1]);
	tables_tell_all(&daemon_);
	/* No result yet: usable. Who is down is not checked. */
	assert_int_equal(asked.watches, 2);
	assert_string_equal(tables_live(1, text), "ab");
	tables_check(&daemon_, 2, HEALTH_DOWN);
	assert_string_equal(tables_live(1, text), "a");
	/* The same checks: what is known stays. */
	service = add(&configs[2], "a", 80, 2);
	service->health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	apply(&configs[2]);
	assert_int_equal(asked.begun, 2);
	assert_string_equal(tables_live(1, text), "a");
	/* Others: it stays, too, until the first result. */
	service = add(&configs[3], "a", 80, 3);
	service->health = (struct config_health){ .type = HEALTH_TCP, .interval = 2000 };
	apply(&configs[3]);
	assert_int_equal(asked.watches, 3);
	assert_int_equal(asked.begun, 5);
	assert_string_equal(tables_live(1, text), "af");
	/* What leaves is not checked. */
	apply(&configs[2]);
	assert_int_equal(asked.watches, 2);
	apply(&configs[0]);
	assert_int_equal(asked.watches, 0);
	assert_string_equal(tables_live(1, text), "ab");
	apply(&configs[2]);
	configs[0].service_count = 0;
	apply(&configs[0]);
	configs[0].service_count = 2;
	assert_int_equal(asked.watches, 0);
}

static void test_slow_start_of_who_comes_back(void **state)
{
	const struct weir_slot *slots;
	struct config_service *service = add(&configs[0], "a", 80, 2);

	service->scheduler = WEIR_SCHEDULER_LC;
	service->slow_start = 10000;
	service->health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	daemon_.ready = false;
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	daemon_.ready = true;
	/* At the start all are new, and none is behind. */
	assert_int_equal(daemon_.registry.backends[1].ramp_began_ms, 0);
	tables_check(&daemon_, 2, HEALTH_DOWN);
	tables_check(&daemon_, 2, HEALTH_UP);
	slots = &memory.slots[memory.services[1].slots.offset];
	assert_int_equal(slots[0].ramp, WEIR_RAMP_FULL);
	assert_int_equal(slots[1].ramp, 1);
	/* Half of the time has passed. */
	daemon_.registry.backends[2].ramp_began_ms = uv_now(&daemon_.loop) - 5000;
	uv_run(&daemon_.loop, UV_RUN_ONCE);
	slots = &memory.slots[memory.services[1].slots.offset];
	assert_in_range(slots[1].ramp, WEIR_RAMP_FULL / 2, WEIR_RAMP_FULL * 6 / 10);
	daemon_.registry.backends[2].ramp_began_ms = uv_now(&daemon_.loop) - 10000;
	uv_run(&daemon_.loop, UV_RUN_ONCE);
	slots = &memory.slots[memory.services[1].slots.offset];
	assert_int_equal(slots[1].ramp, WEIR_RAMP_FULL);
	assert_int_equal(daemon_.registry.backends[2].ramp_began_ms, 0);
	assert_false(uv_is_active((uv_handle_t *)&daemon_.ramp));
}

static void test_order_of_the_configuration(void **state)
{
	char text[TABLE_SLOTS + 1];
	struct config_service *service;
	struct config_backend first;

	begin();
	add(&configs[1], "b", 81, 3);
	service = add(&configs[1], "a", 80, 2);
	first = service->backends[0];
	remove_backend(service, 0);
	*config_service_add_backend(service) = first;
	apply(&configs[1]);
	assert_int_equal(tables_listener(80), 1);
	assert_string_equal(tables_live(1, text), "ba");
	assert_string_equal(tables_live(2, text), "cde");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_configuration),
		TEST(an_unchanged_reload_changes_nothing),
		TEST(many_reloads_without_a_grace_period),
		TEST(an_added_backend),
		TEST(an_added_backend_that_must_be_resolved),
		TEST(a_leaving_backend_is_kept_while_it_has_flows),
		TEST(all_of_a_backend_that_has_left_is_zero),
		TEST(the_hop_stays_while_another_backend_has_it),
		TEST(a_backend_that_comes_back_keeps_its_id),
		TEST(a_deadline_cuts_once),
		TEST(a_removed_service),
		TEST(another_name_for_a_listen_address),
		TEST(a_service_that_comes_back),
		TEST(another_listen_address),
		TEST(no_service_at_all),
		TEST(weights_and_limits),
		TEST(states),
		TEST(a_new_backend_that_is_down_has_nothing_to_cut),
		TEST(snat_addresses),
		TEST(the_same_snat_addresses_stay),
		TEST(checks_follow_the_configuration),
		TEST(slow_start_of_who_comes_back),
		TEST(order_of_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
