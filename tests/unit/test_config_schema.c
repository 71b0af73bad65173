// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_schema.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "tests/unit/config_equal.h"
#include "tests/unit/schema_json.h"

/* "SCHEMA" names dist/weir.schema.json; `test_config_schema --print` writes what it should be. */
static char *read_schema(void)
{
	const char *path = getenv("SCHEMA");
	char *text = NULL;
	size_t room = 0;
	FILE *file;

	assert_non_null(path);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(getdelim(&text, &room, '\0', file) > 0);
	fclose(file);
	return text;
}

static void test_file_is_what_the_tables_say(void **state)
{
	_cleanup_free_ char *text = read_schema(), *made = NULL;
	size_t length;
	FILE *out = open_memstream(&made, &length);

	schema_json_write(out);
	fclose(out);
	assert_string_equal(text, made);
}

/* The default that is written down is the one that applies. */
static void assert_fallbacks(const struct config_key *keys, const void *defaults)
{
	for (const struct config_key *key = keys; key->name; key++) {
		_cleanup_free_ char *text = NULL, *other = NULL;
		char object[512] = { 0 };
		size_t length;
		FILE *out;

		if (key->type >= CONFIG_TYPE_MAPPING || !key->fallback)
			continue;
		assert_int_equal(config_value_read(key, key->fallback, true, object, NULL), 0);
		out = open_memstream(&text, &length);
		config_value_write(key, object, out);
		fclose(out);
		out = open_memstream(&other, &length);
		config_value_write(key, defaults, out);
		fclose(out);
		assert_string_equal(text, other);
	}
}

static void test_fallbacks(void **state)
{
	_cleanup_(config_free) struct config config;
	struct config_service *service;

	config_init(&config);
	service = config_add_service(&config);
	assert_fallbacks(config_interface_keys, config_add_interface(&config));
	assert_fallbacks(config_timeout_keys, &service->timeouts);
	assert_fallbacks(config_health_keys, &service->health);
	assert_fallbacks(config_service_keys, service);
	assert_fallbacks(config_backend_keys, config_service_add_backend(service));
	for (const struct config_key *key = config_root_keys; key->name; key++)
		if (key->type == CONFIG_TYPE_MAPPING)
			assert_fallbacks(key->keys, (char *)&config + key->offset);
}

static void test_nearest(void **state)
{
	assert_string_equal(config_key_nearest(config_backend_keys, "wieght"), "weight");
	assert_string_equal(config_key_nearest(config_backend_keys, "adress"), "address");
	assert_string_equal(config_key_nearest(config_health_keys, "comand"), "command");
	assert_null(config_key_nearest(config_health_keys, "qqqqqqqqq"));
	assert_null(config_key_nearest(config_health_keys, ""));
	assert_null(config_key_nearest(config_health_keys, "a-key-of-more-than-24-letters"));
	assert_null(config_key_nearest(config_root_keys, "htt")); /* not served yet */
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_is_what_the_tables_say),
		cmocka_unit_test(test_fallbacks),
		cmocka_unit_test(test_nearest),
	};

	if (argc == 2 && !strcmp(argv[1], "--print")) {
		schema_json_write(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
