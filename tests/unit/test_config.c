// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/allocation.h"
#include "tests/unit/config_broken.h"

static void test_defaults(void **state)
{
	struct config config;
	struct config_service *service;

	config_init(&config);
	assert_int_equal(config.interface_count, 0);
	assert_int_equal(config.service_count, 0);
	assert_int_equal(config.limits.flows, 262144);
	assert_int_equal(config.limits.flows_v6, 0);
	assert_int_equal(config_flows_v6(&config.limits), 65536);
	assert_int_equal(config.limits.half_open, 65536);
	assert_int_equal(config.limits.udp_share, 50);
	assert_int_equal(config.limits.icmp_rate, 1000);
	assert_int_equal(config.limits.reset_rate, 10000);
	assert_int_equal(config.snat.address_count, 0);
	assert_int_equal(config.snat.first_port, 1024);
	assert_int_equal(config.snat.last_port, 65535);
	assert_int_equal(config_add_interface(&config)->attach, ATTACH_AUTO);
	service = config_add_service(&config);
	assert_string_equal(service->name, "");
	assert_int_equal(service->mode, WEIR_MODE_NAT);
	assert_int_equal(service->scheduler, WEIR_SCHEDULER_RR);
	assert_false(service->silent);
	assert_int_equal(service->timeouts.tcp, 7440000);
	assert_int_equal(service->timeouts.tcp_handshake, 10000);
	assert_int_equal(service->timeouts.tcp_close, 10000);
	assert_int_equal(service->timeouts.udp, 30000);
	assert_int_equal(service->timeouts.udp_established, 180000);
	assert_int_equal(config_service_add_listen(service)->protocol, IPPROTO_TCP);
	assert_int_equal(config_service_add_backend(service)->weight, 1);
	config_free(&config);
}

static void test_free_leaves_it_initialised(void **state)
{
	struct config config = { 0 }, initial;

	memset(&initial, 0, sizeof(initial));
	config_init(&initial);
	config_free(&config); /* a zeroed one */
	assert_int_equal(config.limits.flows, initial.limits.flows);
	assert_non_null(config_add_snat_address(&config));
	assert_non_null(config_add_interface(&config));
	config_free(&config);
	assert_null(config.interfaces);
	assert_null(config.snat.addresses);
	assert_int_equal(config.interface_count + config.snat.address_count, 0);
	config_free(&config); /* twice */
}

static void test_arrays_grow(void **state)
{
	struct config config;
	struct config_service *service;

	config_init(&config);
	for (uint32_t i = 0; i < 1000; i++) {
		config_add_service(&config)->mode = (enum weir_mode)i;
		config_add_snat_address(&config)->word[0] = i;
		config_add_interface(&config)->attach = (enum attach)i;
	}
	service = &config.services[999];
	for (uint32_t i = 0; i < 1000; i++) {
		config_service_add_backend(service)->weight = i;
		config_service_add_listen(service)->endpoint.port = (uint16_t)i;
	}
	assert_int_equal(service->backend_count, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(config.services[i].mode, i);
		assert_int_equal(config.snat.addresses[i].word[0], i);
		assert_int_equal(config.interfaces[i].attach, i);
		assert_int_equal(service->backends[i].weight, i);
		assert_int_equal(service->listens[i].endpoint.port, i);
	}
	config_free(&config);
}

static void test_good_one_is_accepted(void **state)
{
	assert_accepted(*state);
}

static void test_service_without_backends_is_accepted(void **state)
{
	add_listen(add_service(*state, "empty"), "192.168.178.10:9", IPPROTO_TCP);
	assert_accepted(*state);
}

static void test_limits_of_ranges_are_accepted(void **state)
{
	struct config *config = *state;
	struct config_service *service = config->services;

	config->limits = (struct config_limits){ 1, 0, 64, 0, 0, 0 };
	assert_int_equal(config_flows_v6(&config->limits), 1);
	service->timeouts = (struct config_timeouts){ 100, 100, 100, 100, 100 };
	service->backends[0].weight = 0;
	config->snat.first_port = 1;
	config->snat.last_port = 1;
	memset(service->name, 'z', 63);
	assert_accepted(config);
	config->limits = (struct config_limits){
		16777216, 16777216, 4194304, 100, 1000000, 1000000
	};
	service->timeouts.tcp = 604800000;
	service->backends[0].weight = 256;
	snprintf(config->interfaces->name, 16, "fifteen-letters");
	assert_accepted(config);
}

static void test_interfaces(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a:b", "a b", "a\tb" };
	struct config *config = *state;

	for (size_t i = 0; i < COUNT(bad); i++) {
		char text[64];

		snprintf(config->interfaces->name, 16, "%s", bad[i]);
		snprintf(text, sizeof(text), "interfaces: '%s' is no interface name", bad[i]);
		assert_refused(config, text);
	}
	assert_false(config_interface_name_valid("sixteen-letters-"));
	assert_true(config_interface_name_valid("fifteen-letters"));
	snprintf(config->interfaces->name, 16, "eth0");
	snprintf(config_add_interface(config)->name, 16, "eth1");
	assert_accepted(config);
	snprintf(config->interfaces[1].name, 16, "eth0");
	assert_refused(config, "interfaces: eth0 is given twice; remove one");
	config->interface_count = 0;
	assert_refused(config, "interfaces: none is given; name at least one");
}

static void test_limits(void **state)
{
	struct config *config = *state;
	struct config_limits *limits = &config->limits;
	const struct {
		uint32_t *value;
		uint32_t bad;
		const char *text;
	} rows[] = {
		{ &limits->flows, 0, "limits.flows: 0 is out of range; expected 1 to 16777216" },
		{ &limits->flows, 16777217,
		  "limits.flows: 16777217 is out of range; expected 1 to 16777216" },
		{ &limits->flows_v6, 16777217,
		  "limits.flows_v6: 16777217 is out of range; expected 1 to 16777216" },
		{ &limits->half_open, 63,
		  "limits.half_open: 63 is out of range; expected 64 to 4194304" },
		{ &limits->half_open, 4194305,
		  "limits.half_open: 4194305 is out of range; expected 64 to 4194304" },
		{ &limits->udp_share, 101,
		  "limits.udp_share: 101 is out of range; expected 0 to 100" },
		{ &limits->icmp_rate, 1000001,
		  "limits.icmp_rate: 1000001 is out of range; expected 0 to 1000000" },
		{ &limits->reset_rate, 1000001,
		  "limits.reset_rate: 1000001 is out of range; expected 0 to 1000000" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint32_t good = *rows[i].value;

		*rows[i].value = rows[i].bad;
		assert_refused(config, rows[i].text);
		*rows[i].value = good;
	}
}

static void test_timeouts(void **state)
{
	struct config *config = *state;
	struct config_timeouts *timeouts = &config->services[1].timeouts;
	const struct {
		uint64_t *value;
		const char *key;
	} rows[] = {
		{ &timeouts->tcp, "tcp" },
		{ &timeouts->tcp_handshake, "tcp_handshake" },
		{ &timeouts->tcp_close, "tcp_close" },
		{ &timeouts->udp, "udp" },
		{ &timeouts->udp_established, "udp_established" },
	};
	static const uint64_t bad[] = { 0, 99, 604800001, UINT64_MAX };

	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint64_t good = *rows[i].value;

		for (size_t j = 0; j < COUNT(bad); j++) {
			char text[200];

			snprintf(text, sizeof(text),
				 "service dns: timeouts.%s: %llums is out of range; expected 100ms "
				 "to 168h",
				 rows[i].key, (unsigned long long)bad[j]);
			*rows[i].value = bad[j];
			assert_refused(config, text);
		}
		*rows[i].value = good;
	}
}

static void test_snat(void **state)
{
	struct config *config = *state;

	*config_add_snat_address(config) = endpoint_of("192.168.178.20").address;
	*config_add_snat_address(config) = endpoint_of("192.168.178.21").address;
	assert_accepted(config);
	config->snat.addresses[1] = config->snat.addresses[0];
	assert_refused(config, "snat.addresses: 192.168.178.20 is given twice; remove one");
	config->snat.addresses[1] = endpoint_of("127.0.0.1").address;
	assert_refused(config, "snat.addresses: 127.0.0.1 is a loopback address, which never "
			       "reaches a network; use another");
	config->snat.addresses[1] = endpoint_of("2001:db8::20").address;
	assert_accepted(config);
	config->snat.addresses[1] = endpoint_of("fe80::20").address;
	assert_refused(config, "snat.addresses: fe80::20 is a link-local address, which means "
			       "another host on each link; expected a global one, or one of "
			       "fd00::/8");
	config->snat.address_count = 0;
	config->snat.first_port = 0;
	assert_refused(config, "snat.ports: 0-65535 is no range; expected LOW-HIGH, 1 to 65535");
	config->snat.first_port = 9;
	config->snat.last_port = 8;
	assert_refused(config, "snat.ports: 9-8 is no range; expected LOW-HIGH, 1 to 65535");
}

/* dsr and ipip: no port is changed, and nobody sees connections end. */
static void test_direct_modes(void **state)
{
	struct config *config = *state;
	struct config_service *web = &config->services[0];

	for (enum weir_mode mode = WEIR_MODE_DSR; mode <= WEIR_MODE_IPIP; mode++) {
		char text[200];

		web->mode = mode;
		assert_accepted(config);
		web->backends[1].endpoint.port = 8080;
		snprintf(text, sizeof(text),
			 "service web: backend 192.168.178.12:8080: mode %s changes no port; "
			 "expected that of the listen address, 8000",
			 mode_name(mode));
		assert_refused(config, text);
		web->backends[1].endpoint.port = 8000;
		web->backends[0].max_connections = 5;
		snprintf(text, sizeof(text),
			 "service web: backend 192.168.178.11:8000: max_connections: does not go "
			 "with mode %s, where weir does not see connections end; remove it",
			 mode_name(mode));
		assert_refused(config, text);
		web->backends[0].max_connections = 0;
		web->scheduler = WEIR_SCHEDULER_LC;
		snprintf(text, sizeof(text),
			 "service web: scheduler lc: does not go with mode %s, where weir does not "
			 "see connections end; expected maglev, hash, source, rr or wrr",
			 mode_name(mode));
		assert_refused(config, text);
		web->scheduler = WEIR_SCHEDULER_WRR;
		assert_accepted(config);
	}
	web->mode = WEIR_MODE_NAT;
	web->scheduler = WEIR_SCHEDULER_WLC;
	web->backends[0].max_connections = 5;
	web->backends[1].endpoint.port = 8080;
	assert_accepted(config);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "", "Web", "we b", "we_b", "we.b", "w\xc3\xa4" };
	struct config *config = *state;
	struct error error;

	for (size_t i = 0; i < COUNT(bad); i++) {
		char text[100];

		snprintf(config->services[1].name, 64, "%s", bad[i]);
		snprintf(text, sizeof(text),
			 "service '%s': bad name; expected 1 to 63 of a-z, 0-9 and '-'", bad[i]);
		assert_refused(config, text);
	}
	memset(config->services[1].name, 'a', 64); /* no end */
	assert_int_equal(config_check(config, &error), -EINVAL);
	snprintf(config->services[1].name, 64, "web");
	assert_refused(config, "service web: two services have this name; rename one");
}

static void test_addresses(void **state)
{
	static const struct {
		const char *address;
		const char *why;
	} rows[] = {
		{ "[::]:80", "is the unspecified address; expected that of one host" },
		{ "[::1]:80", "is a loopback address, which never reaches a network; use another" },
		{ "[ff02::1]:80", "is a multicast address; expected that of one host" },
		{ "[ffff::]:80", "is a multicast address; expected that of one host" },
		{ "[fe80::1]:80",
		  "is a link-local address, which means another host on each link; expected a "
		  "global one, or one of fd00::/8" },
		{ "[febf::1]:80",
		  "is a link-local address, which means another host on each link; expected a "
		  "global one, or one of fd00::/8" },
		{ "0.0.0.0:80", "is unspecified (0.0.0.0/8); expected the address of one host" },
		{ "0.1.2.3:80", "is unspecified (0.0.0.0/8); expected the address of one host" },
		{ "255.255.255.255:80", "is the broadcast address; expected that of one host" },
		{ "224.0.0.1:80", "is a multicast address; expected that of one host" },
		{ "239.255.255.255:80", "is a multicast address; expected that of one host" },
		{ "127.0.0.1:80",
		  "is a loopback address, which never reaches a network; use another" },
		{ "127.255.255.254:80",
		  "is a loopback address, which never reaches a network; use another" },
		{ "192.168.178.11", "has no port; expected ADDR:PORT" },
	};
	struct config *config = *state;
	struct config_service *service = &config->services[0];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct endpoint *const places[] = { &service->backends[1].endpoint,
						    &service->listens[0].endpoint };
		static const char *const words[] = { "backend", "listen" };

		for (size_t j = 0; j < 2; j++) {
			const struct endpoint good = *places[j];
			char text[200];

			*places[j] = endpoint_of(rows[i].address);
			snprintf(text, sizeof(text), "service web: %s: %s %s", words[j],
				 rows[i].address, rows[i].why);
			assert_refused(config, text);
			*places[j] = good;
		}
	}
}

static void test_services(void **state)
{
	struct config *config = *state;
	struct config_service *service = &config->services[0];

	service->listens[0].protocol = 1;
	assert_refused(config, "service web: listen: 192.168.178.10:8000 has an unknown protocol; "
			       "expected tcp or udp");
	service->listens[0].protocol = IPPROTO_TCP;
	service->backends[1].weight = 257;
	assert_refused(config, "service web: backend 192.168.178.12:8000: weight 257 is out of "
			       "range; expected 0 to 256");
	service->backends[1].weight = 1;
	service->scheduler = (enum weir_scheduler)99;
	assert_refused(config, "service web: unknown mode or scheduler");
	service->scheduler = WEIR_SCHEDULER_RR;
	service->mode = (enum weir_mode)99;
	assert_refused(config, "service web: unknown mode or scheduler");
	service->mode = WEIR_MODE_NAT;
	service->listen_count = 0;
	assert_refused(config, "service web: it listens nowhere; give it an ADDR:PORT");
}

static void test_doubles(void **state)
{
	struct config *config = *state;

	add_listen(&config->services[0], "192.168.178.10:53", IPPROTO_TCP);
	assert_refused(config,
		       "services web and dns: both listen on 192.168.178.10:53/tcp; remove one");
	config->services[0].listens[1] = config->services[0].listens[0];
	assert_refused(config, "service web: listens on 192.168.178.10:8000/tcp twice; remove one");
	config->services[0].listen_count = 1;
	add_backend(&config->services[0], "192.168.178.11:8000");
	assert_refused(config,
		       "service web: backend 192.168.178.11:8000 is given twice; remove one");
	config->services[0].backends[2].endpoint.port = 8001;
	assert_accepted(config);
}

static void test_loops(void **state)
{
	struct config *config = *state;

	add_backend(&config->services[1], "192.168.178.10:8000");
	assert_refused(config, "service dns: backend 192.168.178.10:8000 is listened on by weir "
			       "itself, packets would go round for ever; name the server's own "
			       "address");
	config->services[1].listen_count = 1; /* only UDP, and 8000 is TCP */
	assert_accepted(config);
	add_backend(&config->services[1], "192.168.178.10:53");
	assert_refused(config, "service dns: backend 192.168.178.10:53 is listened on by weir "
			       "itself, packets would go round for ever; name the server's own "
			       "address");
}

static void test_many(void **state)
{
	struct config *config = *state;

	for (uint32_t i = 0; i < 10000; i++) {
		struct config_service *service;
		char name[64];

		snprintf(name, sizeof(name), "many-%u", i);
		service = add_service(config, name);
		add_listen(service, "10.0.0.1:1", IPPROTO_TCP);
		service->listens->endpoint.port = (uint16_t)(i + 1);
		for (uint32_t j = 0; j < 10; j++) {
			add_backend(service, "10.0.1.0:80");
			service->backends[j].endpoint.port = (uint16_t)(80 + j);
		}
	}
	assert_accepted(config);
	config->services[10001].listens->endpoint.port = 1;
	assert_refused(config,
		       "services many-0 and many-9999: both listen on 10.0.0.1:1/tcp; remove one");
}

static void test_too_many_backends(void **state)
{
	struct config *config = *state;
	struct config_service *service = &config->services[0];

	for (uint32_t i = 0; service->backend_count < 1000000; i++) {
		struct config_backend *backend = config_service_add_backend(service);

		backend->endpoint.address = address_from_v4(htonl(0x0a000001 + i));
		backend->endpoint.port = 80;
	}
	/* "dns" has one more */
	assert_refused(config, "services: 1000001 backends in all; expected at most 1000000");
	service->backend_count--;
	assert_accepted(config);
}

static void test_words(void **state)
{
	static const char *const schedulers[] = { "rr",  "wrr",    "hash",   "lc",
						  "wlc", "source", "maglev", "p2c" };
	struct config_listen listens[2] = { { .protocol = IPPROTO_TCP },
					    { .protocol = IPPROTO_UDP } };
	struct config_service service = { .listens = listens };

	for (int i = 0; i < (int)COUNT(schedulers); i++) {
		assert_int_equal(scheduler_parse(schedulers[i]), i);
		assert_string_equal(scheduler_name((enum weir_scheduler)i), schedulers[i]);
	}
	for (int i = 0; i < (int)COUNT(schedulers); i++)
		assert_int_equal(scheduler_hashes((enum weir_scheduler)i),
				 i == WEIR_SCHEDULER_HASH || i == WEIR_SCHEDULER_SOURCE ||
					 i == WEIR_SCHEDULER_MAGLEV);
	assert_true(scheduler_parse("fastest") < 0);
	assert_true(scheduler_parse("") < 0);
	assert_null(scheduler_name((enum weir_scheduler)8));
	assert_int_equal(mode_parse("nat"), WEIR_MODE_NAT);
	assert_true(mode_parse("NAT") < 0);
	assert_int_equal(mode_parse("dsr"), WEIR_MODE_DSR);
	assert_int_equal(mode_parse("ipip"), WEIR_MODE_IPIP);
	assert_string_equal(mode_name(WEIR_MODE_NAT), "nat");
	assert_null(mode_name((enum weir_mode)(WEIR_MODE_IPIP + 1)));
	assert_string_equal(protocol_name(IPPROTO_TCP), "tcp");
	assert_string_equal(protocol_name(IPPROTO_UDP), "udp");
	assert_null(protocol_name(1));
	service.listen_count = 1;
	assert_string_equal(service_protocols(&service), "tcp");
	service.listen_count = 2;
	assert_string_equal(service_protocols(&service), "tcp,udp");
	listens[0].protocol = IPPROTO_UDP;
	assert_string_equal(service_protocols(&service), "udp");
}

static void test_no_memory(void **state)
{
	struct config *config = *state;

	for (unsigned int nth = 1;; nth++) {
		struct error error = { "" };
		int r;

		allocation_fail_at(nth);
		r = config_check(config, &error);
		if (!allocation_has_failed()) {
			assert_true(r == 0 && nth > 2);
			break;
		}
		assert_int_equal(r, -ENOMEM);
		assert_string_equal(error.text, "out of memory");
	}
	for (size_t i = 0; i < 3; i++) { /* 2 services stand there: the third needs room */
		allocation_fail_at(1);
		assert_null(config_add_service(config));
		assert_int_equal(config->service_count, 2);
	}
	allocation_fail_at(0);
	assert_accepted(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_free_leaves_it_initialised),
		cmocka_unit_test(test_arrays_grow),
		WITH_CONFIG(test_good_one_is_accepted),
		WITH_CONFIG(test_service_without_backends_is_accepted),
		WITH_CONFIG(test_limits_of_ranges_are_accepted),
		WITH_CONFIG(test_interfaces),
		WITH_CONFIG(test_limits),
		WITH_CONFIG(test_timeouts),
		WITH_CONFIG(test_snat),
		WITH_CONFIG(test_names),
		WITH_CONFIG(test_direct_modes),
		WITH_CONFIG(test_addresses),
		WITH_CONFIG(test_services),
		WITH_CONFIG(test_doubles),
		WITH_CONFIG(test_loops),
		WITH_CONFIG(test_many),
		WITH_CONFIG(test_too_many_backends),
		cmocka_unit_test(test_words),
		WITH_CONFIG(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
