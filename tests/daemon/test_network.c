// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <string.h>

#include "src/base/address.h"
#include "tests/unit/unit.h"

/* What network.c does with a next hop. Whatever else it calls is a stand-in that does nothing. */

#define ETH0 2
#define ETH1 3

static struct weir_hop table[16];
static struct datapath_tables tables = { .hops = table };
static struct config config;
static struct daemon daemon_ = { .tables = &tables, .config = &config };

/* Interfaces in the order in which they were made ready, and where the hop led when they were. */
static struct {
	uint32_t ifindex, before;
} ready[8];
static size_t ready_count;
static uint16_t hop_id;

void egress_use(struct daemon *daemon, uint32_t ifindex)
{
	ready[ready_count].ifindex = ifindex;
	ready[ready_count++].before = table[hop_id].ifindex;
}

void datapath_store(uint64_t *word, uint64_t value)
{
	*word = value;
}

void publish_hop(struct daemon *daemon, const struct hop *hop)
{
}
void publish_slots(struct daemon *daemon)
{
}
void path_mtu_ask(struct daemon *daemon, struct hop *hop)
{
}
void check_paths_follow_all(struct daemon *daemon)
{
}
void check_paths_mend(struct daemon *daemon)
{
}
void daemon_stop(struct daemon *daemon, int status)
{
}
void egress_follow(struct daemon *daemon)
{
}
void forwarding_event(struct daemon *daemon, uint32_t ifindex, uint8_t family, bool on)
{
}
void gateways_take(struct daemon *daemon, const struct resolver_hop *state)
{
}
void gateways_gone(struct daemon *daemon, const struct weir_address *address, uint32_t ifindex)
{
}
void host_address_event(struct daemon *daemon, const struct weir_address *address, bool present)
{
}
void host_address_follow(struct daemon *daemon)
{
}
void snat_address_event(struct daemon *daemon, const struct weir_address *address, bool present)
{
}
void interfaces_settle(struct daemon *daemon)
{
}
void resolver_leave(struct resolver *resolver)
{
}
void resolver_free(struct resolver *resolver)
{
}
const char *mode_name(enum weir_mode mode)
{
	return "";
}

void interfaces_link_event(struct daemon *daemon, const char *name, uint32_t ifindex, bool up)
{
}
void interfaces_source_mac(struct daemon *daemon, uint32_t ifindex, const uint8_t mac[6])
{
}

int resolver_new(const struct resolver_events *events, void *user, struct resolver **ret,
		 struct error *error)
{
	return -1;
}

int resolver_watch(struct resolver *resolver, uint32_t ifindex)
{
	return 0;
}

int resolver_add(struct resolver *resolver, const struct weir_address *address)
{
	return 0;
}

int resolver_fd(const struct resolver *resolver)
{
	return -1;
}

int resolver_dispatch(struct resolver *resolver)
{
	return 0;
}

static int set_up(void **state)
{
	const struct weir_address backend = address_from_v4(7);

	memset(table, 0, sizeof(table));
	ready_count = 0;
	if (hops_init(&daemon_.hops, COUNT(table)) < 0)
		return -1;
	hop_id = hops_add(&daemon_.hops, &backend, 0);
	return 0;
}

static int tear_down(void **state)
{
	hops_free(&daemon_.hops);
	return 0;
}

/* The backend is behind @ifindex, at a MAC address that ends in @mac; 0: that is being asked for. */
static void take(uint32_t ifindex, uint8_t mac)
{
	const struct resolver_hop state = {
		.target = address_from_v4(7),
		.reachable = mac,
		.ifindex = ifindex,
		.device = ifindex,
		.mtu = 1500,
		.mac = { mac ? 2 : 0, 0, 0, 0, 0, mac },
	};

	network_take_hop(&daemon_, hop_id, &state);
}

/* No packet is sent to an interface before weir can send from there. */
static void test_moves_to_another_interface(void **state)
{
	take(ETH0, 0x11);
	assert_int_equal(ready_count, 1);
	assert_int_equal(ready[0].ifindex, ETH0);
	assert_int_equal(ready[0].before, 0);
	assert_int_equal(table[hop_id].ifindex, ETH0);
	take(ETH1, 0x12);
	assert_int_equal(ready_count, 2);
	assert_int_equal(ready[1].ifindex, ETH1);
	assert_int_equal(ready[1].before, ETH0);
	assert_int_equal(table[hop_id].ifindex, ETH1);
}

/* Until it is known where, all goes on as it was. */
static void test_moves_and_does_not_answer_yet(void **state)
{
	take(ETH0, 0x11);
	take(ETH1, 0);
	assert_int_equal(ready_count, 1);
	assert_int_equal(table[hop_id].ifindex, ETH0);
}

/* The least of what the route allows and what a router on the way has said. */
static void test_narrow_way(void **state)
{
	struct hop *hop = &daemon_.hops.entries[hop_id];

	take(ETH0, 0x11);
	assert_int_equal(table[hop_id].mtu, 1500);
	hop->path.mtu = 1400;
	network_write_hop(&daemon_, hop);
	assert_int_equal(table[hop_id].mtu, 1400);
	hop->path.mtu = 9000;
	take(ETH0, 0x12);
	assert_int_equal(table[hop_id].mtu, 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moves_to_another_interface, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moves_and_does_not_answer_yet, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_narrow_way, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
