// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "bpf/checksum.h"

#include "tests/packet/frame.h"
#include "tests/unit/unit.h"

static const uint16_t edges[] = { 0,     1,      2,      0x7f,   0x80,   0xff,
				  0x100, 0x7fff, 0x8000, 0xff00, 0xfffe, 0xffff };

static const uint32_t address_edges[] = {
	0,          1,          0xffff,     0x10000,    0x7fffffff,
	0x80000000, 0xfffe0001, 0xffff0000, 0xfffffffe, 0xffffffff,
};

static void fold(void **state)
{
	const struct {
		uint64_t sum;
		uint16_t folded;
	} rows[] = {
		{ 0, 0 },
		{ 1, 1 },
		{ 0xffff, 0xffff },
		{ 0x10000, 1 },
		{ 0x1fffe, 0xffff },
		{ 0x1ffff, 1 },
		{ 0xffffffff, 0xffff },
		{ 0x100000000, 1 },
		{ 0xfffeffff, 0xfffe },
		{ 0xffffffffffffffff, 0xffff },
		{ 0xffffffff00000000, 0xffff },
		{ 0x0001000100010001, 4 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(checksum_fold(rows[i].sum), rows[i].folded);
}

/* The sum of a buffer in which the 16-bit word @from has become @to, for every checksum there is. */
static void apply_is_exact(void **state)
{
	uint8_t words[6] = { 0 };

	for (uint32_t other = 0; other <= 0xffff; other++)
		for (size_t i = 0; i < COUNT(edges); i++) {
			uint16_t from = edges[i], to = edges[(i * 5 + 3) % COUNT(edges)];
			uint16_t before, after, delta;

			put16(words, 0x4500); /* never all zero, like any header */
			put16(words + 2, (uint16_t)other);
			put16(words + 4, from);
			before = slow_checksum(words, sizeof(words));
			put16(words + 4, to);
			after = slow_checksum(words, sizeof(words));
			delta = checksum_fold((uint64_t)(uint16_t)~htons(from) + htons(to));
			assert_int_equal(checksum_apply(htons(before), delta), htons(after));
			assert_int_equal(checksum_apply(htons(after), checksum_negate(delta)),
					 htons(before));
		}
}

static void udp_zero(void **state)
{
	for (uint32_t delta = 0; delta <= 0xffff; delta++) {
		assert_int_equal(checksum_apply_udp(0, (uint16_t)delta), 0);
		for (uint32_t checksum = 1; checksum <= 0xffff; checksum += 257)
			assert_int_not_equal(
				checksum_apply_udp((uint16_t)checksum, (uint16_t)delta), 0);
		/* The one delta that makes a 0: from checksum c, ~c + delta = 0xffff. */
		if (delta)
			assert_int_equal(checksum_apply_udp((uint16_t)delta, (uint16_t)delta),
					 0xffff);
	}
}

static struct weir_address mapped(uint32_t address)
{
	return (struct weir_address){ { 0, 0, htonl(0xffff), htonl(address) } };
}

/* A pseudo header and ports, as a packet from the client has them, and as the backend gets them. */
static uint16_t checksum_of(uint32_t source, uint32_t destination, uint16_t source_port,
			    uint16_t destination_port)
{
	uint8_t bytes[14] = { 0x12, 0x34 };

	put32(bytes + 2, source);
	put32(bytes + 6, destination);
	put16(bytes + 10, source_port);
	put16(bytes + 12, destination_port);
	return htons(slow_checksum(bytes, sizeof(bytes)));
}

static void deltas_of_both_ways(void **state)
{
	for (size_t i = 0; i < COUNT(address_edges); i++)
		for (size_t j = 0; j < COUNT(address_edges); j++)
			for (size_t k = 0; k < COUNT(edges); k++) {
				uint32_t client = address_edges[i], backend = address_edges[j];
				uint32_t service = 0xc0a8b20a, snat = client ^ backend ^ 0x5a5a;
				uint16_t own = edges[k], port = edges[(k + 7) % COUNT(edges)];
				struct weir_tuple a = { .source = mapped(client),
							.destination = mapped(service) };
				struct weir_tuple b = { .source = mapped(backend),
							.destination = mapped(snat) };
				struct weir_ports from = { htons(own), htons(8000) };
				struct weir_ports to = { htons(80), htons(port) };
				uint16_t before = checksum_of(client, service, own, 8000);
				uint16_t after = checksum_of(snat, backend, port, 80);
				uint16_t forth = checksum_add(checksum_address_delta(&a, &b),
							      checksum_port_delta(&from, &to));
				uint16_t back = checksum_add(
					checksum_negate(checksum_address_delta(&a, &b)),
					checksum_port_delta(&to, &from));

				assert_int_equal(checksum_apply(before, forth), after);
				before = checksum_of(backend, snat, 80, port);
				after = checksum_of(service, client, 8000, own);
				assert_int_equal(checksum_apply(before, back), after);
			}
}

static void ttl(void **state)
{
	for (uint32_t rest = 0; rest <= 0xffff; rest++)
		for (unsigned int time = 1; time <= 255; time += 127) {
			uint8_t words[4];
			uint16_t before;

			put16(words, (uint16_t)rest);
			words[2] = (uint8_t)time;
			words[3] = 6;
			before = htons(slow_checksum(words, sizeof(words)));
			words[2]--;
			assert_int_equal(checksum_apply(before, checksum_ttl_delta()),
					 htons(slow_checksum(words, sizeof(words))));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fold),     cmocka_unit_test(apply_is_exact),
		cmocka_unit_test(udp_zero), cmocka_unit_test(deltas_of_both_ways),
		cmocka_unit_test(ttl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
