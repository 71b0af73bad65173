// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>

#include "src/base/address.h"

/* Check addresses: who gets which, and where it leads. */

static struct weir_address service_address(uint32_t number)
{
	return address_from_v4(htonl(0xc0000200 + number));
}

static struct weir_address backend_address(uint32_t number)
{
	return address_from_v4(htonl(0xc6336400 + number));
}

static struct config_service *checked(struct config *config, const char *name, uint16_t port,
				      enum weir_mode mode, size_t backends)
{
	struct config_service *service = add(config, name, port, backends);

	service->mode = mode;
	service->health = (struct config_health){ .type = HEALTH_TCP, .interval = 1000 };
	return service;
}

static void listen_on(struct config_service *service, uint32_t number, uint16_t port)
{
	struct config_listen *listen = config_service_add_listen(service);

	assert_non_null(listen);
	listen->endpoint.address = service_address(number);
	listen->endpoint.port = port;
	listen->protocol = IPPROTO_TCP;
}

static void assert_way(uint32_t place, uint32_t service, uint32_t backend, bool encapsulate)
{
	const struct weir_check *way = &asked.ways[place];
	struct weir_address wanted = service_address(service);

	assert_int_equal(way->ifindex, 2);
	assert_true(address_equal(&way->service, &wanted));
	wanted = backend_address(backend);
	assert_true(address_equal(&way->outer_destination, &wanted));
	wanted = address_from_v4(htonl(100));
	assert_true(address_equal(&way->source, &wanted));
	assert_true(address_equal(&way->outer_source, &wanted));
	assert_int_equal(way->encapsulate, encapsulate);
}

static unsigned int ways(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < COUNT(asked.ways); i++)
		count += asked.ways[i].ifindex != 0;
	return count;
}

static void test_nat_needs_none(void **state)
{
	checked(&configs[0], "a", 80, WEIR_MODE_NAT, 2);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_int_equal(asked.watches, 2);
	assert_int_equal(asked.target_count, 0);
	assert_int_equal(asked.links_tried, 0);
}

static void test_one_for_each_backend(void **state)
{
	checked(&configs[0], "a", 80, WEIR_MODE_DSR, 2);
	apply(&configs[0]);
	/* Nobody knows the way yet. */
	assert_int_equal(asked.links, 1);
	assert_int_equal(ways(), 0);
	tables_tell_all(&daemon_);
	assert_int_equal(asked.attached, 2);
	assert_way(1, 1, 1, false);
	assert_way(2, 1, 2, false);
	assert_int_equal(asked.ways[2].destination_mac[5], 2);
	assert_int_equal(asked.ways[2].source_mac[4], 1);
	assert_int_equal(asked.target_count, 1);
	assert_int_equal(address_to_v4(&asked.target[0].check), htonl(2));
	tables_tell(&daemon_, 2, false, 100);
	assert_int_equal(ways(), 1);
	tables_tell(&daemon_, 2, true, 0);
	assert_int_equal(ways(), 1);
	tables_tell(&daemon_, 2, true, 100);
	assert_int_equal(ways(), 2);
}

static void test_shared(void **state)
{
	checked(&configs[0], "a", 80, WEIR_MODE_IPIP, 2);
	checked(&configs[0], "b", 81, WEIR_MODE_IPIP, 2);
	checked(&configs[0], "c", 82, WEIR_MODE_DSR, 1);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_int_equal(asked.watches, 5);
	assert_int_equal(ways(), 3);
	assert_way(2, 1, 2, true);
	assert_way(3, 1, 1, false);
	/* One of two users is enough. */
	checked(&configs[1], "a", 80, WEIR_MODE_IPIP, 2);
	apply(&configs[1]);
	assert_int_equal(ways(), 2);
}

static void test_reload(void **state)
{
	checked(&configs[0], "a", 80, WEIR_MODE_DSR, 1);
	checked(&configs[1], "a", 80, WEIR_MODE_DSR, 1);
	checked(&configs[2], "a", 80, WEIR_MODE_IPIP, 1);
	checked(&configs[3], "a", 80, WEIR_MODE_NAT, 1);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	apply(&configs[1]);
	assert_int_equal(asked.begun, 1);
	apply(&configs[2]);
	assert_int_equal(asked.begun, 2);
	assert_int_equal(ways(), 1);
	assert_way(2, 1, 1, true);
	/* A place that was given back is the next one's. */
	apply(&configs[1]);
	assert_way(1, 1, 1, false);
	configs[2].services[0].listens[0].endpoint.address = service_address(9);
	apply(&configs[2]);
	assert_int_equal(asked.begun, 4);
	assert_way(2, 9, 1, true);
	apply(&configs[3]);
	assert_int_equal(ways(), 0);
	assert_int_equal(asked.target_count, 0);
}

static void test_all_addresses(void **state)
{
	struct config_service *service = checked(&configs[0], "a", 80, WEIR_MODE_DSR, 1);

	ranges_free(&daemon_.listener_ranges);
	assert_int_equal(ranges_init(&daemon_.listener_ranges, TABLE_MANY_LISTENERS), 0);
	listen_on(service, 1, 81);
	for (uint32_t i = 2; i < 10; i++)
		listen_on(service, i, 80);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_int_equal(ways(), CHECK_ADDRESSES_MOST);
	assert_int_equal(asked.target_count, CHECK_ADDRESSES_MOST);
	for (uint32_t i = 0; i < CHECK_ADDRESSES_MOST; i++) {
		struct weir_address wanted = service_address(i + 1);

		assert_true(address_equal(&asked.target[i].service, &wanted));
		assert_way(i + 1, i + 1, 1, false);
	}
}

/* Such a backend counts as healthy; it is not tried for each one. */
static void test_failure(void **state)
{
	checked(&configs[0], "a", 80, WEIR_MODE_DSR, 3);
	checked(&configs[1], "a", 80, WEIR_MODE_DSR, 3);
	asked.link_error = -EPERM;
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_int_equal(asked.watches, 0);
	assert_int_equal(asked.links_tried, 1);
	asked.link_error = 0;
	daemon_.check_paths.failed_ms -= 1000;
	apply(&configs[1]);
	tables_tell_all(&daemon_);
	assert_int_equal(asked.watches, 3);
	assert_int_equal(ways(), 3);
}

static void test_configured_source(void **state)
{
	struct weir_address *source = config_add_snat_address(&configs[0]);

	*source = service_address(77);
	checked(&configs[0], "a", 80, WEIR_MODE_IPIP, 1);
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_true(address_equal(&asked.ways[1].outer_source, source));
	assert_int_equal(address_to_v4(&asked.ways[1].source), htonl(100));
}

/* IPv6 in IPv4: the route to the backend has no source that the backend can answer to. */
static void test_crossing(void **state)
{
	struct weir_address service, own, other;

	assert_int_equal(address_parse("2001:db8:1::80", &service), 0);
	assert_int_equal(address_parse("2001:db8:1::1", &own), 0);
	assert_int_equal(address_parse("2001:db8:2::1", &other), 0);
	checked(&configs[0], "a", 80, WEIR_MODE_IPIP, 1);
	configs[0].services[0].listens[0].endpoint.address = service;
	apply(&configs[0]);
	tables_tell_all(&daemon_);
	assert_int_equal(ways(), 0);
	host_address_event(&daemon_, &other, true);
	host_address_event(&daemon_, &service, true);
	host_address_event(&daemon_, &own, true);
	check_paths_follow_all(&daemon_);
	assert_true(address_equal(&asked.ways[1].source, &own));
	assert_int_equal(address_to_v4(&asked.ways[1].outer_source), htonl(100));
	free(daemon_.host_addresses);
}

static void test_interface_was_removed(void **state)
{
	check_paths_mend(&daemon_);
	checked(&configs[0], "a", 80, WEIR_MODE_DSR, 1);
	apply(&configs[0]);
	check_paths_mend(&daemon_);
	assert_int_equal(asked.links_tried, 1);
	asked.link_gone = true;
	asked.attached = 0;
	check_paths_mend(&daemon_);
	assert_int_equal(asked.links_tried, 2);
	assert_int_equal(asked.attached, 7);
	/* It does not help: somebody wants it like that. */
	check_paths_mend(&daemon_);
	assert_int_equal(asked.links_tried, 2);
	daemon_.check_paths.mended_ms -= 5000;
	check_paths_mend(&daemon_);
	assert_int_equal(asked.links_tried, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nat_needs_none),
		TEST(one_for_each_backend),
		TEST(shared),
		TEST(reload),
		TEST(all_addresses),
		TEST(failure),
		TEST(configured_source),
		TEST(crossing),
		TEST(interface_was_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
