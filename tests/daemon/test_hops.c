// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/hops.h"

#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "src/datapath/datapath.h"
#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

void datapath_store(uint64_t *word, uint64_t value)
{
	assert_int_equal((uintptr_t)word % sizeof(*word), 0);
	*word = value;
}

static struct weir_address address(uint32_t number)
{
	return address_from_v4(number);
}

static void test_ids_are_found_again(void **state)
{
	struct weir_address a = address(1), b = address(2);
	struct hops hops;
	uint16_t id;

	assert_int_equal(hops_init(&hops, 16), 0);
	hops.mask = 0;
	assert_int_equal(hops_find(&hops, &a, 0), 0);
	id = hops_add(&hops, &a, 0);
	assert_int_not_equal(id, 0);
	assert_int_equal(hops_add(&hops, &a, 0), id);
	assert_int_equal(hops_find(&hops, &a, 0), id);
	/* The same address as a gateway, and another address, are other hops. */
	assert_int_not_equal(hops_add(&hops, &a, 3), id);
	assert_int_not_equal(hops_add(&hops, &a, 4), hops_find(&hops, &a, 3));
	assert_int_not_equal(hops_add(&hops, &b, 0), id);
	assert_int_equal(hops.used, 5);
	/* Also where they share a bucket. */
	for (uint32_t ifindex = 100; ifindex < 111; ifindex++)
		assert_int_equal(hops_add(&hops, &a, ifindex), ifindex - 95);
	hops_free(&hops);
	hops_free(&hops);
}

static void test_as_many_as_there_are_ids(void **state)
{
	struct weir_address one;
	struct hops hops;

	assert_int_equal(hops_init(&hops, 65536), 0);
	for (uint32_t i = 1; i < 65536; i++) {
		one = address(i);
		assert_int_equal(hops_add(&hops, &one, 0), i);
	}
	one = address(65536);
	assert_int_equal(hops_add(&hops, &one, 0), 0);
	for (uint32_t i = 1; i < 65536; i++) {
		one = address(i);
		assert_int_equal(hops_find(&hops, &one, 0), i);
	}
	hops_free(&hops);
}

static void test_adopted(void **state)
{
	struct weir_address a = address(1), b = address(2), none = { 0 };
	struct hops hops;

	assert_int_equal(hops_init(&hops, 16), 0);
	hops.mask = 0;
	assert_int_equal(hops_adopt(&hops, 5, &a, 0), 0);
	/* Of several backends with this address. */
	assert_int_equal(hops_adopt(&hops, 5, &a, 0), 0);
	assert_int_equal(hops_adopt(&hops, 3, &none, 7), 0);
	assert_int_equal(hops_adopt(&hops, 0, &b, 0), -EINVAL);
	assert_int_equal(hops_adopt(&hops, 16, &b, 0), -EINVAL);
	/* Another's. */
	assert_int_equal(hops_adopt(&hops, 5, &b, 0), -EINVAL);
	assert_int_equal(hops_adopt(&hops, 5, &a, 7), -EINVAL);
	assert_int_equal(hops_adopt(&hops, 3, &a, 7), -EINVAL);
	assert_int_equal(hops_find(&hops, &a, 0), 5);
	assert_int_equal(hops_find(&hops, &none, 7), 3);
	assert_int_equal(hops_find(&hops, &b, 0), 0);
	/* Ids below the highest may be held by flows. */
	assert_int_equal(hops_add(&hops, &a, 0), 5);
	assert_int_equal(hops_add(&hops, &b, 0), 6);
	hops_free(&hops);
}

static void test_reserved(void **state)
{
	struct weir_address a = address(1), b = address(2);
	struct hops hops;

	assert_int_equal(hops_init(&hops, 16), 0);
	hops_reserve(&hops, 10);
	hops_reserve(&hops, 5);
	assert_int_equal(hops_add(&hops, &a, 0), 10);
	hops_reserve(&hops, 16);
	assert_int_equal(hops_add(&hops, &b, 0), 0);
	hops_free(&hops);
}

static void test_removed_ones_are_given_again(void **state)
{
	struct weir_address one;
	struct hops hops;

	assert_int_equal(hops_init(&hops, 16), 0);
	hops.mask = 1;
	for (uint32_t i = 1; i < 16; i++) {
		one = address(i);
		assert_int_equal(hops_add(&hops, &one, 0), i);
		hops.entries[i].known = true;
		hops.entries[i].first_backend = i;
	}
	for (uint32_t i = 3; i < 16; i += 4)
		hops_remove(&hops, i);
	for (uint32_t i = 1; i < 16; i++) {
		one = address(i);
		assert_int_equal(hops_find(&hops, &one, 0), i % 4 == 3 ? 0 : i);
	}
	for (uint32_t i = 0; i < 4; i++) {
		uint16_t id;

		one = address(100 + i);
		id = hops_add(&hops, &one, 0);
		assert_int_equal(id % 4, 3);
		assert_false(hops.entries[id].known);
		assert_int_equal(hops.entries[id].first_backend, 0);
	}
	one = address(200);
	assert_int_equal(hops_add(&hops, &one, 0), 0);
	hops_free(&hops);
}

static void test_no_memory(void **state)
{
	for (unsigned int nth = 1; nth <= 2; nth++) {
		struct hops hops = { 0 };

		allocation_fail_at(nth);
		assert_int_equal(hops_init(&hops, 16), -ENOMEM);
		assert_true(allocation_has_failed());
		assert_null(hops.entries);
		assert_null(hops.buckets);
	}
	allocation_fail_at(0);
}

static void test_usable(void **state)
{
	struct hop hop = { 0 };
	const char *why = NULL;

	assert_false(hop_usable(&hop, true, &why));
	assert_non_null(why);
	hop.known = true;
	strcpy(hop.state.why, "no route to 10.0.0.1");
	assert_false(hop_usable(&hop, true, &why));
	assert_string_equal(why, "no route to 10.0.0.1");
	hop.state.reachable = true;
	/* A backend needs a source address, a gateway or a fixed SNAT address does not. */
	assert_false(hop_usable(&hop, true, &why));
	assert_true(hop_usable(&hop, false, &why));
	hop.state.source = address(7);
	assert_true(hop_usable(&hop, true, &why));
	hop.state.local = true;
	assert_false(hop_usable(&hop, true, &why));
}

static void test_last_good_way_is_kept(void **state)
{
	struct resolver_hop hop = { .ifindex = 3,
				    .device = 3,
				    .mtu = 1500,
				    .mac = { 2, 0, 0, 0, 0, 1 },
				    .source_mac = { 2, 0, 0, 0, 0, 2 } };
	struct weir_hop entry = { 0 }, before;

	/* Never resolved: not valid. */
	hop_write(&entry, &(struct resolver_hop){ .ifindex = 3, .mtu = 1500 });
	assert_int_equal(entry.destination.flags & WEIR_HOP_VALID, 0);
	hop_write(&entry, &hop);
	assert_int_equal(entry.destination.flags, WEIR_HOP_VALID);
	assert_memory_equal(entry.destination.mac, hop.mac, 6);
	assert_memory_equal(entry.source.mac, hop.source_mac, 6);
	assert_int_equal(entry.source.flags, 0);
	assert_int_equal(entry.ifindex, 3);
	assert_int_equal(entry.mtu, 1500);
	assert_int_equal(entry.vlan, 0);
	before = entry;
	hop_write(&entry, &(struct resolver_hop){ .ifindex = 0 });
	hop_write(&entry, &(struct resolver_hop){ .ifindex = 4, .mtu = 9000 });
	assert_memory_equal(&entry, &before, sizeof(entry));
	/* The route moved to another interface. */
	hop.ifindex = hop.device = 4;
	hop_write(&entry, &hop);
	assert_int_equal(entry.ifindex, 4);
}

/* XDP sits below a VLAN device and sends from there. */
static void test_vlan_device(void **state)
{
	struct resolver_hop hop = {
		.ifindex = 9, .device = 3, .vlan = 100, .mtu = 1496, .mac = { 2, 0, 0, 0, 0, 1 }
	};
	struct weir_hop entry = { 0 };

	hop_write(&entry, &hop);
	assert_int_equal(entry.ifindex, 3);
	assert_int_equal(entry.vlan, 100);
	assert_int_equal(entry.mtu, 1496);
	/* The route moved away from it. */
	hop = (struct resolver_hop){ .ifindex = 3, .device = 3, .mtu = 1500, .mac = { 2 } };
	hop_write(&entry, &hop);
	assert_int_equal(entry.vlan, 0);
}

static void test_on_link(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
	struct weir_hop entry = { 0 };

	hop_write_on_link(&entry, mac, 5, 1400);
	assert_int_equal(entry.destination.flags, WEIR_HOP_VALID | WEIR_HOP_ON_LINK);
	assert_memory_equal(entry.source.mac, mac, 6);
	assert_int_equal(entry.ifindex, 5);
	assert_int_equal(entry.mtu, 1400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_are_found_again),
		cmocka_unit_test(test_as_many_as_there_are_ids),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_removed_ones_are_given_again),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_usable),
		cmocka_unit_test(test_last_good_way_is_kept),
		cmocka_unit_test(test_vlan_device),
		cmocka_unit_test(test_on_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
