// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *printed; /* NULL: refused */
		uint16_t port, last_port;
		uint8_t protocol;
	} rows[] = {
		{ "10.0.0.1:80", "10.0.0.1:80", 80, 0, 0 },
		{ "10.0.0.1:80/udp", "10.0.0.1:80", 80, 0, IPPROTO_UDP },
		{ "10.0.0.1:any", "10.0.0.1:any", 0, 65535, 0 },
		{ "10.0.0.1:any/tcp", "10.0.0.1:any", 0, 65535, IPPROTO_TCP },
		{ "10.0.0.1:5000-5999", "10.0.0.1:5000-5999", 5000, 5999, 0 },
		{ "10.0.0.1:1-65535/udp", "10.0.0.1:1-65535", 1, 65535, IPPROTO_UDP },
		{ "10.0.0.1:7-7", "10.0.0.1:7-7", 7, 7, 0 },
		{ "[2001:db8::1]:any", "[2001:db8::1]:any", 0, 65535, 0 },
		{ "[2001:db8::1]:10-20", "[2001:db8::1]:10-20", 10, 20, 0 },
		{ .text = "10.0.0.1" },
		{ .text = "10.0.0.1:0" },
		{ .text = "10.0.0.1:0-5" },
		{ .text = "10.0.0.1:9-5" },
		{ .text = "10.0.0.1:5-65536" },
		{ .text = "10.0.0.1:Any" },
		{ .text = "10.0.0.1:80/sctp" },
		{ .text = "10.0.0.1:any:80" },
		{ .text = "2001:db8::1:any" },
		{ .text = "2001:db8::1:80" },
		{ .text = "any" },
		{ .text = ":any" },
		{ .text = "10.0.0.1:"
			  "80111111111111111111111111111111111111111111111111111111111111" },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config_listen listen, before;
		char text[LISTEN_STRING_SIZE];
		int r;

		memset(&listen, 0xa5, sizeof(listen));
		before = listen;
		r = listen_parse(rows[i].text, &listen);
		if (r != (rows[i].printed ? 0 : -EINVAL))
			fail_msg("'%s': %d", rows[i].text, r);
		if (r < 0) {
			assert_memory_equal(&listen, &before, sizeof(before));
			continue;
		}
		assert_int_equal(listen.endpoint.port, rows[i].port);
		assert_int_equal(listen.last_port, rows[i].last_port);
		assert_int_equal(listen.protocol, rows[i].protocol);
		assert_int_equal(listen_is_wide(&listen), rows[i].last_port != 0);
		assert_int_equal(listen_is_any(&listen), !rows[i].port);
		assert_string_equal(listen_format(&listen, text), rows[i].printed);
	}
}

/* What a service serves on @listen without @except, as "1-21,23-65535". */
static void assert_ports(const char *listen, const struct config_ports *except, size_t count,
			 const char *expected)
{
	struct config_listen one;
	struct config_service service = {
		.listens = &one,
		.listen_count = 1,
		.except = (struct config_ports *)except,
		.except_count = count,
	};
	struct config_ports ports;
	char text[256] = "";
	uint32_t next = 0, all = 0;

	assert_int_equal(listen_parse(listen, &one), 0);
	while (listen_next_ports(&service, &one, &next, &ports)) {
		sprintf(text + strlen(text), "%s%u-%u", all ? "," : "", ports.first, ports.last);
		all += ports.last - ports.first + 1U;
	}
	assert_string_equal(text, expected);
	assert_int_equal(service_port_count(&service), all);
}

static void test_ports(void **state)
{
	static const struct config_ports ssh[] = { { 22, 22 } };
	static const struct config_ports mixed[] = {
		{ 80, 90 }, { 22, 22 }, { 85, 95 }, { 96, 96 }
	};
	static const struct config_ports ends[] = { { 65535, 65535 }, { 1, 1 } };
	static const struct config_ports all[] = { { 1, 40000 }, { 30000, 65535 } };

	assert_ports("10.0.0.1:80", NULL, 0, "80-80");
	assert_ports("10.0.0.1:80", mixed, COUNT(mixed), "80-80"); /* named one by one */
	assert_ports("10.0.0.1:any", NULL, 0, "1-65535");
	assert_ports("10.0.0.1:any", ssh, 1, "1-21,23-65535");
	assert_ports("10.0.0.1:any", mixed, COUNT(mixed), "1-21,23-79,97-65535");
	assert_ports("10.0.0.1:any", ends, COUNT(ends), "2-65534");
	assert_ports("10.0.0.1:any", all, COUNT(all), "");
	assert_ports("10.0.0.1:85-120", mixed, COUNT(mixed), "97-120");
	assert_ports("10.0.0.1:20-85", mixed, COUNT(mixed), "20-21,23-79");
	assert_ports("10.0.0.1:82-84", mixed, COUNT(mixed), "");
	assert_ports("10.0.0.1:100-100", mixed, COUNT(mixed), "100-100");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
