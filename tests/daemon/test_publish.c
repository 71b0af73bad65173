// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/daemon/fixture.h"
#include "tests/unit/allocation.h"

static struct config config;
static struct daemon daemon_;
static struct datapath_tables tables;
static struct weir_root root;
static struct weir_runtime runtime;
static struct weir_listener listeners[8];
static struct weir_service services[8];
static struct weir_slot slots[64];
static struct weir_backend backends[16];
static struct weir_hop hops[64];
static struct weir_address snat_addresses[8];

/* Stand-ins for the datapath, the interfaces and the grace periods. */
void datapath_store(uint64_t *word, uint64_t value)
{
	assert_int_equal((uintptr_t)word % sizeof(*word), 0);
	*word = value;
}

uint32_t datapath_hz(const struct datapath *datapath)
{
	return 250;
}

int interfaces_publish(struct daemon *daemon, struct error *error)
{
	return 0;
}

static struct grace_waiter *waiter;

void grace_wait(struct grace *grace, struct grace_waiter *waiter_,
		void (*passed)(struct grace_waiter *waiter, void *user), void *user)
{
	assert_null(waiter);
	waiter = waiter_;
	waiter->passed = passed;
	waiter->user = user;
}

uint64_t grace_ticket(const struct grace *grace)
{
	return 1;
}

bool grace_over(const struct grace *grace, uint64_t ticket)
{
	return false;
}

static void pass_grace(void)
{
	struct grace_waiter *old = waiter;

	assert_non_null(old);
	waiter = NULL;
	old->passed(old, old->user);
}

static int set_up_with(enum weir_scheduler scheduler, const uint32_t *weights, size_t count)
{
	struct config_service *service;
	struct error error;

	memset(&daemon_, 0, sizeof(daemon_));
	memset(services, 0, sizeof(services));
	memset(backends, 0, sizeof(backends));
	memset(slots, 0, sizeof(slots));
	waiter = NULL;
	tables = (struct datapath_tables){
		.root = &root,
		.runtime = &runtime,
		.listeners = listeners,
		.services = services,
		.slots = slots,
		.backends = backends,
		.hops = hops,
		.snat_addresses = snat_addresses,
		.sizes = { .hops = COUNT(hops), .snat_addresses = COUNT(snat_addresses) },
	};
	config_init(&config);
	service = add_service(&config, "a", 80, scheduler, count);
	for (size_t i = 0; i < count; i++)
		service->backends[i].weight = weights[i];
	daemon_.config = &config;
	daemon_.tables = &tables;
	daemon_.ready = true;
	assert_int_equal(registry_init(&daemon_.registry, &config), 0);
	return publish_all(&daemon_, NULL, 0, &error);
}

static int set_up(void **state)
{
	static const uint32_t weights[] = { 1, 1, 0 };

	return set_up_with(WEIR_SCHEDULER_RR, weights, 3);
}

static int tear_down(void **state)
{
	snat_pool_free(&daemon_.snat_pool);
	hops_free(&daemon_.hops);
	registry_free(&daemon_.registry);
	config_free(&config);
	return 0;
}

/* What the resolver would tell of backend @id. */
static void tell(uint32_t id, bool reachable, uint32_t source)
{
	struct hop *hop = &daemon_.hops.entries[daemon_.registry.backends[id].hop];

	hop->known = true;
	hop->state.reachable = reachable;
	hop->state.ifindex = 2;
	hop->state.source = address_from_v4(htonl(source));
	publish_hop(&daemon_, hop);
	publish_slots(&daemon_);
}

/* The backends in the live table, as digits in its order. */
static const char *live(char text[16])
{
	const union weir_range *range = &services[1].slots;
	uint32_t i;

	for (i = 0; i < range->length; i++)
		text[i] = '0' + slots[range->offset + i].backend;
	text[i] = '\0';
	return text;
}

static void test_only_ready_backends_get_slots(void **state)
{
	char text[16];

	assert_string_equal(live(text), "");
	tell(2, true, 1);
	assert_string_equal(live(text), "2");
	pass_grace();
	tell(1, true, 1);
	assert_string_equal(live(text), "12");
	pass_grace();
	/* Weight 0. */
	tell(3, true, 1);
	assert_string_equal(live(text), "12");
	assert_null(waiter);
	/* Without a source address it cannot be spoken to. */
	daemon_.hops.entries[daemon_.registry.backends[1].hop].state.source = (struct weir_address){
		0
	};
	publish_hop(&daemon_, &daemon_.hops.entries[daemon_.registry.backends[1].hop]);
	publish_slots(&daemon_);
	assert_string_equal(live(text), "2");
	pass_grace();
	tell(2, false, 1);
	assert_int_equal(services[1].slots.word, 0);
}

static void test_an_area_is_not_reused_before_grace(void **state)
{
	struct weir_slot before[2];
	uint32_t offset;
	char text[16];

	tell(1, true, 1);
	pass_grace();
	offset = services[1].slots.offset;
	memcpy(before, &slots[offset], sizeof(before));
	tell(2, true, 1);
	assert_string_equal(live(text), "12");
	assert_int_not_equal(services[1].slots.offset, offset);
	/* Two more changes while the first area may still be read: neither is built yet. */
	tell(1, false, 1);
	tell(2, false, 1);
	assert_string_equal(live(text), "12");
	assert_memory_equal(before, &slots[offset], sizeof(before));
	pass_grace();
	assert_string_equal(live(text), "");
	pass_grace();
	assert_null(waiter);
}

/* Before the first packet nothing has to be waited for: at "ready" the slots are complete. */
static void test_while_starting_there_is_no_wait(void **state)
{
	char text[16];

	daemon_.ready = false;
	tell(2, true, 1);
	tell(1, true, 1);
	assert_string_equal(live(text), "12");
	assert_null(waiter);
}

static void test_changes_that_cancel_out_publish_nothing(void **state)
{
	uint64_t word;

	tell(1, true, 1);
	word = services[1].slots.word;
	tell(1, false, 1);
	tell(1, true, 1);
	pass_grace();
	assert_int_equal(services[1].slots.word, word);
	assert_null(waiter);
}

static void test_sources_follow_the_route(void **state)
{
	union weir_range first;

	tell(1, true, 100);
	tell(2, true, 100);
	first = backends[1].snat;
	assert_int_equal(first.length, 1);
	assert_int_equal(backends[2].snat.word, first.word);
	assert_int_equal(address_to_v4(&snat_addresses[first.offset]), htonl(100));
	tell(1, true, 200);
	assert_int_not_equal(backends[1].snat.offset, first.offset);
	assert_int_equal(address_to_v4(&snat_addresses[backends[1].snat.offset]), htonl(200));
	/* The old one is still the other backend's. */
	assert_int_equal(address_to_v4(&snat_addresses[first.offset]), htonl(100));
	assert_int_equal(daemon_.snat_pool.places[first.offset].users, 1);
	/* No route, no source: flows keep what they have. */
	tell(1, false, 0);
	assert_int_equal(backends[1].snat.length, 1);
}

static void test_configured_sources(void **state)
{
	struct weir_address addresses[2] = { address_from_v4(1), address_from_v4(2) };
	struct error error;

	tear_down(state);
	set_up(state);
	tear_down(state);
	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 1);
	config.snat.addresses = addresses;
	config.snat.address_count = 2;
	memset(&daemon_, 0, sizeof(daemon_));
	daemon_.config = &config;
	daemon_.tables = &tables;
	assert_int_equal(registry_init(&daemon_.registry, &config), 0);
	assert_int_equal(publish_all(&daemon_, NULL, 0, &error), 0);
	assert_int_equal(backends[1].snat.length, 2);
	tell(1, true, 0);
	assert_int_equal(services[1].slots.length, 1);
	assert_int_equal(backends[1].snat.length, 2);
	config.snat.addresses = NULL;
	config.snat.address_count = 0;
}

static void test_entries(void **state)
{
	const struct weir_timeouts *timeouts = &services[1].timeouts;

	assert_int_equal(timeouts->tcp_handshake, 10 * 250);
	assert_int_equal(timeouts->tcp, (2 * 60 + 4) * 60 * 250);
	assert_int_equal(backends[1].port, htons(8000));
	assert_int_equal(backends[1].service, 1);
	assert_int_not_equal(backends[1].hop, 0);
	assert_int_not_equal(backends[1].hop, backends[2].hop);
	assert_int_equal(runtime.flows_limit, config.limits.flows);
	assert_int_equal(runtime.udp_limit, config.limits.flows / 2);
	assert_int_equal(root.generation, 1);
}

static void test_weights(void **state)
{
	static const uint32_t weights[] = { 2, 1 };
	char text[16];

	tear_down(state);
	assert_int_equal(set_up_with(WEIR_SCHEDULER_WRR, weights, 2), 0);
	tell(1, true, 1);
	pass_grace();
	tell(2, true, 1);
	assert_int_equal(services[1].slots.length, 3);
	assert_string_equal(live(text), "121");
}

static void test_without_memory_the_old_slots_stay(void **state)
{
	char text[16];

	tell(1, true, 1);
	pass_grace();
	allocation_fail_at(1);
	tell(2, true, 1);
	allocation_fail_at(0);
	assert_string_equal(live(text), "1");
	/* The next change makes up for it. */
	tell(1, false, 1);
	assert_string_equal(live(text), "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_ready_backends_get_slots, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_an_area_is_not_reused_before_grace, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_while_starting_there_is_no_wait, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_changes_that_cancel_out_publish_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sources_follow_the_route, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_configured_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_memory_the_old_slots_stay, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
