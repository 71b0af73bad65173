// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/apply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/unit/allocation.h"

static void test_no_room_for_listeners_before_grace(void **state)
{
	struct error error = { "" };
	union weir_range live;

	begin();
	add_many(&configs[1], 82, 5, 0);
	apply(&configs[1]);
	live = memory.root.listeners;
	assert_int_equal(live.length, 16);
	assert_int_equal(apply_config(&daemon_, &configs[0], &error), 0);
	assert_int_equal(apply_config(&daemon_, &configs[1], &error), -ENOSPC);
	assert_non_null(strstr(error.text, "try again"));
	assert_int_equal(tables_listener(80), 1);
	tables_pass_grace(&daemon_);
	apply(&configs[1]);
	assert_int_not_equal(tables_listener(84), 0);
}

/* A table fills up in the middle; then the configuration before is applied again. */
static void go_back(struct config *failing, int expected)
{
	static struct memory before;
	struct error error = { "" };
	char text[TABLE_SLOTS + 1];

	before = memory;
	assert_int_equal(apply_config(&daemon_, failing, &error), expected);
	assert_true(error.text[0]);
	/* Nothing of it was visible to packets yet. */
	assert_string_equal(tables_live(1, text), "ab");
	assert_int_equal(tables_listener(81), 2);
	assert_ptr_equal(daemon_.config, &configs[0]);
	apply(&configs[0]);
	config_free(failing);
	assert_string_equal(tables_live(1, text), "ab");
	assert_string_equal(tables_live(2, text), "cde");
	/* And what it added leaves. */
	settle(4);
	apply(&configs[0]);
	before.root.generation = memory.root.generation;
	before.root.listeners = memory.root.listeners;
	assert_memory_equal(memory.services, before.services, sizeof(before.services));
	for (uint32_t id = 1; id < TABLE_SERVICES; id++)
		assert_string_equal(memory.service_names[id].text, before.service_names[id].text);
	assert_memory_equal(memory.backends, before.backends, sizeof(before.backends));
	assert_int_equal(tables_listener(80), 1);
	assert_int_equal(tables_listener(81), 2);
	assert_int_equal(tables_listener(90), 0);
	assert_int_equal(asked.resolved, 3);
}

static void test_too_many_services(void **state)
{
	begin();
	add(&configs[1], "b", 81, 1)->scheduler = WEIR_SCHEDULER_LC;
	add_many(&configs[1], 90, TABLE_SERVICES, 1);
	go_back(&configs[1], -ENOSPC);
}

static void test_too_many_backends(void **state)
{
	begin();
	add(&configs[1], "n", 90, 1);
	add(&configs[1], "a", 80, TABLE_BACKENDS);
	go_back(&configs[1], -ENOSPC);
}

static void test_too_many_hops(void **state)
{
	struct config_service *service;

	begin();
	hops_reserve(&daemon_.hops, TABLE_HOPS - 1);
	add(&configs[1], "n", 90, 1);
	service = add(&configs[1], "a", 80, 4);
	for (size_t i = 0; i < 4; i++)
		service->backends[i].endpoint.address = address_from_v4(htonl(0xc6336480 + i));
	go_back(&configs[1], -ENOSPC);
}

static void test_the_resolver_fails(void **state)
{
	struct error error = { "" };

	begin();
	add(&configs[1], "a", 80, 2);
	add(&configs[1], "n", 90, 4);
	asked.resolver_error = -ENOMEM;
	assert_int_equal(apply_config(&daemon_, &configs[1], &error), -ENOMEM);
	asked.resolver_error = 0;
	apply(&configs[0]);
	config_free(&configs[1]);
	assert_int_equal(tables_listener(90), 0);
	settle(3);
	assert_null(registry_find_service(&daemon_.registry, "n"));
}

static void test_no_memory(void **state)
{
	struct error error;
	unsigned int nth = 1;
	char text[TABLE_SLOTS + 1];

	begin();
	add(&configs[1], "a", 8080, 3);
	add(&configs[1], "n", 90, 2);
	for (;; nth++) {
		int err;

		allocation_fail_at(nth);
		err = apply_config(&daemon_, &configs[1], &error);
		if (!allocation_has_failed())
			break;
		allocation_fail_at(0);
		/* Slots that could not be built are built by the next walk. */
		assert_true(err == -ENOMEM || err == 0);
		tables_pass_grace(&daemon_);
		apply(&configs[0]);
		tables_pass_grace(&daemon_);
		settle(3);
		assert_string_equal(tables_live(1, text), "ab");
		assert_string_equal(tables_live(2, text), "cde");
		assert_int_equal(tables_listener(80), 1);
		assert_int_equal(tables_listener(90), 0);
	}
	allocation_fail_at(0);
	assert_true(nth > 5);
}

static void check_refused(struct config *config, int code, const char *said)
{
	static struct memory before;
	struct error error = { "" };

	before = memory;
	assert_int_equal(apply_check(&daemon_, config, &error), code);
	assert_non_null(strstr(error.text, said));
	assert_memory_equal(&memory, &before, sizeof(memory));
}

static void test_what_cannot_change(void **state)
{
	struct config *config = &configs[1];
	struct error error;

	strcpy(config_add_interface(&configs[0])->name, "eth0");
	begin();
	strcpy(config_add_interface(config)->name, "eth0");
	add(config, "a", 80, 2);
	assert_int_equal(apply_check(&daemon_, config, &error), 0);
	config->interfaces[0].attach = ATTACH_GENERIC;
	check_refused(config, -EINVAL, "interfaces");
	strcpy(config->interfaces[0].name, "eth1");
	config->interfaces[0].attach = ATTACH_AUTO;
	check_refused(config, -EINVAL, "interfaces");
	strcpy(config->interfaces[0].name, "eth0");
	config->control.mode ^= 7;
	check_refused(config, -EINVAL, "control");
	config->control.mode ^= 7;
	config->control.group = strdup("x");
	check_refused(config, -EINVAL, "control");
	free(config->control.group);
	config->control.group = NULL;
	config->limits.half_open *= 2;
	check_refused(config, -EINVAL, "half_open");
	config->limits.half_open /= 2;
	config->limits.flows = 1 << 21;
	check_refused(config, -E2BIG, "limits.flows: 2097152 is more");
	config->limits.flows = 1 << 20; /* a quarter fits, too */
	assert_int_equal(apply_check(&daemon_, config, NULL), 0);
	config->limits.flows_v6 = (1 << 18) + 1;
	check_refused(config, -E2BIG, "limits.flows_v6: 262145 is more");
}

static void test_what_does_not_fit(void **state)
{
	struct error error;

	begin();
	/* Five ids are in use, three of them of what leaves: they are not free at once. */
	add(&configs[1], "a", 80, 2 + TABLE_BACKENDS - 1 - 5);
	assert_int_equal(apply_check(&daemon_, &configs[1], &error), 0);
	add(&configs[2], "a", 80, 2 + TABLE_BACKENDS - 5);
	check_refused(&configs[2], -E2BIG, "11 new backends");
	add_many(&configs[3], 90, TABLE_SERVICES - 2, 0);
	check_refused(&configs[3], -E2BIG, "6 new services");
	configs[3].service_count--;
	assert_int_equal(apply_check(&daemon_, &configs[3], &error), 0);
	configs[3].service_count++;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_room_for_listeners_before_grace),
		TEST(too_many_services),
		TEST(too_many_backends),
		TEST(too_many_hops),
		TEST(the_resolver_fails),
		TEST(no_memory),
		TEST(what_cannot_change),
		TEST(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
