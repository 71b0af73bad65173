// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/run_flags.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

#define GOOD "-i eth0 --listen 10.0.0.1:80 --backends 10.0.0.2 "

/* Parses @line, cut at blanks. */
static int parse(const char *line, struct config *config, struct error *error)
{
	char copy[1024], *argv[64], *rest = copy;
	int argc = 0;

	assert_true(strlen(line) < sizeof(copy));
	strcpy(copy, line);
	while (argc < 64 && (argv[argc] = strsep(&rest, " ")))
		if (*argv[argc])
			argc++;
	config_init(config);
	return run_flags_parse(argc, argv, config, error);
}

static void parse_good(const char *line, struct config *config)
{
	struct error error = { "" };

	if (parse(line, config, &error) != 0)
		fail_msg("%s: %s", line, error.text);
}

static void assert_endpoint(const struct endpoint *endpoint, const char *expected)
{
	char text[ENDPOINT_STRING_SIZE];

	assert_string_equal(endpoint_format(endpoint, text), expected);
}

static void test_shortest(void **state)
{
	struct config config;

	parse_good("-i eth0 --listen 192.168.178.10:8000 --backends 192.168.178.11", &config);
	assert_int_equal(config.interface_count, 1);
	assert_string_equal(config.interfaces->name, "eth0");
	assert_int_equal(config.interfaces->attach, ATTACH_AUTO);
	assert_int_equal(config.service_count, 1);
	assert_string_equal(config.services->name, "tcp-192-168-178-10-8000");
	assert_int_equal(config.services->scheduler, WEIR_SCHEDULER_RR);
	assert_int_equal(config.services->listen_count, 1);
	assert_int_equal(config.services->listens->protocol, IPPROTO_TCP);
	assert_endpoint(&config.services->listens->endpoint, "192.168.178.10:8000");
	assert_int_equal(config.services->backend_count, 1);
	assert_int_equal(config.services->backends->weight, 1);
	assert_endpoint(&config.services->backends->endpoint, "192.168.178.11:8000");
	assert_int_equal(config.services->timeouts.tcp, 7440000);
	assert_int_equal(config.limits.flows, 262144);
	config_free(&config);
}

static void test_every_flag(void **state)
{
	struct config config;
	struct config_service *service;

	parse_good("-i=eth1 --listen=10.0.0.1:53/udp --backends=10.0.0.2=3,10.0.0.3:5353=0 "
		   "--backends 10.0.0.4:54 --scheduler=wlc --mode=nat --attach=generic --flows=1M "
		   "--flows-v6=2k "
		   "--half-open=4k --udp-share=25 --icmp-rate=0 --reset-rate=7 "
		   "--snat-address=10.0.0.8,10.0.0.9 --snat-address 10.0.0.10 "
		   "--snat=off --snat-ports=2000-3000 --on-no-backend=drop --timeout-tcp=1h "
		   "--timeout-tcp-handshake=5s --timeout-tcp-close=1m --timeout-udp=500ms "
		   "--timeout-udp-established=1m30s",
		   &config);
	assert_string_equal(config.interfaces->name, "eth1");
	assert_int_equal(config.interfaces->attach, ATTACH_GENERIC);
	assert_int_equal(config.limits.flows, 1048576);
	assert_int_equal(config.limits.flows_v6, 2048);
	assert_int_equal(config.limits.half_open, 4096);
	assert_int_equal(config.limits.udp_share, 25);
	assert_int_equal(config.limits.icmp_rate, 0);
	assert_int_equal(config.limits.reset_rate, 7);
	assert_int_equal(config.snat.address_count, 3);
	assert_true(address_to_v4(&config.snat.addresses[2]) == htonl(0x0a00000a));
	assert_int_equal(config.snat.first_port, 2000);
	assert_int_equal(config.snat.last_port, 3000);
	assert_int_equal(config.service_count, 1);
	service = config.services;
	assert_string_equal(service->name, "udp-10-0-0-1-53");
	assert_int_equal(service->listens->protocol, IPPROTO_UDP);
	assert_int_equal(service->mode, WEIR_MODE_NAT);
	assert_int_equal(service->scheduler, WEIR_SCHEDULER_WLC);
	assert_true(service->silent);
	assert_true(service->keep_client);
	assert_int_equal(service->timeouts.tcp, 3600000);
	assert_int_equal(service->timeouts.tcp_handshake, 5000);
	assert_int_equal(service->timeouts.tcp_close, 60000);
	assert_int_equal(service->timeouts.udp, 500);
	assert_int_equal(service->timeouts.udp_established, 90000);
	assert_int_equal(service->backend_count, 3);
	assert_endpoint(&service->backends[0].endpoint, "10.0.0.2:53");
	assert_int_equal(service->backends[0].weight, 3);
	assert_endpoint(&service->backends[1].endpoint, "10.0.0.3:5353");
	assert_int_equal(service->backends[1].weight, 0);
	assert_endpoint(&service->backends[2].endpoint, "10.0.0.4:54");
	assert_int_equal(service->backends[2].weight, 1);
	config_free(&config);
}

static void test_ipv6(void **state)
{
	struct config config;
	const struct config_service *service;

	parse_good("-i eth0 --listen [2001:db8::10]:8000 --listen [2001:db8::10]:53/udp "
		   "--backends [2001:db8::11]:8001=3,2001:db8::12,[2001:db8::13]=0 "
		   "--snat-address 2001:db8::20,10.0.0.8",
		   &config);
	assert_int_equal(config.service_count, 2);
	assert_int_equal(config.snat.address_count, 2);
	assert_string_equal(config.services[0].name, "tcp-2001-db8--10-8000");
	assert_string_equal(config.services[1].name, "udp-2001-db8--10-53");
	service = &config.services[0];
	assert_endpoint(&service->listens->endpoint, "[2001:db8::10]:8000");
	assert_endpoint(&service->backends[0].endpoint, "[2001:db8::11]:8001");
	assert_int_equal(service->backends[0].weight, 3);
	assert_endpoint(&service->backends[1].endpoint, "[2001:db8::12]:8000");
	assert_endpoint(&service->backends[2].endpoint, "[2001:db8::13]:8000");
	config_free(&config);
	parse_good("-i eth0 --listen [2001:db8::10]:80 --listen 10.0.0.9:80 --mode ipip "
		   "--backends 10.0.0.1,2001:db8::11",
		   &config);
	assert_int_equal(config.service_count, 2);
	config_free(&config);
}

static void test_several_services(void **state)
{
	static const char *const names[] = { "tcp-10-0-0-1-53", "udp-10-0-0-1-53",
					     "tcp-10-0-0-9-80" };
	static const char *const backends[] = { "10.0.0.2:53", "10.0.0.2:53", "10.0.0.2:80" };
	struct config config;

	parse_good("--backends 10.0.0.2,10.0.0.3:99 --scheduler hash --listen 10.0.0.1:53/tcp "
		   "--listen 10.0.0.1:53/udp --listen 10.0.0.9:80 -i eth0",
		   &config);
	assert_int_equal(config.service_count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(config.services[i].name, names[i]);
		assert_int_equal(config.services[i].scheduler, WEIR_SCHEDULER_HASH);
		assert_int_equal(config.services[i].listen_count, 1);
		assert_int_equal(config.services[i].backend_count, 2);
		assert_endpoint(&config.services[i].backends[0].endpoint, backends[i]);
		assert_endpoint(&config.services[i].backends[1].endpoint, "10.0.0.3:99");
	}
	config_free(&config);
}

static void test_any_and_ranges(void **state)
{
	static const char *const names[] = { "tcp-10-0-0-1-any", "udp-10-0-0-1-5000-5999" };
	struct config config;

	parse_good("--backends 10.0.0.2,10.0.0.3:99,10.0.0.4:any --listen 10.0.0.1:any "
		   "--listen 10.0.0.1:5000-5999/udp -i eth0",
		   &config);
	assert_int_equal(config.service_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(config.services[i].name, names[i]);
		assert_int_equal(config.services[i].backends[0].endpoint.port, 0);
		assert_int_equal(config.services[i].backends[1].endpoint.port, 99);
		assert_int_equal(config.services[i].backends[2].endpoint.port, 0);
	}
	assert_int_equal(config.services[0].listens->last_port, 65535);
	assert_int_equal(config.services[1].listens->protocol, IPPROTO_UDP);
	config_free(&config);
}

static void test_schedulers_and_choices(void **state)
{
	static const char *const names[] = { "rr",  "wrr",    "hash",   "lc",
					     "wlc", "source", "maglev", "p2c" };
	static const char *const attach[] = { "auto", "native", "generic" };
	struct config config;
	char line[256];

	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(line, sizeof(line), GOOD "--scheduler %s", names[i]);
		parse_good(line, &config);
		assert_string_equal(scheduler_name(config.services->scheduler), names[i]);
		config_free(&config);
	}
	for (size_t i = 0; i < COUNT(attach); i++) {
		snprintf(line, sizeof(line), "--attach %s " GOOD, attach[i]);
		parse_good(line, &config);
		assert_int_equal(config.interfaces->attach, i);
		config_free(&config);
	}
	parse_good(GOOD "--on-no-backend reject", &config);
	assert_false(config.services->silent);
	config_free(&config);
}

/* 4,096 backends: half of them in one flag, the others in one flag each. */
static void test_many_backends(void **state)
{
	enum { HALF = 2048 };
	static char list[HALF * 24], single[HALF][24];
	static char *argv[4 + 2 + 2 * HALF] = { "-i",          "eth0",       "--listen",
						"10.0.0.1:80", "--backends", list };
	struct error error = { "" };
	struct config config;
	size_t length = 0;

	for (int i = 0; i < HALF; i++) {
		length += (size_t)sprintf(list + length, "%s10.1.%d.%d:8000=2", i ? "," : "",
					  i / 256, i % 256);
		sprintf(single[i], "10.2.%d.%d", i / 256, i % 256);
		argv[6 + 2 * i] = "--backends";
		argv[7 + 2 * i] = single[i];
	}
	config_init(&config);
	assert_int_equal(run_flags_parse(COUNT(argv), argv, &config, &error), 0);
	assert_int_equal(config.services->backend_count, 2 * HALF);
	assert_endpoint(&config.services->backends[HALF - 1].endpoint, "10.1.7.255:8000");
	assert_endpoint(&config.services->backends[2 * HALF - 1].endpoint, "10.2.7.255:80");
	config_free(&config);
}

static void test_backends_times_services_is_bounded(void **state)
{
	enum { LISTENS = 1024, BACKENDS = 1000 };
	static char listens[LISTENS][24], list[BACKENDS * 12];
	static char *argv[2 + 2 * LISTENS + 2] = { "-i", "eth0" };
	struct error error = { "" };
	struct config config;
	size_t length = 0;

	for (int i = 0; i < LISTENS; i++) {
		sprintf(listens[i], "10.0.0.1:%d", 1 + i);
		argv[2 + 2 * i] = "--listen";
		argv[3 + 2 * i] = listens[i];
	}
	for (int i = 0; i < BACKENDS; i++)
		length += (size_t)sprintf(list + length, "%s10.1.%d.%d", i ? "," : "", i / 256,
					  i % 256);
	argv[2 + 2 * LISTENS] = "--backends";
	argv[3 + 2 * LISTENS] = list;
	config_init(&config);
	assert_int_equal(run_flags_parse(COUNT(argv), argv, &config, &error), -EINVAL);
	assert_string_equal(error.text, "--backends: 1000 for each of 1024 services; expected at "
					"most 1000000 in all");
	config_free(&config);
}

struct refused {
	const char *line;
	const char *text;
};

static void assert_refused(const struct refused *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct error error = { "" };
		struct config config;
		int r = parse(rows[i].line, &config, &error);

		config_free(&config);
		if (r != -EINVAL || strcmp(error.text, rows[i].text))
			fail_msg("%s: %d, %s", rows[i].line, r, error.text);
	}
}

static void test_usage(void **state)
{
	static const struct refused rows[] = {
		{ "", "-i: missing; expected -i INTERFACE" },
		{ "--listen 10.0.0.1:80 --backends 10.0.0.2",
		  "-i: missing; expected -i INTERFACE" },
		{ "-i eth0 --backends 10.0.0.2",
		  "--listen: missing; expected --listen ADDR:PORT[/udp]" },
		{ "-i eth0 --listen 10.0.0.1:80",
		  "--backends: missing; expected --backends ADDR[:PORT][=WEIGHT],..." },
		{ GOOD "--fast", "run: '--fast' is unknown" },
		{ GOOD "--fast=1", "run: '--fast=1' is unknown" },
		{ GOOD "--flow 1", "run: '--flow' is unknown" },
		{ GOOD "--flowss=1", "run: '--flowss=1' is unknown" },
		{ GOOD "more", "run: 'more' is unknown" },
		{ GOOD "=", "run: '=' is unknown" },
		{ GOOD "--mode", "--mode: its value is missing; expected --mode VALUE" },
		{ GOOD "--mode=", "--mode: its value is missing; expected --mode VALUE" },
		{ GOOD "--mode --flows 1", "--mode: its value is missing; expected --mode VALUE" },
		{ "-i", "-i: its value is missing; expected -i VALUE" },
		{ "-i --listen 10.0.0.1:80", "-i: its value is missing; expected -i VALUE" },
		{ GOOD "-i eth1", "-i: given twice; expected once" },
		{ GOOD "--mode nat --mode=nat", "--mode: given twice; expected once" },
		{ GOOD "--flows 1 --flows 2", "--flows: given twice; expected once" },
		{ "-c weir.yaml", "-c: a configuration file goes with no other option; use it "
				  "alone, or -i, --listen and --backends" },
		{ "-i sixteen-letters-",
		  "-i: 'sixteen-letters-' is no interface name; expected 1 to 15 characters "
		  "without '/', ':' and blanks" },
		{ "-i a/b", "-i: 'a/b' is no interface name; expected 1 to 15 characters without "
			    "'/', ':' and blanks" },
	};

	assert_refused(rows, COUNT(rows));
}

#define NO_LISTEN(value)                                                                           \
	{                                                                                          \
		"--listen " value, "--listen: '" value "' is no address with a port; expected "    \
				   "ADDR:PORT, ADDR:PORT/tcp or ADDR:PORT/udp"                     \
	}
#define NO_PROTOCOL(value)                                                                         \
	{                                                                                          \
		"--listen 10.0.0.1:80/" value, "--listen: '" value "' is no protocol; expected "   \
					       "ADDR:PORT, ADDR:PORT/tcp or ADDR:PORT/udp"         \
	}
#define NO_BACKEND(list, item)                                                                     \
	{                                                                                          \
		"--backends " list, "--backends: '" item "' is no address; expected "              \
				    "ADDR[:PORT][=WEIGHT],..."                                     \
	}
#define NO_WEIGHT(weight)                                                                          \
	{                                                                                          \
		"--backends 10.0.0.9,10.0.0.2:80=" weight,                                         \
			"--backends: 10.0.0.2:80: '" weight "' is no weight; expected 0 to 256"    \
	}

static void test_addresses(void **state)
{
	static const struct refused rows[] = {
		NO_LISTEN("10.0.0.1"),
		NO_LISTEN("10.0.0.1:"),
		NO_LISTEN("10.0.0.1:0"),
		NO_LISTEN("10.0.0.1:all"),
		NO_LISTEN("10.0.0.1:2-1"),
		NO_LISTEN("eth0:80"),
		NO_LISTEN("80"),
		NO_LISTEN("[::1]"),
		NO_PROTOCOL("sctp"),
		NO_PROTOCOL("TCP"),
		NO_PROTOCOL(""),
		NO_PROTOCOL("tcp/udp"),
		NO_BACKEND("10.0.0.2,", ""),
		NO_BACKEND(",10.0.0.2", ""),
		NO_BACKEND("10.0.0.2,,10.0.0.3", ""),
		NO_BACKEND("10.0.0.2:0", "10.0.0.2:0"),
		NO_BACKEND("10.0.0.2,web", "web"),
		NO_BACKEND("10.0.0.2/tcp", "10.0.0.2/tcp"),
		NO_BACKEND("10.0.0.2,=1", ""),
		NO_WEIGHT(""),
		NO_WEIGHT("257"),
		NO_WEIGHT("-1"),
		NO_WEIGHT("1.5"),
		NO_WEIGHT("1=2"),
		NO_WEIGHT("99999999999999999999"),
		{ "--snat-address 10.0.0.8,x", "--snat-address: 'x' is no address; expected "
					       "ADDR[,ADDR...]" },
		{ "--snat-address 10.0.0.8:80", "--snat-address: '10.0.0.8:80' is no address; "
						"expected ADDR[,ADDR...]" },
		{ "--snat-ports 1024", "--snat-ports: '1024' is no port range; expected LOW-HIGH, "
				       "1 to 65535" },
		{ "--snat-ports 9-8", "--snat-ports: '9-8' is no port range; expected LOW-HIGH, 1 "
				      "to 65535" },
	};

	assert_refused(rows, COUNT(rows));
}

static void test_values(void **state)
{
	static const struct refused rows[] = {
		{ "--scheduler fastest",
		  "--scheduler: 'fastest' is no scheduler; expected rr, wrr, lc, wlc, p2c, hash, "
		  "source or maglev" },
		{ "--mode tunnel", "--mode: 'tunnel' is no mode; expected nat, dsr or ipip" },
		{ "--attach fast",
		  "--attach: 'fast' is unknown; expected auto, native or generic" },
		{ "--on-no-backend die",
		  "--on-no-backend: 'die' is unknown; expected reject or drop" },
		{ "--flows 0", "--flows: '0' is out of range; expected 1 to 16777216, with k, M or "
			       "G if you like" },
		{ "--flows 17M", "--flows: '17M' is out of range; expected 1 to 16777216, with k, "
				 "M or G if you like" },
		{ "--flows 99999999999999999999G",
		  "--flows: '99999999999999999999G' is out of range; expected 1 to 16777216, with "
		  "k, M or G if you like" },
		{ "--flows many", "--flows: 'many' is no number; expected 1 to 16777216, with k, M "
				  "or G if you like" },
		{ "--half-open 63", "--half-open: '63' is out of range; expected 64 to 4194304, "
				    "with k, M or G if you like" },
		{ "--udp-share 101", "--udp-share: '101' is out of range; expected 0 to 100" },
		{ "--udp-share=-1", "--udp-share: '-1' is no number; expected 0 to 100" },
		{ "--icmp-rate 1k", "--icmp-rate: '1k' is no number; expected 0 to 1000000" },
		{ "--reset-rate 4294967296",
		  "--reset-rate: '4294967296' is out of range; expected 0 to 1000000" },
		{ "--timeout-tcp 10", "--timeout-tcp: '10' is no time; expected 100ms to 168h, "
				      "such as 30s or 2h4m" },
		{ "--timeout-udp 99ms", "--timeout-udp: '99ms' is out of range; expected 100ms to "
					"168h, such as 30s or 2h4m" },
		{ "--timeout-tcp-close 169h",
		  "--timeout-tcp-close: '169h' is out of range; expected 100ms to 168h, such as "
		  "30s or 2h4m" },
	};

	assert_refused(rows, COUNT(rows));
}

static void test_combinations_are_checked(void **state)
{
	static const struct refused rows[] = {
		{ GOOD "--listen 10.0.0.1:80/tcp",
		  "services tcp-10-0-0-1-80 and tcp-10-0-0-1-80: both listen on 10.0.0.1:80/tcp; "
		  "remove one" },
		{ GOOD "--backends 10.0.0.2:80",
		  "service tcp-10-0-0-1-80: backend 10.0.0.2:80 is given twice; remove one" },
		{ GOOD "--backends 10.0.0.1",
		  "service tcp-10-0-0-1-80: backend 10.0.0.1:80 is listened on by weir itself, "
		  "packets would go round for ever; name the server's own address" },
		{ GOOD "--listen [2001:db8::10]:80",
		  "service tcp-2001-db8--10-80: backend 10.0.0.2:80 is IPv4, the service IPv6: nat "
		  "does not translate between IPv6 and IPv4; use ipip, or backends of the same "
		  "family" },
		{ GOOD "--backends [fe80::1]:80",
		  "service tcp-10-0-0-1-80: backend: [fe80::1]:80 is a link-local address, which "
		  "means another host on each link; expected a global one, or one of fd00::/8" },
		{ GOOD "--backends 127.0.0.1",
		  "service tcp-10-0-0-1-80: backend: 127.0.0.1:80 is a loopback address, which "
		  "never reaches a network; use another" },
	};

	assert_refused(rows, COUNT(rows));
}

static void test_long_values_are_cut(void **state)
{
	struct error error = { "" };
	struct config config;
	char line[1000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	memcpy(line, "--mode ", 7);
	assert_int_equal(parse(line, &config, &error), -EINVAL);
	assert_non_null(strstr(error.text, "' is no mode; expected nat"));
	config_free(&config);
}

static void test_no_memory(void **state)
{
	for (unsigned int nth = 1;; nth++) {
		struct error error = { "" };
		struct config config;
		bool failed;
		int r;

		allocation_fail_at(nth);
		r = parse("-i eth0 --listen 10.0.0.1:80 --listen 10.0.0.1:53/udp --scheduler wrr "
			  "--backends 10.0.0.2,10.0.0.3,10.0.0.4 --snat-address 10.0.0.5,10.0.0.6",
			  &config, &error);
		failed = allocation_has_failed();
		allocation_fail_at(0);
		config_free(&config);
		if (!failed) {
			assert_int_equal(r, 0);
			assert_true(nth > 20);
			return;
		}
		assert_int_equal(r, -ENOMEM);
		assert_string_equal(error.text, "out of memory");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shortest),
		cmocka_unit_test(test_every_flag),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_several_services),
		cmocka_unit_test(test_any_and_ranges),
		cmocka_unit_test(test_schedulers_and_choices),
		cmocka_unit_test(test_many_backends),
		cmocka_unit_test(test_backends_times_services_is_bounded),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_combinations_are_checked),
		cmocka_unit_test(test_long_values_are_cut),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
