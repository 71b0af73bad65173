// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "src/base/address.h"
#include "tests/daemon/fixture.h"

#define REASON_NAME(NAME, name, help) #name,

const char *const reason_names[WEIR_REASON_COUNT] = { WEIR_REASONS(REASON_NAME) };

static struct config config;
static struct daemon daemon_;

static int set_up(void **state)
{
	config_init(&config);
	add_service(&config, "a", 80, WEIR_SCHEDULER_RR, 2);
	add_service(&config, "b", 81, WEIR_SCHEDULER_RR, 2);
	fill_registry(&daemon_.registry, &config);
	return 0;
}

static int tear_down(void **state)
{
	registry_free(&daemon_.registry);
	config_free(&config);
	return 0;
}

static struct filter parse(const char *text)
{
	json_t *arguments = json_loads(text, 0, NULL);
	struct filter filter;
	struct error error;

	assert_non_null(arguments);
	assert_int_equal(filter_parse(&daemon_, arguments, &filter, &error), 0);
	json_decref(arguments);
	return filter;
}

static bool takes_client(const struct filter *filter, uint32_t v4, uint16_t port)
{
	const struct weir_address client = address_from_v4(htonl(v4));

	return filter_takes_client(filter, &client, htons(port));
}

static void test_no_filter_takes_all(void **state)
{
	struct filter filter = parse("{}");

	assert_int_equal(filter.reason, -1);
	for (uint32_t id = 0; id <= 4; id++) {
		assert_true(filter_takes_backend(&filter, &daemon_, id));
		assert_true(filter_takes_service(&filter, &daemon_, id % 3));
	}
	assert_true(takes_client(&filter, 1, 2));
	filter = parse("{\"service\": null, \"backend\": null, \"client\": null}");
	assert_true(filter_takes_backend(&filter, &daemon_, 1));
}

static void test_service(void **state)
{
	struct filter filter = parse("{\"service\": \"b\"}");

	assert_false(filter_takes_service(&filter, &daemon_, 0));
	assert_false(filter_takes_service(&filter, &daemon_, 1));
	assert_true(filter_takes_service(&filter, &daemon_, 2));
}

static void test_backend(void **state)
{
	struct filter filter = parse("{\"backend\": \"198.51.100.2:8000\"}");

	assert_false(filter_takes_backend(&filter, &daemon_, 0));
	assert_false(filter_takes_backend(&filter, &daemon_, 1));
	assert_true(filter_takes_backend(&filter, &daemon_, 2));
	/* The same address in the other service. */
	assert_true(filter_takes_backend(&filter, &daemon_, 4));
	assert_false(filter_takes_backend(&filter, &daemon_, 5));
	assert_false(filter_takes_backend(&filter, &daemon_, 15));
	filter = parse("{\"backend\": \"198.51.100.2:8001\"}");
	assert_false(filter_takes_backend(&filter, &daemon_, 2));
	filter = parse("{\"backend\": \"198.51.100.2\"}");
	assert_true(filter_takes_backend(&filter, &daemon_, 2));
}

static void test_client(void **state)
{
	struct filter filter = parse("{\"client\": \"10.0.0.20\"}");

	assert_true(takes_client(&filter, 0x0a000014, 1));
	assert_false(takes_client(&filter, 0x0a000015, 1));
	filter = parse("{\"client\": \"10.0.0.20:4711\"}");
	assert_true(takes_client(&filter, 0x0a000014, 4711));
	assert_false(takes_client(&filter, 0x0a000014, 4712));
}

static void test_reason(void **state)
{
	assert_int_equal(parse("{\"reason\": \"new_flow\"}").reason, WEIR_REASON_NEW_FLOW);
}

static void test_what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *arguments;
		int code;
		const char *said;
	} rows[] = {
		{ "{\"service\": \"c\"}", -ENOENT, "'c'" },
		{ "{\"service\": 1}", -ENOENT, "service" },
		{ "{\"backend\": \"nonsense\"}", -EINVAL, "'nonsense'" },
		{ "{\"backend\": 8000}", -EINVAL, "backend" },
		{ "{\"client\": \"10.0.0\"}", -EINVAL, "'10.0.0'" },
		{ "{\"reason\": \"bad_luck\"}", -EINVAL, "'bad_luck'" },
		{ "{\"reason\": []}", -EINVAL, "reason" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *arguments = json_loads(rows[i].arguments, 0, NULL);
		struct filter filter = { .reason = 12345 };
		struct error error = { "" };

		assert_non_null(arguments);
		assert_int_equal(filter_parse(&daemon_, arguments, &filter, &error), rows[i].code);
		assert_non_null(strstr(error.text, rows[i].said));
		assert_int_equal(filter.reason, 12345);
		json_decref(arguments);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_filter_takes_all),
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_backend),
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_reason),
		cmocka_unit_test(test_what_is_wrong_is_said),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
