// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "src/model/listen.h"

/* One more listen address. */
static void listen_on(struct config_service *service, const char *text)
{
	struct config_listen *listen = config_service_add_listen(service);

	assert_int_equal(listen_parse(text, listen), 0);
	if (!listen->protocol)
		listen->protocol = IPPROTO_TCP;
}

static void leave_out(struct config_service *service, uint16_t first, uint16_t last)
{
	*config_service_add_except(service) = (struct config_ports){ first, last };
}

static uint32_t found(const char *address, uint16_t port, uint8_t protocol)
{
	struct weir_address parsed;

	assert_int_equal(address_parse(address, &parsed), 0);
	return listen_table_find(&daemon_, &parsed, htons(port), protocol);
}

/* "a" on single ports, "b" on the rest of one address, "c" on ranges. */
static void fill(struct config *config)
{
	struct config_service *service;

	service = add(config, "a", 80, 1);
	listen_on(service, "192.0.2.2:53/udp");
	service = add(config, "b", 9, 1);
	service->listen_count = 0;
	listen_on(service, "192.0.2.1:any");
	leave_out(service, 80, 80);
	leave_out(service, 22, 23);
	service = add(config, "c", 9, 1);
	service->listen_count = 0;
	listen_on(service, "192.0.2.2:6000-6000/udp");
	listen_on(service, "192.0.2.2:5000-5999/udp");
}

static void test_find(void **state)
{
	fill(&configs[0]);
	apply(&configs[0]);
	assert_int_equal(memory.root.wide, 1);
	assert_int_equal(found("192.0.2.1", 80, IPPROTO_TCP), 1);
	assert_int_equal(found("192.0.2.1", 1, IPPROTO_TCP), 2);
	assert_int_equal(found("192.0.2.1", 21, IPPROTO_TCP), 2);
	assert_int_equal(found("192.0.2.1", 22, IPPROTO_TCP), 0);
	assert_int_equal(found("192.0.2.1", 23, IPPROTO_TCP), 0);
	assert_int_equal(found("192.0.2.1", 24, IPPROTO_TCP), 2);
	assert_int_equal(found("192.0.2.1", 65535, IPPROTO_TCP), 2);
	assert_int_equal(found("192.0.2.1", 0, IPPROTO_TCP), 0);
	assert_int_equal(found("192.0.2.1", 1, IPPROTO_UDP), 0);
	assert_int_equal(found("192.0.2.1", 0, 0), 0);
	assert_int_equal(found("192.0.2.2", 53, IPPROTO_UDP), 1);
	assert_int_equal(found("192.0.2.2", 4999, IPPROTO_UDP), 0);
	assert_int_equal(found("192.0.2.2", 5000, IPPROTO_UDP), 3);
	assert_int_equal(found("192.0.2.2", 5999, IPPROTO_UDP), 3);
	assert_int_equal(found("192.0.2.2", 6000, IPPROTO_UDP), 3);
	assert_int_equal(found("192.0.2.2", 6001, IPPROTO_UDP), 0);
	assert_int_equal(found("192.0.2.2", 5000, IPPROTO_TCP), 0);
	assert_int_equal(found("192.0.2.3", 80, IPPROTO_TCP), 0);
	/* As the datapath searches them: sorted, one behind the other, five in two places. */
	assert_int_equal(daemon_.port_ranges.length, 5);
	assert_int_equal(memory.port_ranges[0].first, 1);
	assert_int_equal(memory.port_ranges[1].first, 24);
	assert_int_equal(memory.port_ranges[2].first, 81);
	assert_int_equal(memory.port_ranges[2].last, 65535);
	assert_int_equal(memory.port_ranges[3].first, 5000);
	assert_int_equal(memory.port_ranges[4].first, 6000);
}

static void test_reload(void **state)
{
	union weir_range listeners, ranges;

	asked.jiffies = 1000;
	fill(&configs[0]);
	apply(&configs[0]);
	assert_int_equal(memory.root.listeners_since, 1000);
	tables_pass_grace(&daemon_);
	listeners = daemon_.listeners;
	ranges = daemon_.port_ranges;
	/* The same: nothing is published. */
	asked.jiffies = 2000;
	fill(&configs[1]);
	apply(&configs[1]);
	assert_int_equal(memory.root.listeners_since, 1000);
	assert_true(daemon_.listeners.word == listeners.word);
	assert_true(daemon_.port_ranges.word == ranges.word);
	/* Other ranges lie beside the old ones, which a packet may still be reading. */
	fill(&configs[2]);
	configs[2].services[1].except[1].first = 21;
	apply(&configs[2]);
	assert_int_equal(memory.root.listeners_since, 2000);
	assert_int_equal(found("192.0.2.1", 21, IPPROTO_TCP), 0);
	assert_true(daemon_.port_ranges.offset >= ranges.offset + ranges.length);
	assert_int_equal(memory.port_ranges[ranges.offset].last, 21);
	assert_int_equal(memory.root.wide, 1);
	/* None any more, and all places are free again. */
	tables_pass_grace(&daemon_);
	add(&configs[3], "a", 80, 1);
	apply(&configs[3]);
	assert_int_equal(memory.root.wide, 0);
	assert_int_equal(found("192.0.2.1", 1, IPPROTO_TCP), 0);
	assert_int_equal(found("192.0.2.1", 80, IPPROTO_TCP), 1);
	tables_pass_grace(&daemon_);
	assert_int_equal(
		ranges_take(&daemon_.port_range_ranges, TABLE_PORT_RANGES, &daemon_.grace, &ranges),
		0);
}

static void test_adoption(void **state)
{
	union weir_range ranges;
	struct error error;

	fill(&configs[0]);
	apply(&configs[0]);
	fill(&configs[1]);
	configs[1].services[1].except[1].first = 21;
	apply(&configs[1]);
	ranges = daemon_.port_ranges;
	assert_int_equal(ranges.offset, 5);
	tables_end(&daemon_);
	tables_begin(&daemon_);
	assert_int_equal(adopt_tables(&daemon_, &error), 0);
	assert_true(daemon_.port_ranges.word == ranges.word);
	assert_int_equal(found("192.0.2.1", 20, IPPROTO_TCP), 2);
	apply(&configs[1]);
	assert_true(daemon_.port_ranges.word == ranges.word);
	apply(&configs[0]);
	assert_int_equal(daemon_.port_ranges.offset, 0);
	assert_int_equal(found("192.0.2.1", 21, IPPROTO_TCP), 2);
}

static void test_no_room(void **state)
{
	struct config_service *service;
	union weir_range ranges;
	struct error error;

	fill(&configs[0]);
	apply(&configs[0]);
	ranges = daemon_.port_ranges;
	fill(&configs[1]);
	service = &configs[1].services[1];
	for (int i = 0; i < TABLE_PORT_RANGES; i++)
		leave_out(service, (uint16_t)(100 + 2 * i), (uint16_t)(100 + 2 * i));
	assert_int_equal(apply_check(&daemon_, &configs[1], &error), -E2BIG);
	assert_int_equal(apply_config(&daemon_, &configs[1], &error), -ENOSPC);
	apply(&configs[0]);
	assert_true(daemon_.port_ranges.word == ranges.word);
	assert_int_equal(found("192.0.2.1", 100, IPPROTO_TCP), 2);
	/* The places of the listeners are used up, those of the ranges come back. */
	while (ranges_take(&daemon_.listener_ranges, 1, &daemon_.grace, &ranges) == 0)
		continue;
	fill(&configs[2]);
	configs[2].services[1].except_count = 1;
	assert_int_equal(apply_config(&daemon_, &configs[2], &error), -ENOSPC);
	assert_int_equal(daemon_.port_range_ranges.taken, 1);
}

#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TABLES(test_find),
		WITH_TABLES(test_reload),
		WITH_TABLES(test_adoption),
		WITH_TABLES(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
