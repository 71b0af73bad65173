// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"
#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

#define ENTRIES 20000

static struct weir_listener entries[ENTRIES];

static struct weir_listener_key key_of(uint32_t v4, uint16_t port, uint8_t protocol)
{
	return (struct weir_listener_key){
		.address = { { 0, 0, htonl(0xffff), htonl(v4) } },
		.port = htons(port),
		.protocol = protocol,
		.used = 1,
	};
}

/* As the datapath does it: from home on, until found, or an empty place, or far enough. */
static const struct weir_listener *lookup(const struct weir_listener *table, uint32_t length,
					  const struct weir_listener_key *key)
{
	uint32_t home = weir_listener_hash(key);

	for (uint32_t i = 0; i < WEIR_LISTENER_PROBES; i++) {
		const struct weir_listener *place = &table[(home + i) & (length - 1)];

		if (!place->key.used)
			return NULL;
		if (!memcmp(&place->key, key, sizeof(*key)))
			return place;
	}
	return NULL;
}

/* Builds the table of the first @count entries, whose addresses are @addresses different ones. */
static uint32_t build(size_t count, size_t addresses, struct weir_listener **ret)
{
	uint32_t used = 0, length;
	int r;

	r = listeners_build(entries, count, ret);
	assert_true(r > 0);
	length = (uint32_t)r;
	assert_int_equal(length & (length - 1), 0);
	assert_true(length >= 2 * (count + addresses));
	for (uint32_t i = 0; i < length; i++)
		used += (*ret)[i].key.used;
	assert_int_equal(used, count + addresses);
	for (size_t i = 0; i < count; i++) {
		struct weir_listener_key key = entries[i].key;
		const struct weir_listener *found;

		key.used = 1;
		key.zero = 0;
		found = lookup(*ret, length, &key);
		assert_non_null(found);
		assert_int_equal(found->service, entries[i].service);
		assert_int_equal(found->flags, 0);
		key.port = 0;
		key.protocol = 0;
		assert_non_null(lookup(*ret, length, &key));
	}
	return length;
}

static void set(size_t index, uint32_t v4, uint16_t port, uint8_t protocol)
{
	entries[index] = (struct weir_listener){ .key = key_of(v4, port, protocol),
						 .service = (uint32_t)index + 7 };
}

static void test_none(void **state)
{
	struct weir_listener *table = entries;

	assert_int_equal(listeners_build(entries, 0, &table), 0);
	assert_null(table);
}

static void test_one(void **state)
{
	struct weir_listener_key key;
	struct weir_listener *table;
	uint32_t length;

	set(0, 0x0a000001, 80, IPPROTO_TCP);
	length = build(1, 1, &table);
	assert_int_equal(length, 4);
	key = key_of(0x0a000001, 81, IPPROTO_TCP);
	assert_null(lookup(table, length, &key));
	key = key_of(0x0a000001, 80, IPPROTO_UDP);
	assert_null(lookup(table, length, &key));
	key = key_of(0x0a000002, 80, IPPROTO_TCP);
	assert_null(lookup(table, length, &key));
	key = key_of(0x0a000002, 0, 0);
	assert_null(lookup(table, length, &key));
	free(table);
}

static void test_used_and_zero_are_set_here(void **state)
{
	struct weir_listener *table;

	set(0, 0x0a000001, 80, IPPROTO_TCP);
	entries[0].key.used = 0;
	entries[0].key.zero = 0xffffffff;
	entries[0].flags = 0xffffffff;
	build(1, 1, &table);
	free(table);
}

static void test_tcp_and_udp_share_an_address_place(void **state)
{
	struct weir_listener *table;

	set(0, 0x0a000001, 53, IPPROTO_TCP);
	set(1, 0x0a000001, 53, IPPROTO_UDP);
	build(2, 1, &table);
	free(table);
}

static void test_ports_of_one_address(void **state)
{
	struct weir_listener *table;

	for (size_t i = 0; i < ENTRIES; i++)
		set(i, 0xc0a8b20a, (uint16_t)(1 + i), IPPROTO_TCP);
	for (size_t count = 1; count <= ENTRIES; count += 1 + count / 7) {
		build(count, 1, &table);
		free(table);
	}
}

static void test_many_addresses(void **state)
{
	struct weir_listener *table;
	uint32_t length;

	for (size_t i = 0; i < ENTRIES; i++)
		set(i, 0x0a000000 + (uint32_t)(i * 7919 % ENTRIES), 443, IPPROTO_TCP);
	for (size_t count = 1; count <= ENTRIES; count += 1 + count / 7) {
		build(count, count, &table);
		free(table);
	}
	length = build(10000, 10000, &table);
	assert_int_equal(length, 65536); /* 2 MiB; what first came stays where it is: 8 MiB */
	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct weir_listener_key key = key_of(0x0b000000 + i, 443, IPPROTO_TCP);

		assert_null(lookup(table, length, &key));
	}
	free(table);
}

static void test_ipv6_addresses_differ_in_every_word(void **state)
{
	struct weir_listener *table;

	for (size_t i = 0; i < 4000; i++) {
		set(i, 0, 443, IPPROTO_TCP);
		memset(&entries[i].key.address, 0, sizeof(entries[i].key.address));
		entries[i].key.address.word[i % 4] = htonl(1 + (uint32_t)i / 4);
	}
	build(4000, 4000, &table);
	free(table);
}

static void test_too_many(void **state)
{
	struct weir_listener *table = entries;

	/* Refused by its number, before anything is read. */
	assert_int_equal(listeners_build(entries, (1u << 23) + 1, &table), -E2BIG);
	assert_ptr_equal(table, entries);
}

/* More equal homes than places near them: no length helps. */
static void test_hopeless(void **state)
{
	struct weir_listener *table = entries;

	for (size_t i = 0; i <= WEIR_LISTENER_PROBES; i++)
		set(i, 0x0a000001, 80, IPPROTO_TCP);
	allocation_fail_at(1 + 20 + 1); /* addresses, and tables from 2^5 to 2^24 places */
	assert_int_equal(listeners_build(entries, WEIR_LISTENER_PROBES + 1, &table), -E2BIG);
	assert_ptr_equal(table, entries);
	allocation_fail_at(0);
}

static void test_no_memory(void **state)
{
	for (size_t i = 0; i < 3000; i++)
		set(i, 0x0a000000 + (uint32_t)i, 443, IPPROTO_TCP);
	for (unsigned int nth = 1;; nth++) {
		struct weir_listener *table = entries;
		int r;

		allocation_fail_at(nth);
		r = listeners_build(entries, 3000, &table);
		if (!allocation_has_failed()) {
			allocation_fail_at(0);
			assert_true(r > 0 && nth > 2);
			free(table);
			return;
		}
		assert_int_equal(r, -ENOMEM);
		assert_ptr_equal(table, entries);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_used_and_zero_are_set_here),
		cmocka_unit_test(test_tcp_and_udp_share_an_address_place),
		cmocka_unit_test(test_ports_of_one_address),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_ipv6_addresses_differ_in_every_word),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_hopeless),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
