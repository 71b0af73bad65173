// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_file.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/cleanup.h"
#include "tests/unit/allocation.h"
#include "tests/unit/config_equal.h"

static void note(size_t line, size_t column, const char *text, void *user)
{
	char *all = user;

	snprintf(all + strlen(all), 1024 - strlen(all), "%zu:%zu %s\n", line, column, text);
}

/* @text as a host reads it that has 1.2.3.4 and 2001:db8::4. */
static int read_on_host(const char *text, char errors[static 1024])
{
	_cleanup_(config_free) struct config config;
	struct weir_address addresses[2];

	assert_int_equal(address_parse("2001:db8::4", &addresses[0]), 0);
	assert_int_equal(address_parse("1.2.3.4", &addresses[1]), 0);
	config_init(&config);
	config.host_addresses = addresses;
	config.host_address_count = 2;
	errors[0] = '\0';
	return config_file_parse(text, strlen(text), &config, note, errors);
}

#define HEAD "interfaces: [eth0]\nservices:\n"

/* `any` would take the host's own connections. Who names ports in `except` has thought of that. */
static void test_any_port_of_the_host(void **state)
{
	char errors[1024];

	assert_int_equal(
		read_on_host(HEAD "- {name: a, listen: [1.2.3.5:any, 1.2.3.4:any]}\n", errors),
		-EINVAL);
	assert_string_equal(errors,
			    "3:35 service a: listen: 1.2.3.4:any is an address of this host, which "
			    "would lose its own connections; expected the ports that it needs in "
			    "except, as in except: [22]\n");
	assert_int_equal(
		read_on_host(HEAD "- {name: a, listen: 1.2.3.4:any, except: [22]}\n", errors), 0);
	assert_int_equal(read_on_host(HEAD "- {name: a, listen: 1.2.3.5:any}\n", errors), 0);
	/* Ranges and single ports are named one by one. */
	assert_int_equal(read_on_host(HEAD "- {name: a, listen: 1.2.3.4:1-65535}\n", errors), 0);
	assert_int_equal(read_on_host(HEAD "- {name: a, listen: 1.2.3.4:22}\n", errors), 0);
}

static void test_copies_know_no_host(void **state)
{
	_cleanup_(config_free) struct config config;
	struct weir_address address = { 0 };
	struct config copy;

	config_init(&config);
	config.host_addresses = &address;
	config.host_address_count = 1;
	assert_int_equal(config_copy(&config, &copy), 0);
	assert_null(copy.host_addresses);
	assert_int_equal(copy.host_address_count, 0);
	config_free(&copy);
}

/* Half-made ones, as no file can say them. */
static void test_what_no_file_says(void **state)
{
	_cleanup_(config_free) struct config config;
	const char text[] = HEAD "- {name: a, listen: 1.2.3.4:5-9, except: [7]}\n";
	struct config_service *service;
	struct error error;

	config_init(&config);
	assert_int_equal(config_file_parse(text, strlen(text), &config, fail_on_error, NULL), 0);
	service = &config.services[0];
	service->listens[0].last_port = 4;
	assert_int_equal(config_check(&config, &error), -EINVAL);
	assert_string_equal(error.text,
			    "service a: listen: 1.2.3.4:5-4 is no range; expected ADDR:LOW-HIGH");
	service->listens[0].endpoint.port = 0;
	assert_int_equal(config_check(&config, &error), -EINVAL);
	assert_string_equal(error.text,
			    "service a: listen: 1.2.3.4:any has no port; expected ADDR:PORT");
	service->listens[0] = (struct config_listen){ { service->listens[0].endpoint.address, 5 },
						      9,
						      IPPROTO_TCP };
	assert_int_equal(config_check(&config, &error), 0);
	service->except[0].first = 8;
	assert_int_equal(config_check(&config, &error), -EINVAL);
	assert_string_equal(error.text, "service a: except: 8-7 is no range; expected PORT or "
					"LOW-HIGH, 1 to 65535");
	service->except[0] = (struct config_ports){ 7, 7 };
	for (int i = 0; i < 64; i++)
		*config_service_add_except(service) = (struct config_ports){ 7, 7 };
	assert_int_equal(config_check(&config, &error), -EINVAL);
	assert_string_equal(error.text,
			    "service a: except: 65 ports and ranges; expected at most 64");
}

/* Ten thousand services on one address, each with a range, and one with any beside them. */
static void test_many(void **state)
{
	_cleanup_(config_free) struct config config;
	_cleanup_free_ char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	const clock_t before = clock();

	fputs("interfaces: [eth0]\ndefaults: {deny: [10.0.0.0/8, 192.0.2.0/24]}\nservices:\n", out);
	for (unsigned int i = 0; i < 10000; i++)
		fprintf(out, "- {name: s%u, listen: 1.2.3.4:%u-%u}\n", i, 1 + 6 * i, 6 + 6 * i);
	fputs("- {name: rest, listen: 1.2.3.4:any, except: [1-60000]}\n", out);
	fclose(out);
	config_init(&config);
	assert_int_equal(config_file_parse(text, length, &config, fail_on_error, NULL), 0);
	assert_ptr_equal(config.services[0].deny, config.services[10000].deny);
	assert_true(clock() - before < 10 * CLOCKS_PER_SEC);
	config.services[10000].except[0].last = 59999;
	assert_int_equal(config_check(&config, NULL), -EINVAL);
}

static void test_no_memory(void **state)
{
	_cleanup_(config_free) struct config config;
	const char text[] = HEAD
		"- {name: a, listen: 1.2.3.4:5-9, except: [7], allow: [1.2.3.4]}\n";
	unsigned int nth = 0;
	int r;

	config_init(&config);
	assert_int_equal(config_file_parse(text, strlen(text), &config, fail_on_error, NULL), 0);
	do {
		allocation_fail_at(++nth);
		r = config_check(&config, NULL);
		allocation_fail_at(0);
		assert_true(r == 0 || r == -ENOMEM);
	} while (r < 0);
	assert_int_equal(nth, 5); /* runs, rules, doubles, names */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_port_of_the_host),
		cmocka_unit_test(test_copies_know_no_host),
		cmocka_unit_test(test_what_no_file_says),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
