// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "tests/unit/allocation.h"
#include "tests/unit/config_equal.h"
#include "tests/unit/config_samples.h"

static int setup(void **state)
{
	struct config *config = calloc(1, sizeof(*config));

	config_init(config);
	assert_int_equal(
		config_file_parse(good_config, strlen(good_config), config, fail_on_error, NULL),
		0);
	*state = config;
	return 0;
}

static int teardown(void **state)
{
	config_free(*state);
	free(*state);
	return 0;
}

static void assert_survives(const struct config *config)
{
	_cleanup_free_ char *text = config_write(config);
	_cleanup_(config_free) struct config again;

	config_init(&again);
	assert_non_null(text);
	assert_int_equal(config_file_parse(text, strlen(text), &again, fail_on_error, NULL), 0);
	assert_config_equal(config, &again);
	assert_int_equal(config_diff(config, &again, fail_on_difference, NULL), 0);
}

static void test_round_trip(void **state)
{
	struct config *config = *state;
	struct config_health *health = &config->services[0].health;

	assert_survives(config);
	free(health->body);
	health->body = strdup("'\"\\#: {}[]&*!|>%@`, \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\x85");
	health->type = HEALTH_HTTPS;
	config->services[1].backend_count = 0;
	config->limits.flows_v6 = 0; /* not given: not written */
	config->services[1].slow_start = 83784005;
	config->services[1].affinity = (struct config_affinity){ AFFINITY_SOURCE, 90000 };
	config->control.mode = 0;
	config->snat.address_count = 0;
	assert_survives(config);
}

static void test_empty(void **state)
{
	_cleanup_(config_free) struct config config;
	_cleanup_free_ char *text = NULL;

	config_init(&config);
	text = config_write(&config);
	assert_non_null(strstr(text, "interfaces: []\n"));
	assert_non_null(strstr(text, "services: []\n"));
}

static void test_copy(void **state)
{
	const struct config *config = *state;
	struct config copy;

	assert_int_equal(config_copy(config, &copy), 0);
	assert_config_equal(config, &copy);
	assert_ptr_not_equal(config->services[0].health.path, copy.services[0].health.path);
	assert_ptr_not_equal(config->services[0].backends, copy.services[0].backends);
	/* There is as much room as the original would have. */
	for (size_t i = 0; i < 100; i++) {
		assert_non_null(config_add_service(&copy));
		assert_non_null(config_service_add_backend(&copy.services[0]));
		assert_non_null(config_service_add_listen(&copy.services[1]));
	}
	config_free(&copy);
	for (unsigned int nth = 1;; nth++) {
		struct config untouched = { .service_count = 77 };
		int r;

		allocation_fail_at(nth);
		r = config_copy(config, &untouched);
		allocation_fail_at(0);
		if (r == 0) {
			assert_true(nth > 10);
			config_free(&untouched);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(untouched.service_count, 77);
	}
}

static void add_line(const char *path, const char *old_value, const char *new_value, void *user)
{
	char *text = user;
	const size_t length = strlen(text);

	snprintf(text + length, 4096 - length, "%s: %s -> %s\n", path, old_value ? old_value : "-",
		 new_value ? new_value : "-");
}

static void test_diff(void **state)
{
	const struct config *config = *state;
	_cleanup_(config_free) struct config other;
	char text[4096] = "";

	assert_int_equal(config_copy(config, &other), 0);
	other.limits.flows = 5;
	other.limits.flows_v6 = 0;
	other.services[2].outer_fixed = false;
	other.services[2].clear_df = false;
	other.services[2].backends[0].weight = 9;
	other.interfaces[1].attach = ATTACH_GENERIC;
	other.services[0].backends[1].weight = 7;
	other.services[0].timeouts.tcp = 90000;
	other.services[1].backends[0].endpoint.port = 54;
	free(other.services[0].health.host);
	other.services[0].health.host = NULL;
	assert_int_equal(config_diff(config, &other, add_line, text), 19);
	assert_string_equal(
		text,
		"interfaces[eth1].attach: native -> generic\n"
		"limits.flows: 524288 -> 5\n"
		"limits.flows_v6: 32768 -> -\n"
		"services.dns.backends[192.168.178.11:53].address: \"192.168.178.11:53\" -> -\n"
		"services.dns.backends[192.168.178.11:53].backup: false -> -\n"
		"services.dns.backends[192.168.178.11:53].max_connections: 0 -> -\n"
		"services.dns.backends[192.168.178.11:53].state: ready -> -\n"
		"services.dns.backends[192.168.178.11:53].weight: 1 -> -\n"
		"services.dns.backends[192.168.178.11:54].address: - -> \"192.168.178.11:54\"\n"
		"services.dns.backends[192.168.178.11:54].backup: - -> false\n"
		"services.dns.backends[192.168.178.11:54].max_connections: - -> 0\n"
		"services.dns.backends[192.168.178.11:54].state: - -> ready\n"
		"services.dns.backends[192.168.178.11:54].weight: - -> 1\n"
		"services.six.backends[[2001:db8::11]:80].weight: 1 -> 9\n"
		"services.six.clear_df: true -> false\n"
		"services.six.outer_source: fixed -> spread\n"
		"services.web.backends[192.168.178.12:8000].weight: 2 -> 7\n"
		"services.web.health.host: \"web.example\" -> -\n"
		"services.web.timeouts.tcp: 10m -> 1m30s\n");
	for (unsigned int nth = 1;; nth++) {
		int r;

		allocation_fail_at(nth);
		r = config_diff(config, &other, add_line, text);
		allocation_fail_at(0);
		if (r >= 0) {
			assert_true(nth > 1);
			break;
		}
		assert_int_equal(r, -ENOMEM);
	}
}

#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CONFIG(test_round_trip),
		cmocka_unit_test(test_empty),
		WITH_CONFIG(test_copy),
		WITH_CONFIG(test_diff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
