// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"

/* Source addresses are of their backend's family, configured or not. */

static struct weir_address parsed(const char *text)
{
	struct weir_address address;

	assert_int_equal(address_parse(text, &address), 0);
	return address;
}

/* Service "v4" with backends 1 and 2, "v6" with 3 and 4. */
static void add_both(struct config *config)
{
	struct config_service *service;

	add(config, "v4", 80, 2);
	service = add(config, "v6", 80, 2);
	service->listens[0].endpoint.address = parsed("2001:db8::80");
	service->backends[0].endpoint.address = parsed("2001:db8:1::1");
	service->backends[1].endpoint.address = parsed("2001:db8:1::2");
}

static void configure(struct config *config, const char *const *sources)
{
	for (; *sources; sources++)
		*config_add_snat_address(config) = parsed(*sources);
}

static void expect_sources(uint32_t id, const char *const *sources)
{
	union weir_range row = memory.backends[id].snat;
	char text[ENDPOINT_STRING_SIZE];

	for (uint32_t i = 0; i < row.length && *sources; i++, sources++)
		assert_string_equal(address_format(&memory.snat_addresses[row.offset + i], text),
				    *sources);
	assert_null(*sources);
}

static void test_configured_ones(void **state)
{
	static const char *const mixed[] = { "2001:db8::a", "192.0.2.10",  "2001:db8::b",
					     "192.0.2.11",  "2001:db8::c", NULL };
	static const char *const v4[] = { "192.0.2.10", "192.0.2.11", NULL };
	static const char *const v6[] = { "2001:db8::a", "2001:db8::b", "2001:db8::c", NULL };

	add_both(&configs[0]);
	configure(&configs[0], mixed);
	apply(&configs[0]);
	for (uint32_t id = 1; id <= 4; id++)
		expect_sources(id, id <= 2 ? v4 : v6);
	assert_int_equal(memory.backends[1].snat.length, 2);
	assert_int_equal(memory.backends[3].snat.length, 3);
	/* Routes without a source address do. */
	for (uint32_t id = 1; id <= 4; id++)
		tables_tell(&daemon_, id, true, 0);
	for (uint32_t id = 1; id <= 4; id++)
		assert_true(daemon_.registry.backends[id].reachable);
	/* The same ones in another order of families are the same rows. */
	add_both(&configs[1]);
	configure(&configs[1], v6);
	configure(&configs[1], v4);
	apply(&configs[1]);
	assert_int_equal(memory.backends[1].snat.word, daemon_.snat_fixed[0].word);
	assert_int_equal(memory.backends[3].snat.word, daemon_.snat_fixed[1].word);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(daemon_.snat_pool.places[i].users, 1);
}

/* Those of one family say nothing about the other, whose source is the route's. */
static void test_configured_for_one_family(void **state)
{
	static const char *const v4[] = { "192.0.2.10", NULL };

	add_both(&configs[0]);
	configure(&configs[0], v4);
	apply(&configs[0]);
	for (uint32_t id = 1; id <= 4; id++)
		tables_tell(&daemon_, id, true, 0);
	assert_true(daemon_.registry.backends[1].reachable);
	assert_false(daemon_.registry.backends[3].reachable);
	assert_int_equal(memory.backends[3].snat.length, 0);
	tables_tell(&daemon_, 3, true, 100);
	assert_true(daemon_.registry.backends[3].reachable);
	assert_int_equal(memory.backends[3].snat.length, 1);
	assert_false(memory.backends[3].snat.offset == memory.backends[1].snat.offset);
	expect_sources(1, v4);
}

/* The row of the first family is given back when the second one finds no room. */
static void test_no_room_for_one_family(void **state)
{
	struct error error = { "" };

	add_both(&configs[0]);
	apply(&configs[0]);
	add_both(&configs[1]);
	*config_add_snat_address(&configs[1]) = parsed("192.0.2.10");
	for (int i = 0; i <= TABLE_SOURCES; i++) {
		struct weir_address address = parsed("2001:db8::a");

		address.word[3] += i;
		*config_add_snat_address(&configs[1]) = address;
	}
	assert_int_equal(apply_config(&daemon_, &configs[1], &error), -ENOSPC);
	apply(&configs[0]);
	for (uint32_t i = 0; i < TABLE_SOURCES; i++)
		assert_int_equal(daemon_.snat_pool.places[i].users, 0);
	assert_int_equal(daemon_.snat_fixed[0].length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_configured_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_configured_for_one_family, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_room_for_one_family, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
