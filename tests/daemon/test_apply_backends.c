// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>

#include "tests/daemon/apply.h"
#include "tests/unit/allocation.h"

/* A change of the backends of one service. */

/* Nothing of other services is looked at. */
static void test_backends_of_one_service(void **state)
{
	struct config_service *service;
	struct error error = { "" };
	char text[TABLE_SLOTS + 1];

	begin();
	service = add(&configs[1], "b", 81, 4);
	service->backends[0].state = BACKEND_DOWN;
	memmove(&service->backends[1], &service->backends[2], 2 * sizeof(*service->backends));
	service->backend_count = 3;
	memory.services[1].mode = 77;
	assert_int_equal(apply_backends_of(&daemon_, service, &error), 0);
	assert_int_equal(memory.services[1].mode, 77);
	assert_int_equal(memory.root.generation, 2);
	assert_string_equal(tables_live(1, text), "ab");
	assert_string_equal(tables_live(2, text), "e");
	assert_int_equal(asked.kill_count, 1);
	assert_int_equal(asked.kills[0].backend_id, 3);
	assert_int_equal(memory.backends[4].use, WEIR_BACKEND_NO_NEW);
	assert_true(daemon_.registry.backends[4].leaving);
	tables_tell(&daemon_, 6, true, 100);
	assert_string_equal(tables_live(2, text), "ef");
	assert_int_equal(tables_listener(81), 2);
	/* As before, with what was removed and is back. */
	assert_int_equal(apply_backends_of(&daemon_, &configs[0].services[1], &error), 0);
	assert_string_equal(tables_live(2, text), "cde");
}

/* As test_no_memory(), for one service. */
static void test_no_memory_for_backends(void **state)
{
	struct config_service *service;
	struct error error;
	unsigned int nth = 1;
	char text[TABLE_SLOTS + 1];

	begin();
	service = add(&configs[1], "a", 80, 3);
	service->backends[0].weight = 0;
	for (;; nth++) {
		int err;

		allocation_fail_at(nth);
		err = apply_backends_of(&daemon_, service, &error);
		if (!allocation_has_failed())
			break;
		allocation_fail_at(0);
		assert_true(err == -ENOMEM || err == 0);
		tables_pass_grace(&daemon_);
		assert_int_equal(apply_backends_of(&daemon_, &configs[0].services[0], &error), 0);
		tables_pass_grace(&daemon_);
		settle(3);
		assert_string_equal(tables_live(1, text), "ab");
		assert_string_equal(tables_live(2, text), "cde");
	}
	allocation_fail_at(0);
	assert_true(nth > 2);
}

/* Nothing has been touched when it is refused. */
static void test_too_many_backends_of_one_service(void **state)
{
	static struct memory before;
	struct config_service *service;
	struct error error = { "" };

	begin();
	service = add(&configs[1], "a", 80, TABLE_BACKENDS);
	before = memory;
	assert_int_equal(apply_backends_of(&daemon_, service, &error), -E2BIG);
	assert_non_null(strstr(error.text, "do not fit"));
	assert_memory_equal(&memory, &before, sizeof(memory));
	assert_ptr_equal(daemon_.registry.services[1].own.backends,
			 configs[0].services[0].backends);
}

/* At most those of each service, at any time. */
static void test_least_timeouts(void **state)
{
	struct error error = { "" };
	struct config_service *service;

	begin();
	assert_int_equal(memory.runtime.least.udp, 30 * 250);
	service = add(&configs[1], "a", 80, 2);
	service->timeouts.udp = 4000;
	assert_int_equal(apply_backends_of(&daemon_, service, &error), 0);
	assert_int_equal(memory.runtime.least.udp, 1000); /* at once */
	apply(&configs[0]);
	assert_int_equal(memory.runtime.least.udp, 30 * 250);
	apply(&configs[1]);
	apply(&configs[2]); /* none: it is leaving, with its flows */
	assert_int_equal(memory.runtime.least.udp, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(backends_of_one_service),
		TEST(no_memory_for_backends),
		TEST(too_many_backends_of_one_service),
		TEST(least_timeouts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
