// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"

/* text, what it is printed as (NULL: refused) */
struct row {
	const char *text;
	const char *printed;
};

static void assert_endpoints(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct endpoint endpoint, before;
		char text[ENDPOINT_STRING_SIZE];
		int r;

		memset(&endpoint, 0xa5, sizeof(endpoint));
		before = endpoint;
		r = endpoint_parse(rows[i].text, &endpoint);
		if (r != (rows[i].printed ? 0 : -EINVAL))
			fail_msg("'%s': %d", rows[i].text, r);
		if (r < 0)
			assert_memory_equal(&endpoint, &before, sizeof(before));
		else
			assert_string_equal(endpoint_format(&endpoint, text), rows[i].printed);
	}
}

static void test_endpoints(void **state)
{
	static const struct row rows[] = {
		{ "10.0.0.1", "10.0.0.1" },
		{ "10.0.0.1:1", "10.0.0.1:1" },
		{ "255.255.255.255:65535", "255.255.255.255:65535" },
		{ "0.0.0.0:80", "0.0.0.0:80" },
		{ "2001:db8::10", "[2001:db8::10]" },
		{ "[2001:db8::10]", "[2001:db8::10]" },
		{ "[2001:db8::10]:8000", "[2001:db8::10]:8000" },
		{ "[2001:DB8:0:0::10]:8000", "[2001:db8::10]:8000" },
		{ "::", "[::]" },
		{ "[::]:1", "[::]:1" },
		{ "2001:db8::1:80", "[2001:db8::1:80]" },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
		{ "::ffff:10.0.0.1", "10.0.0.1" },
		{ "[::ffff:10.0.0.1]:53", "10.0.0.1:53" },
	};

	assert_endpoints(rows, COUNT(rows));
}

static void test_bad_endpoints(void **state)
{
	static const struct row rows[] = {
		{ "", NULL },
		{ ":", NULL },
		{ ":80", NULL },
		{ "10.0.0.1:", NULL },
		{ "10.0.0.1:0", NULL },
		{ "10.0.0.1:00", NULL },
		{ "10.0.0.1:080", NULL },
		{ "10.0.0.1:65536", NULL },
		{ "10.0.0.1:99999999999999999999", NULL },
		{ "10.0.0.1:+80", NULL },
		{ "10.0.0.1: 80", NULL },
		{ "10.0.0.1:80 ", NULL },
		{ "10.0.0.1:80/tcp", NULL },
		{ "10.0.0.1:http", NULL },
		{ "10.0.0.1:80:80", NULL },
		{ "10.0.0", NULL },
		{ "10.0.0.256", NULL },
		{ "10.0.0.01", NULL },
		{ " 10.0.0.1", NULL },
		{ "localhost:80", NULL },
		{ "[10.0.0.1]:80", NULL },
		{ "[2001:db8::10", NULL },
		{ "[2001:db8::10]8000", NULL },
		{ "[2001:db8::10]:", NULL },
		{ "[2001:db8::10]:0", NULL },
		{ "[]:80", NULL },
		{ "[", NULL },
		{ "]", NULL },
		{ "2001:db8::10]:80", NULL },
		{ "[fe80::1%eth0]:80", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "000000000000000000000000000000000000000000000000000000000000:1", NULL },
	};

	assert_endpoints(rows, COUNT(rows));
}

static void test_addresses(void **state)
{
	static const struct row rows[] = {
		{ "10.0.0.1", "10.0.0.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "::", "::" },
		{ "2001:db8::10", "2001:db8::10" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "10.0.0.1:80", NULL },
		{ "[::1]", NULL },
		{ "", NULL },
		{ "10.0.0", NULL },
		{ "10.0.0.1/24", NULL },
		{ "x", NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct weir_address address, before;
		char text[ENDPOINT_STRING_SIZE];
		int r;

		memset(&address, 0xa5, sizeof(address));
		before = address;
		r = address_parse(rows[i].text, &address);
		if (r != (rows[i].printed ? 0 : -EINVAL))
			fail_msg("'%s': %d", rows[i].text, r);
		if (r < 0)
			assert_memory_equal(&address, &before, sizeof(before));
		else
			assert_string_equal(address_format(&address, text), rows[i].printed);
	}
}

static void test_v4_is_mapped(void **state)
{
	static const uint8_t wire[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, 168, 178, 10 };
	struct weir_address address = address_from_v4(inet_addr("192.168.178.10"));

	assert_memory_equal(&address, wire, sizeof(wire));
	assert_int_equal(address_to_v4(&address), inet_addr("192.168.178.10"));
	assert_true(address_is_v4(&address));
	for (size_t i = 0; i < 12; i++) { /* any other prefix is not IPv4 */
		struct weir_address other = address;

		((uint8_t *)&other)[i] ^= 1;
		assert_false(address_is_v4(&other));
	}
}

static void test_zero_and_equal(void **state)
{
	struct weir_address zero = { 0 }, v4_zero = address_from_v4(0);

	assert_true(address_is_zero(&zero));
	assert_false(address_is_zero(&v4_zero));
	assert_true(address_equal(&v4_zero, &v4_zero));
	for (size_t i = 0; i < sizeof(zero); i++) {
		struct weir_address other = { 0 };

		((uint8_t *)&other)[i] = 1;
		assert_false(address_is_zero(&other));
		assert_false(address_equal(&zero, &other));
	}
}

static void test_families(void **state)
{
	static const struct {
		const char *text, *family;
		bool link_local;
	} rows[] = {
		{ "10.0.0.1", "IPv4", false }, { "169.254.1.1", "IPv4", false }, /* no IPv6 one */
		{ "fe80::1", "IPv6", true },   { "febf:ffff::", "IPv6", true },
		{ "fec0::1", "IPv6", false },  { "fe7f:ffff::1", "IPv6", false },
		{ "fd00::1", "IPv6", false },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct weir_address address;

		assert_int_equal(address_parse(rows[i].text, &address), 0);
		assert_string_equal(address_family_name(&address), rows[i].family);
		assert_int_equal(address_is_link_local(&address), rows[i].link_local);
	}
}

/* Of a backend: a port or "any" must be given. */
static void test_endpoints_with_any(void **state)
{
	static const struct row rows[] = {
		{ "10.0.0.1:any", "10.0.0.1:any" },
		{ "10.0.0.1:80", "10.0.0.1:80" },
		{ "[2001:db8::1]:any", "[2001:db8::1]:any" },
		{ "[2001:db8::1]:80", "[2001:db8::1]:80" },
		{ "10.0.0.1", NULL },
		{ "2001:db8::1", NULL },
		{ "10.0.0.1:", NULL },
		{ "10.0.0.1:0", NULL },
		{ "10.0.0.1:anyx", NULL },
		{ "10.0.0.1:an", NULL },
		{ ":any", NULL },
		{ "any", NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct endpoint endpoint;
		char text[ENDPOINT_STRING_SIZE];
		const int r = endpoint_parse_any(rows[i].text, &endpoint);

		if (r != (rows[i].printed ? 0 : -EINVAL))
			fail_msg("'%s': %d", rows[i].text, r);
		if (r == 0)
			assert_string_equal(endpoint_format_any(&endpoint, text), rows[i].printed);
	}
	assert_int_equal(endpoint_parse("10.0.0.1:any", &(struct endpoint){ 0 }), -EINVAL);
}

static void test_from_socket(void **state)
{
	const struct sockaddr_in v4 = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(0x0a000001) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	const struct sockaddr other = { .sa_family = AF_UNIX };
	struct weir_address address, before;
	char text[ENDPOINT_STRING_SIZE];

	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
	assert_true(address_from_socket((const struct sockaddr *)&v4, &address));
	assert_string_equal(address_format(&address, text), "10.0.0.1");
	assert_true(address_from_socket((const struct sockaddr *)&v6, &address));
	assert_string_equal(address_format(&address, text), "2001:db8::1");
	before = address;
	assert_false(address_from_socket(&other, &address));
	assert_true(address_equal(&address, &before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints_with_any), cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_bad_endpoints),      cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_v4_is_mapped),       cmocka_unit_test(test_zero_and_equal),
		cmocka_unit_test(test_families),           cmocka_unit_test(test_from_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
