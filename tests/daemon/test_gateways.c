// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/unit/unit.h"

#define ETH0 2
#define ETH1 3

static struct weir_hop table[16];
static struct datapath_tables tables = { .hops = table };
static struct daemon daemon_;

/*
 * Stand-ins: the hash `gateways` holds what was set last for the last byte of an address. From then on new flows
 * go by that hop.
 */
static uint16_t known[8][256];

int datapath_set_gateway(struct datapath *datapath, const struct weir_gateway_key *key,
			 uint16_t hop)
{
	assert_true(!hop || daemon_.hops.entries[hop].known);
	known[key->ifindex][address_to_v4(&key->address)] = hop;
	return 0;
}

void datapath_store(uint64_t *word, uint64_t value)
{
	*word = value;
}

void network_take_hop(struct daemon *daemon, uint16_t id, const struct resolver_hop *state)
{
	daemon->hops.entries[id].state = *state;
	daemon->hops.entries[id].known = true;
	hop_write(&table[id], state);
}

static int set_up(void **state)
{
	memset(&daemon_, 0, sizeof(daemon_));
	memset(table, 0, sizeof(table));
	memset(known, 0, sizeof(known));
	daemon_.tables = &tables;
	return hops_init(&daemon_.hops, COUNT(table));
}

static int tear_down(void **state)
{
	hops_free(&daemon_.hops);
	return 0;
}

/* Gateway 0.0.0.NUMBER answers from a MAC address that ends in @mac; 0: it is being resolved. */
static void take(uint8_t number, uint32_t ifindex, uint8_t mac)
{
	struct resolver_hop hop = {
		.target = address_from_v4(number),
		.gateway = true,
		.reachable = mac,
		.ifindex = ifindex,
		.device = ifindex,
		.mac = { mac ? 2 : 0, 0, 0, 0, 0, mac },
	};

	gateways_take(&daemon_, &hop);
}

static void lose(uint8_t number, uint32_t ifindex)
{
	struct weir_address address = address_from_v4(number);

	gateways_gone(&daemon_, &address, ifindex);
}

static uint16_t id_of(uint8_t number, uint32_t ifindex)
{
	struct weir_address address = address_from_v4(number);

	return hops_find(&daemon_.hops, &address, ifindex);
}

/* Where flows with the hop of this gateway go: the last byte of the MAC address. */
static uint8_t way(uint8_t number, uint32_t ifindex)
{
	return table[id_of(number, ifindex)].destination.mac[5];
}

static void test_known_gateways_are_in_the_datapath(void **state)
{
	take(1, ETH0, 0x11);
	take(1, ETH1, 0x12);
	assert_int_equal(known[ETH0][1], id_of(1, ETH0));
	assert_int_equal(known[ETH1][1], id_of(1, ETH1));
	assert_int_not_equal(id_of(1, ETH0), id_of(1, ETH1));
	lose(1, ETH0);
	assert_int_equal(known[ETH0][1], 0);
	assert_int_equal(known[ETH1][1], id_of(1, ETH1));
	lose(9, ETH0);
}

static bool is_doubtful(uint8_t number)
{
	uint16_t flags = table[id_of(number, ETH0)].destination.flags;

	assert_true(flags & WEIR_HOP_VALID);
	return flags & WEIR_HOP_DOUBTFUL;
}

/* Flows that find no other way go on through it. */
static void test_gone_and_back(void **state)
{
	take(1, ETH0, 0x11);
	assert_false(is_doubtful(1));
	take(2, ETH0, 0x22);
	lose(1, ETH0);
	assert_true(is_doubtful(1));
	assert_false(is_doubtful(2));
	assert_int_equal(way(1, ETH0), 0x11);
	/* The same gateway again keeps its id. */
	take(1, ETH0, 0x99);
	assert_false(is_doubtful(1));
	assert_int_equal(known[ETH0][1], id_of(1, ETH0));
	assert_int_equal(way(1, ETH0), 0x99);
}

static void test_silent(void **state)
{
	struct resolver_hop hop = {
		.target = address_from_v4(1),
		.gateway = true,
		.ifindex = ETH0,
		.mac = { 2, 0, 0, 0, 0, 0x11 },
	};

	take(1, ETH0, 0x11);
	gateways_take(&daemon_, &hop);
	assert_true(is_doubtful(1));
	assert_int_equal(known[ETH0][1], id_of(1, ETH0));
	take(1, ETH0, 0x11);
	assert_false(is_doubtful(1));
}

/* Nothing is sent by what was never resolved. */
static void test_gone_before_it_was_resolved(void **state)
{
	take(1, ETH0, 0);
	lose(1, ETH0);
	assert_int_equal(table[id_of(1, ETH0)].destination.word, 0);
}

static void test_backends_and_interfaces_are_left_alone(void **state)
{
	struct weir_address none = { 0 }, backend = address_from_v4(7);
	uint16_t on_link = hops_add(&daemon_.hops, &none, ETH0);
	uint16_t target = hops_add(&daemon_.hops, &backend, 0);

	take(1, ETH0, 0x11);
	lose(1, ETH0);
	take(2, ETH0, 0x22);
	assert_int_equal(table[on_link].destination.word, 0);
	assert_int_equal(table[target].destination.word, 0);
}

static void test_more_than_there_are_ids(void **state)
{
	for (uint8_t number = 1; number < 32; number++)
		take(number, ETH0, number);
	assert_int_equal(known[ETH0][15], 15);
	assert_int_equal(known[ETH0][16], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_known_gateways_are_in_the_datapath, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_gone_and_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gone_before_it_was_resolved, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_backends_and_interfaces_are_left_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_more_than_there_are_ids, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
