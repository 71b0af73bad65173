// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/unit/allocation.h"

static struct config config;
static struct daemon daemon_;
static char text[TABLE_SLOTS + 1];

static struct config_service *service(void)
{
	return &config.services[0];
}

/* Service 1 with three backends; the last one has weight 0. */
static int set_up(void **state)
{
	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 3)->backends[2].weight = 0;
	tables_clear();
	tables_begin(&daemon_);
	return apply_config(&daemon_, &config, NULL);
}

static int tear_down(void **state)
{
	tables_end(&daemon_);
	config_free(&config);
	return 0;
}

static void apply(void)
{
	assert_int_equal(apply_config(&daemon_, &config, NULL), 0);
}

static void tell(uint32_t id, bool reachable, uint32_t source)
{
	tables_tell(&daemon_, id, reachable, source);
}

static void test_only_ready_backends_get_slots(void **state)
{
	assert_string_equal(tables_live(1, text), "");
	tell(2, true, 1);
	assert_string_equal(tables_live(1, text), "b");
	tell(1, true, 1);
	assert_string_equal(tables_live(1, text), "ab");
	assert_true(daemon_.registry.backends[1].in_slots);
	/* Weight 0. */
	tell(3, true, 1);
	assert_string_equal(tables_live(1, text), "ab");
	assert_false(daemon_.registry.backends[3].in_slots);
	/* Without a source address it cannot be spoken to. */
	tell(1, true, 0);
	assert_string_equal(tables_live(1, text), "b");
	assert_false(daemon_.registry.backends[1].in_slots);
	tell(2, false, 1);
	assert_int_equal(memory.services[1].slots.word, 0);
}

static void test_a_run_is_not_reused_before_grace(void **state)
{
	struct weir_slot before[2];
	uint32_t offset;

	tell(1, true, 1);
	tell(2, true, 1);
	offset = memory.services[1].slots.offset;
	memcpy(before, &memory.slots[offset], sizeof(before));
	for (unsigned int i = 0; i < 10; i++) {
		tell(1, i % 2, 1);
		assert_int_not_equal(memory.services[1].slots.offset, offset);
	}
	assert_memory_equal(before, &memory.slots[offset], sizeof(before));
	tables_pass_grace(&daemon_);
	/* Runs before it are free again, too. */
	tell(1, false, 1);
	assert_true(memory.services[1].slots.offset <= offset);
}

/* Without room the old slots stay, and the next walk makes up for it. */
static void test_no_room_before_grace(void **state)
{
	bool on = false;

	tell(1, true, 1);
	tell(2, true, 1);
	for (unsigned int i = 0; i < TABLE_SLOTS; i++, on = !on)
		tell(1, on, 1);
	assert_non_null(daemon_.changed);
	tell(1, true, 1);
	tell(2, false, 1);
	assert_true(daemon_.told_of_slots);
	tables_pass_grace(&daemon_);
	apply_settle(&daemon_);
	assert_string_equal(tables_live(1, text), "a");
	assert_null(daemon_.changed);
	assert_false(daemon_.told_of_slots);
}

static void test_held_slots(void **state)
{
	daemon_.hold_slots = true;
	tell(2, true, 1);
	tell(1, true, 1);
	assert_string_equal(tables_live(1, text), "");
	daemon_.hold_slots = false;
	publish_slots(&daemon_);
	assert_string_equal(tables_live(1, text), "ab");
	/* Built once. */
	assert_int_equal(daemon_.slot_ranges.taken, 1);
}

static void test_changes_that_cancel_out_publish_nothing(void **state)
{
	struct hop *hop;
	uint64_t word;

	tell(1, true, 1);
	tell(2, true, 1);
	word = memory.services[1].slots.word;
	hop = &daemon_.hops.entries[daemon_.registry.backends[1].hop];
	hop->state.reachable = false;
	publish_hop(&daemon_, hop);
	hop->state.reachable = true;
	publish_hop(&daemon_, hop);
	publish_slots(&daemon_);
	assert_int_equal(memory.services[1].slots.word, word);
	assert_int_equal(daemon_.slot_ranges.retired_count, 1);
}

static void test_one_hop_for_backends_of_many_services(void **state)
{
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 2);
	apply();
	tell(1, true, 1);
	assert_string_equal(tables_live(1, text), "a");
	assert_string_equal(tables_live(2, text), "d");
	/* The others of both services came just now, and are being resolved: they are waited for. */
	tell(4, false, 1);
	assert_string_equal(tables_live(1, text), "a");
	assert_string_equal(tables_live(2, text), "d");
	daemon_.loop.time += 2000;
	publish_slots(&daemon_);
	assert_string_equal(tables_live(1, text), "");
	assert_string_equal(tables_live(2, text), "");
}

static void test_sources_follow_the_route(void **state)
{
	union weir_range first;

	tell(1, true, 100);
	tell(2, true, 100);
	first = memory.backends[1].snat;
	assert_int_equal(first.length, 1);
	assert_int_equal(memory.backends[2].snat.word, first.word);
	assert_int_equal(address_to_v4(&memory.snat_addresses[first.offset]), htonl(100));
	tell(1, true, 200);
	assert_int_not_equal(memory.backends[1].snat.offset, first.offset);
	assert_int_equal(address_to_v4(&memory.snat_addresses[memory.backends[1].snat.offset]),
			 htonl(200));
	/* The old one is still the other backend's. */
	assert_int_equal(address_to_v4(&memory.snat_addresses[first.offset]), htonl(100));
	assert_int_equal(daemon_.snat_pool.places[first.offset].users, 1);
	/* No route, no source: flows keep what they have. */
	tell(1, false, 0);
	assert_int_equal(memory.backends[1].snat.length, 1);
}

static void test_without_room_the_old_source_stays(void **state)
{
	uint64_t word;

	for (uint32_t source = 1; source <= TABLE_SOURCES; source++)
		tell(1, true, source);
	word = memory.backends[1].snat.word;
	tell(1, true, TABLE_SOURCES + 1);
	assert_int_equal(memory.backends[1].snat.word, word);
	tables_pass_grace(&daemon_);
	tell(1, true, TABLE_SOURCES + 1);
	assert_int_not_equal(memory.backends[1].snat.word, word);
}

static void test_configured_sources(void **state)
{
	for (uint32_t i = 1; i <= 2; i++)
		*config_add_snat_address(&config) = address_from_v4(i);
	apply();
	assert_int_equal(memory.backends[1].snat.length, 2);
	/* A source of the route is neither needed nor taken. */
	tell(1, true, 0);
	assert_string_equal(tables_live(1, text), "a");
	tell(1, true, 77);
	assert_int_equal(memory.backends[1].snat.length, 2);
	/* And of a backend that comes later. */
	config_service_add_backend(service())->endpoint = (struct endpoint){ address_from_v4(9),
									     8000 };
	apply();
	assert_int_equal(memory.backends[4].snat.word, memory.backends[1].snat.word);
}

static bool is_source(uint32_t id, const char *expected)
{
	const union weir_range *range = &memory.backends[id].snat;
	char address[ENDPOINT_STRING_SIZE];

	return range->length == 1 &&
	       !strcmp(address_format(&memory.snat_addresses[range->offset], address), expected);
}

/* A family that none is configured of has that of the route. */
static void test_configured_sources_by_family(void **state)
{
	static const char *const snat[] = { "10.0.0.1", "2001:db8::20", "10.0.0.2",
					    "2001:db8::21" };
	struct config_service *six = add_service(&config, "six", 80, WEIR_SCHEDULER_RR, 1);
	const union weir_range *four = &memory.backends[1].snat, *range = &memory.backends[4].snat;
	struct weir_address *at;

	assert_int_equal(address_parse("2001:db8::10", &six->listens->endpoint.address), 0);
	assert_int_equal(address_parse("2001:db8::11", &six->backends->endpoint.address), 0);
	*config_add_snat_address(&config) = address_from_v4(htonl(0x0a000001));
	apply();
	tell(1, true, 77);
	assert_true(is_source(1, "10.0.0.1"));
	assert_int_equal(range->length, 0);
	at = &daemon_.hops.entries[daemon_.registry.backends[4].hop].state.source;
	tell(4, true, 0);
	assert_int_equal(memory.services[2].slots.length, 0); /* it has none to speak from */
	assert_int_equal(address_parse("2001:db8::9", at), 0);
	publish_hop(&daemon_, &daemon_.hops.entries[daemon_.registry.backends[4].hop]);
	publish_slots(&daemon_);
	assert_true(is_source(4, "2001:db8::9"));
	assert_int_equal(memory.services[2].slots.length, 1);
	/* Mixed up in the file, each family in one row. */
	config.snat.address_count = 0;
	for (size_t i = 0; i < COUNT(snat); i++)
		assert_int_equal(address_parse(snat[i], config_add_snat_address(&config)), 0);
	apply();
	assert_int_equal(four->length, 2);
	assert_int_equal(range->length, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_string_equal(address_format(&memory.snat_addresses[four->offset + i], text),
				    snat[2 * i]);
		assert_string_equal(address_format(&memory.snat_addresses[range->offset + i], text),
				    snat[2 * i + 1]);
	}
	/* The IPv4 ones alone go. */
	config.snat.address_count = 0;
	assert_int_equal(address_parse(snat[1], config_add_snat_address(&config)), 0);
	apply();
	assert_true(is_source(1, "0.0.0.77"));
	assert_true(is_source(4, "2001:db8::20"));
}

/* Nothing of it is taken if one family finds no room. */
static void test_no_room_for_one_family(void **state)
{
	struct error error;

	for (uint32_t i = 0; i <= TABLE_SOURCES; i++) {
		struct weir_address *address = config_add_snat_address(&config);

		*address = address_from_v4(htonl(0x0a000001 + i));
		address->word[0] = i ? htonl(0x20010db8) : 0;
	}
	assert_int_equal(apply_config(&daemon_, &config, &error), -ENOSPC);
	for (uint32_t i = 0; i < TABLE_SOURCES; i++)
		assert_int_equal(daemon_.snat_pool.places[i].users, 0);
	assert_int_equal(daemon_.snat_fixed[0].length, 0);
}

/* dsr sends from no address of this host; ipip does. Sessions follow what the slots say. */
static void test_direct_modes(void **state)
{
	service()->mode = WEIR_MODE_DSR;
	apply();
	tell(1, true, 0);
	daemon_.loop.time += 2000; /* nobody is waited for any more */
	assert_string_equal(tables_live(1, text), "a");
	assert_int_equal(memory.services[1].mode, WEIR_MODE_DSR);
	assert_int_equal(memory.backends[1].use, WEIR_BACKEND_OPEN);
	assert_int_equal(memory.backends[2].use, WEIR_BACKEND_NO_NEW);
	service()->mode = WEIR_MODE_IPIP;
	assert_int_equal(memory.services[1].flags, 0);
	service()->outer_fixed = true;
	apply();
	assert_int_equal(memory.services[1].flags, WEIR_SERVICE_OUTER_FIXED);
	service()->outer_fixed = false;
	service()->clear_df = true;
	apply();
	assert_int_equal(memory.services[1].flags, WEIR_SERVICE_CLEAR_DF);
	publish_slots(&daemon_);
	assert_string_equal(tables_live(1, text), "");
	assert_int_equal(memory.backends[1].use, WEIR_BACKEND_NO_NEW);
	tell(1, true, 1);
	assert_string_equal(tables_live(1, text), "a");
	service()->backends[0].state = BACKEND_DRAIN;
	apply();
	assert_int_equal(memory.backends[1].use, WEIR_BACKEND_NO_NEW);
	service()->backends[0].state = BACKEND_DOWN;
	apply();
	assert_int_equal(memory.backends[1].use, WEIR_BACKEND_CUT);
	service()->backends[0].state = BACKEND_READY;
	apply();
	assert_int_equal(memory.backends[1].use, WEIR_BACKEND_OPEN);
}

static void test_entries(void **state)
{
	const struct weir_timeouts *timeouts = &memory.services[1].timeouts;

	assert_int_equal(timeouts->tcp_handshake, 10 * 250);
	assert_int_equal(timeouts->tcp, (2 * 60 + 4) * 60 * 250);
	assert_int_equal(memory.backends[1].port, htons(8000));
	assert_int_equal(memory.backends[1].service, 1);
	assert_int_not_equal(memory.backends[1].hop, 0);
	assert_int_not_equal(memory.backends[1].hop, memory.backends[2].hop);
	assert_int_equal(memory.runtime.flows_limit[WEIR_IPV4], config.limits.flows);
	assert_int_equal(memory.runtime.udp_limit[WEIR_IPV4], config.limits.flows / 2);
	assert_int_equal(memory.runtime.flows_limit[WEIR_IPV6], config.limits.flows / 4);
	config.limits.flows_v6 = 5000;
	publish_runtime(&daemon_, &config.limits);
	assert_int_equal(memory.runtime.flows_limit[WEIR_IPV6], 5000);
	assert_int_equal(memory.runtime.udp_limit[WEIR_IPV6], 2500);
	config.limits.flows_v6 = 0;
	publish_runtime(&daemon_, &config.limits);
	assert_int_equal(memory.runtime.udp_limit[WEIR_IPV6], config.limits.flows / 8);
	assert_int_equal(memory.runtime.time_wait, 67500 / 4);
	assert_int_equal(memory.root.generation, 1);
	assert_string_equal(memory.service_names[1].text, "a");
}

static void test_weights(void **state)
{
	service()->scheduler = WEIR_SCHEDULER_WRR;
	service()->backends[0].weight = 2;
	apply();
	tell(1, true, 1);
	tell(2, true, 1);
	assert_string_equal(tables_live(1, text), "aba");
}

static void test_backups_and_fail_open(void **state)
{
	service()->health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	service()->backends[1].backup = true;
	apply();
	tables_tell_all(&daemon_);
	assert_string_equal(tables_live(1, text), "a");
	tables_check(&daemon_, 1, HEALTH_DOWN);
	assert_string_equal(tables_live(1, text), "b");
	tables_check(&daemon_, 2, HEALTH_DOWN);
	assert_string_equal(tables_live(1, text), "");
	service()->fail_open = true;
	apply();
	assert_string_equal(tables_live(1, text), "ab");
	tables_check(&daemon_, 1, HEALTH_UP);
	assert_string_equal(tables_live(1, text), "a");
}

static void test_without_memory_the_old_slots_stay(void **state)
{
	tell(1, true, 1);
	for (unsigned int nth = 1; nth <= 3; nth++) {
		allocation_fail_at(nth);
		tell(2, true, 1);
		assert_true(allocation_has_failed());
		allocation_fail_at(0);
		assert_string_equal(tables_live(1, text), "a");
		/* The next change makes up for it. */
		tell(1, false, 1);
		assert_string_equal(tables_live(1, text), "b");
		tell(1, true, 1);
		tell(2, false, 1);
		assert_string_equal(tables_live(1, text), "a");
	}
}

static void hash(enum weir_scheduler scheduler)
{
	ranges_free(&daemon_.slot_ranges);
	assert_int_equal(ranges_init(&daemon_.slot_ranges, TABLE_SLOTS_OF_HASHING), 0);
	service()->scheduler = scheduler;
	apply();
}

/* Places in the live slots of service 1 that are of backend @id. */
static uint32_t count_live(uint32_t id)
{
	const union weir_range *range = &memory.services[1].slots;
	uint32_t count = 0;

	for (uint32_t i = 0; i < range->length; i++)
		count += memory.slots[range->offset + i].backend == id;
	return count;
}

/* Made of what is configured: who cannot be reached lends its slots to the others. */
static void test_tables_of_hashing(void **state)
{
	static const enum weir_scheduler hashing[] = { WEIR_SCHEDULER_HASH, WEIR_SCHEDULER_SOURCE,
						       WEIR_SCHEDULER_MAGLEV };
	uint32_t fair = 65537 / 3;

	service()->backends[2].weight = 1;
	for (size_t i = 0; i < COUNT(hashing); i++) {
		struct weir_slot *all = memory.slots, *before;
		uint32_t moved = 0;

		hash(hashing[i]);
		tables_tell_all(&daemon_);
		assert_int_equal(memory.services[1].slots.length, 65537);
		for (uint32_t id = 1; id <= 3; id++)
			assert_in_range(count_live(id), fair - 1, fair + 1);
		before = &all[memory.services[1].slots.offset];
		tell(2, false, 1);
		assert_int_equal(count_live(2), 0);
		assert_false(daemon_.registry.backends[2].in_slots);
		for (uint32_t place = 0; place < 65537; place++)
			moved += before[place].backend !=
				 all[memory.services[1].slots.offset + place].backend;
		assert_in_range(moved, fair - 1, fair + 1); /* its own ones */
		tables_pass_grace(&daemon_);
	}
	for (uint32_t id = 1; id <= 3; id++)
		tell(id, false, 1);
	assert_int_equal(memory.services[1].slots.word, 0);
}

/* Drained ones and those of weight 0 have no slots to lend; backups have when it is their time. */
static void test_members_of_hashing(void **state)
{
	service()->backends[0].backup = true;
	hash(WEIR_SCHEDULER_MAGLEV); /* the third one has weight 0 */
	tables_tell_all(&daemon_);
	assert_int_equal(count_live(2), 65537);
	tell(2, false, 1);
	assert_int_equal(count_live(1), 65537);
	service()->backends[0].state = BACKEND_DRAIN;
	apply();
	assert_int_equal(memory.services[1].slots.word, 0);
}

/* 10,000 services cannot all be hashed anew whenever one backend changes. */
static void test_same_tables_are_not_built_again(void **state)
{
	hash(WEIR_SCHEDULER_MAGLEV);
	tables_tell_all(&daemon_);
	/* The candidates and the members; the table would be one more. */
	allocation_fail_at(3);
	publish_mark(&daemon_, &daemon_.registry.services[1]);
	publish_slots(&daemon_);
	assert_false(allocation_has_failed());
	allocation_fail_at(0);
	assert_null(daemon_.changed);
	assert_int_equal(count_live(1) + count_live(2), 65537);
	assert_true(daemon_.registry.backends[1].in_slots);
	/* Another scheduler's slots in between. */
	service()->scheduler = WEIR_SCHEDULER_RR;
	apply();
	assert_int_equal(memory.services[1].slots.length, 2);
	service()->scheduler = WEIR_SCHEDULER_MAGLEV;
	apply();
	assert_int_equal(memory.services[1].slots.length, 65537);
}

static void test_affinity(void **state)
{
	asked.jiffies = 1000;
	tell(1, true, 1);
	assert_int_equal(memory.services[1].affinity, 0);
	assert_int_equal(memory.backends[1].serves_since, 0);
	service()->affinity = (struct config_affinity){ AFFINITY_SOURCE, 60000 };
	apply();
	assert_int_equal(memory.services[1].affinity, 60 * 250);
	assert_int_equal(memory.backends[1].serves_since, 1000);
	assert_int_equal(memory.backends[2].serves_since, 0);
	asked.jiffies = 2000;
	tell(2, true, 1);
	assert_int_equal(memory.backends[1].serves_since, 1000); /* as it was */
	assert_int_equal(memory.backends[2].serves_since, 2000);
	tell(1, false, 1);
	assert_int_equal(memory.backends[1].serves_since, 0);
	asked.jiffies = 3000;
	hash(WEIR_SCHEDULER_SOURCE);
	tell(1, true, 1);
	assert_int_equal(memory.backends[1].serves_since, 3000);
	tell(2, false, 1);
	assert_int_equal(memory.backends[2].serves_since, 0);
	service()->backend_count = 0; /* all leave */
	apply();
	assert_int_equal(memory.backends[1].serves_since, 0);
	service()->backend_count = 3;
	apply();
	assert_int_equal(memory.backends[1].serves_since, 3000);
	service()->affinity.by = AFFINITY_NONE;
	apply();
	assert_int_equal(memory.backends[1].serves_since, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_ready_backends_get_slots),
		TEST(a_run_is_not_reused_before_grace),
		TEST(no_room_before_grace),
		TEST(held_slots),
		TEST(changes_that_cancel_out_publish_nothing),
		TEST(one_hop_for_backends_of_many_services),
		TEST(sources_follow_the_route),
		TEST(without_room_the_old_source_stays),
		TEST(configured_sources),
		TEST(configured_sources_by_family),
		TEST(no_room_for_one_family),
		TEST(direct_modes),
		TEST(entries),
		TEST(weights),
		TEST(backups_and_fail_open),
		TEST(without_memory_the_old_slots_stay),
		TEST(tables_of_hashing),
		TEST(members_of_hashing),
		TEST(same_tables_are_not_built_again),
		TEST(affinity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
