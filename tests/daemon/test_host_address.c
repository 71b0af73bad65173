// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include "tests/daemon/fixture.h"

/* Who answers pings: weir for the service addresses that the host does not have. */

enum { PLACES = 6 };

static struct weir_listener listeners[PLACES];
static const struct datapath_tables tables = { .listeners = listeners };
static struct daemon daemon_;

/* The even ones are of IPv6, with the same last bytes. */
static struct weir_address numbered(uint8_t number)
{
	struct weir_address address = address_from_v4(htonl(0xc0a8b200u + number));

	if (number % 2 == 0)
		address.word[0] = htonl(0x20010db8);
	return address;
}

static void place(uint32_t at, uint8_t address, uint16_t port)
{
	listeners[at] = (struct weir_listener){
		.key = { .address = numbered(address), .port = port, .used = 1 },
		.flags = 0,
	};
	if (port)
		listeners[at].key.protocol = 6;
}

/* Live: two addresses and a service at each; a place before and one behind them is not. */
static int setup(void **state)
{
	daemon_ = (struct daemon){ .tables = &tables, .listeners = { .offset = 1, .length = 4 } };
	place(0, 1, 0);
	place(1, 1, 0);
	place(2, 1, 80);
	place(3, 2, 80);
	place(4, 2, 0);
	place(5, 2, 0);
	return 0;
}

static int teardown(void **state)
{
	free(daemon_.host_addresses);
	return 0;
}

static void event(uint8_t number, bool present)
{
	struct weir_address address = numbered(number);

	host_address_event(&daemon_, &address, present);
}

static void expect(uint32_t first, uint32_t second)
{
	const uint32_t flags[PLACES] = { 0, first, 0, 0, second, 0 };

	for (uint32_t i = 0; i < PLACES; i++)
		assert_int_equal(listeners[i].flags, flags[i]);
}

static void test_nothing_known_yet(void **state)
{
	event(1, true);
	host_address_follow(&daemon_);
	expect(0, 0);
}

static void test_follows_events(void **state)
{
	daemon_.addresses_known = true;
	event(1, true);
	expect(0, 0); /* together with all other events */
	host_address_follow(&daemon_);
	expect(0, WEIR_LISTENER_ECHO);
	event(1, true);
	event(2, true);
	event(9, true);
	host_address_follow(&daemon_);
	expect(0, 0);
	event(1, false);
	event(1, false);
	host_address_follow(&daemon_);
	expect(WEIR_LISTENER_ECHO, 0);
}

static void test_has(void **state)
{
	struct weir_address one = numbered(1), two = numbered(2);

	event(1, true);
	event(2, true);
	assert_true(host_address_has(&daemon_, &one) && host_address_has(&daemon_, &two));
	event(1, false);
	assert_false(host_address_has(&daemon_, &one));
	assert_true(host_address_has(&daemon_, &two));
}

/* A new table, before it is published. */
static void test_new_table(void **state)
{
	daemon_.addresses_known = true;
	event(2, true);
	host_address_mark(&daemon_, listeners, PLACES);
	assert_int_equal(listeners[0].flags, WEIR_LISTENER_ECHO);
	assert_int_equal(listeners[1].flags, WEIR_LISTENER_ECHO);
	assert_int_equal(listeners[2].flags, 0);
	assert_int_equal(listeners[4].flags, 0);
}

static void add_address(const char *text)
{
	struct weir_address address;

	assert_int_equal(address_parse(text, &address), 0);
	host_address_event(&daemon_, &address, true);
}

static void expect_near(const char *to, const char *wanted)
{
	char text[ENDPOINT_STRING_SIZE];
	struct weir_address address, found;

	assert_int_equal(address_parse(to, &address), 0);
	found = host_address_near(&daemon_, &address);
	assert_string_equal(address_format(&found, text), wanted);
}

static void test_near(void **state)
{
	struct weir_listener *own = &listeners[1];

	expect_near("192.168.178.1", "::");
	add_address("127.0.0.1");
	add_address("169.254.1.1");
	add_address("::1");
	add_address("fe80::1");
	expect_near("192.168.178.1", "::");
	expect_near("fd00::1", "::");
	add_address("10.0.0.1");
	add_address("192.168.178.9");
	add_address("192.168.178.1");
	add_address("fd00:1::1");
	add_address("fd00:2::1");
	expect_near("192.168.178.1", "192.168.178.9");
	expect_near("10.9.9.9", "10.0.0.1");
	expect_near("fd00:2::80", "fd00:2::1");
	expect_near("fd00:1::80", "fd00:1::1");
	/* A service's address is its backends' own. */
	own->key.address = address_from_v4(htonl(0xc0a8b209u));
	daemon_.listeners.length = 1;
	expect_near("192.168.178.1", "10.0.0.1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_known_yet), TEST(follows_events), TEST(has),
		TEST(new_table),         TEST(near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
