// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/unit/allocation.h"

/* "10.0.0.0/8 192.0.2.1" as a list; NULL for nothing. */
static struct prefix_list *list_of(const char *text)
{
	struct prefix prefixes[8];
	char copy[256], *rest = copy, *one;
	size_t count = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((one = strsep(&rest, " ")))
		if (*one)
			assert_int_equal(prefix_parse(one, &prefixes[count++]), 0);
	return count ? prefix_list_new(prefixes, count) : NULL;
}

static struct config_service *add_with(struct config *config, const char *name, uint16_t port,
				       const char *allow, const char *deny)
{
	struct config_service *service = add(config, name, port, 1);

	service->allow = list_of(allow);
	service->deny = list_of(deny);
	return service;
}

/* What the datapath is told, asked as it asks: the longest prefix decides. */
static void test_who_is_served(void **state)
{
	static const struct {
		const char *allow, *deny, *served, *denied;
	} rows[] = {
		{ "", "", "10.0.0.1 2001:db8::1", "" },
		{ "10.0.0.0/8", "", "10.0.0.1 10.255.255.255",
		  "11.0.0.0 9.255.255.255 2001:db8::1" },
		{ "", "10.0.0.0/8", "11.0.0.0 2001:db8::1", "10.0.0.1" },
		{ "10.0.0.0/8 10.1.2.3", "10.1.0.0/16", "10.0.0.1 10.1.2.3", "10.1.2.4 1.1.1.1" },
		{ "10.1.0.0/16", "10.0.0.0/8", "10.1.0.0", "10.2.0.0 1.1.1.1" },
		{ "0.0.0.0/0", "10.0.0.0/8", "1.1.1.1", "10.0.0.1 2001:db8::1" },
		{ "::/0", "", "2001:db8::1", "1.1.1.1" }, /* of IPv6 alone */
		{ "", "::/0", "1.1.1.1", "2001:db8::1" },
		{ "", "0.0.0.0/0", "2001:db8::1", "1.1.1.1" },
		{ "::/0 0.0.0.0/0", "192.0.2.7", "2001:db8::1 192.0.2.6 192.0.2.8", "192.0.2.7" },
		{ "2001:db8::/32", "2001:db8:1::/48", "2001:db8::1", "2001:db8:1::1 10.0.0.1" },
	};
	char clients[128], *rest, *one;

	for (size_t i = 0; i < COUNT(rows); i++) {
		tear_down(state);
		set_up(state);
		add_with(&configs[0], "a", 80, rows[i].allow, rows[i].deny);
		apply(&configs[0]);
		for (int served = 0; served < 2; served++) {
			strcpy(clients, served ? rows[i].served : rows[i].denied);
			for (rest = clients; (one = strsep(&rest, " "));)
				if (*one && tables_serves(1, one) != served)
					fail_msg("row %zu: %s is %sserved", i, one,
						 served ? "not " : "");
		}
	}
}

static void test_services_share_what_is_equal(void **state)
{
	add_with(&configs[0], "a", 80, "10.0.0.0/8", "10.1.0.0/16");
	add_with(&configs[0], "b", 81, "10.0.0.0/8", "10.1.0.0/16");
	add_with(&configs[0], "c", 82, "10.0.0.0/8", "");
	add_with(&configs[0], "d", 83, "", "");
	apply(&configs[0]);
	assert_int_equal(memory.services[1].access, 1);
	assert_int_equal(memory.services[2].access, 1);
	assert_int_equal(memory.services[3].access, 2);
	assert_int_equal(memory.services[4].access, 0);
	assert_int_equal(tables_rules(), 4 + 3); /* each with two for the rest */
}

/* Another list gets another id, and is there before it is named; the old one stays for a grace period. */
static void test_make_before_break(void **state)
{
	add_with(&configs[0], "a", 80, "10.0.0.0/8", "");
	apply(&configs[0]);
	add_with(&configs[1], "a", 80, "11.0.0.0/8 12.0.0.0/8", "");
	apply(&configs[1]);
	assert_int_equal(memory.services[1].access, 2);
	assert_true(tables_serves(1, "12.0.0.1"));
	assert_int_equal(tables_rules(), 3 + 4);
	settle(1);
	assert_int_equal(tables_rules(), 3 + 4);
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 4);
	/* The same again: nothing is new. */
	add_with(&configs[2], "a", 80, "11.0.0.0/8 12.0.0.0/8", "");
	apply(&configs[2]);
	assert_int_equal(memory.services[1].access, 2);
	assert_int_equal(tables_rules(), 4);
	/* Back to what was retired: that one is on its way out, and not called back. */
	add_with(&configs[3], "a", 80, "", "");
	apply(&configs[3]);
	assert_int_equal(memory.services[1].access, 0);
	apply(&configs[2]);
	assert_int_equal(memory.services[1].access, 3);
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 4);
	assert_true(tables_serves(1, "12.0.0.1"));
}

static void test_a_service_that_leaves_gives_its_list_back(void **state)
{
	add_with(&configs[0], "a", 80, "10.0.0.0/8", "");
	add_with(&configs[0], "b", 81, "10.0.0.0/8", "");
	apply(&configs[0]);
	tables_pass_grace(&daemon_);
	add_with(&configs[1], "b", 81, "10.0.0.0/8", "");
	apply(&configs[1]);
	settle(4);
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 3);
	apply(&configs[2]); /* nothing at all */
	assert_int_equal(tables_rules(), 3);
	settle(4);
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 0);
}

/* Rules of an earlier daemon are used until all services name new ones, and their ids by nobody else. */
static void test_adoption(void **state)
{
	struct error error;

	add_with(&configs[0], "a", 80, "10.0.0.0/8", "");
	add_with(&configs[0], "b", 81, "", "10.0.0.0/8");
	apply(&configs[0]);
	tables_end(&daemon_);
	tables_begin(&daemon_);
	assert_int_equal(adopt_tables(&daemon_, &error), 0);
	assert_false(tables_serves(1, "11.0.0.1"));
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 6);
	add_with(&configs[1], "a", 80, "10.0.0.0/8", "");
	apply(&configs[1]);
	assert_int_equal(memory.services[1].access, 3);
	assert_int_equal(tables_rules(), 9);
	tables_pass_grace(&daemon_);
	settle(1);
	assert_int_equal(tables_rules(), 3);
	assert_true(tables_serves(1, "10.0.0.1"));
	assert_false(tables_serves(1, "11.0.0.1"));
}

static void test_no_room(void **state)
{
	struct config_service *service;
	struct prefix prefixes[TABLE_RULES];
	struct error error = { "" };
	char text[PREFIX_STRING_SIZE];

	add_with(&configs[0], "a", 80, "10.0.0.0/8", "");
	apply(&configs[0]);
	service = add(&configs[1], "a", 80, 1);
	for (int i = 0; i < TABLE_RULES; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i);
		assert_int_equal(prefix_parse(text, &prefixes[i]), 0);
	}
	service->deny = prefix_list_new(prefixes, TABLE_RULES);
	assert_int_equal(apply_config(&daemon_, &configs[1], &error), -ENOSPC);
	apply(&configs[0]);
	assert_int_equal(memory.services[1].access, 1);
	assert_int_equal(tables_rules(), 3); /* nothing is left of the other */
	assert_true(tables_serves(1, "10.0.0.1"));
}

static void test_no_memory(void **state)
{
	struct config_service service = { .allow = list_of("10.0.0.0/8") };
	struct access_list *list = NULL;
	unsigned int nth = 0;
	int r;

	do {
		allocation_fail_at(++nth);
		r = access_take(&daemon_.access, NULL, &service, &list);
		allocation_fail_at(0);
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_null(list);
			assert_int_equal(tables_rules(), 0);
		}
	} while (r < 0);
	assert_true(nth > 2);
	assert_int_equal(access_id(list), 1);
	access_put(&daemon_.access, list, &daemon_.grace);
	prefix_list_unref(service.allow);
}

#define WITH_TABLES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TABLES(test_who_is_served),
		WITH_TABLES(test_services_share_what_is_equal),
		WITH_TABLES(test_make_before_break),
		WITH_TABLES(test_a_service_that_leaves_gives_its_list_back),
		WITH_TABLES(test_adoption),
		WITH_TABLES(test_no_room),
		WITH_TABLES(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
