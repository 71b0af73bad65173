// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/reset_frame.h"

#include <arpa/inet.h>

#include "src/base/address.h"

#include "tests/unit/unit.h"

/* Built by another program. */
static const uint8_t expected[54] = {
	0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x08, 0x00,
	0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0xbe, 0x09, 0xc0, 0xa8,
	0xb2, 0x0a, 0x0a, 0x00, 0x00, 0x14, 0x1f, 0x40, 0x9c, 0x41, 0xff, 0xfe, 0xfd, 0xfc,
	0x01, 0x02, 0x03, 0x04, 0x50, 0x14, 0x00, 0x00, 0x75, 0x86, 0x00, 0x00,
};

static void test_bytes(void **state)
{
	struct reset_frame reset = {
		.destination_mac = { 2, 3, 4, 5, 6, 7 },
		.source_mac = { 10, 11, 12, 13, 14, 15 },
		.tuple = { .source = address_from_v4(htonl(0xc0a8b20a)),
			   .destination = address_from_v4(htonl(0x0a000014)),
			   .source_port = htons(8000),
			   .destination_port = htons(40001) },
		.sequence = 0xfffefdfc,
		.acknowledgement = 0x01020304,
	};
	uint8_t frame[RESET_FRAME_MOST];

	assert_int_equal(reset_frame_build(&reset, frame), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
	reset.vlan = 7;
	assert_int_equal(reset_frame_build(&reset, frame), sizeof(expected) + 4);
	assert_memory_equal(frame, expected, 12);
	assert_memory_equal(frame + 12, "\x81\x00\x00\x07", 4);
	assert_memory_equal(frame + 16, expected + 12, sizeof(expected) - 12);
}

/* A receiver's sum over all that the checksum covers, and the checksum, is 0xffff. */
static uint32_t sum(uint32_t start, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 2) {
		start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
		start = (start & 0xffff) + (start >> 16);
	}
	return start;
}

static void test_checksums(void **state)
{
	uint8_t frame[RESET_FRAME_MOST];

	for (uint32_t i = 0; i < 200000; i++) {
		struct reset_frame reset = {
			.tuple = { .source = address_from_v4(i * 2654435761u),
				   .destination = address_from_v4(i * 40503u + 77),
				   .source_port = (uint16_t)i,
				   .destination_port = (uint16_t)~i },
			.sequence = i * 16777619u,
			.acknowledgement = ~(i * 97u),
		};

		assert_int_equal(reset_frame_build(&reset, frame), 54);
		assert_int_equal(sum(0, frame + 14, 20), 0xffff);
		assert_int_equal(sum(6 + 20, frame + 26, 28), 0xffff);
	}
}

static void test_ipv6(void **state)
{
	uint8_t frame[RESET_FRAME_MOST];

	for (uint32_t i = 0; i < 200000; i++) {
		struct reset_frame reset = {
			.tuple = { .source = { { i, i * 3, i * 5, i * 2654435761u } },
				   .destination = { { i * 7, i * 11, 13, i * 40503u } },
				   .source_port = (uint16_t)i,
				   .destination_port = (uint16_t)~i,
				   .family = WEIR_IPV6 },
			.sequence = i * 16777619u,
		};

		assert_int_equal(reset_frame_build(&reset, frame), 74);
		assert_int_equal(sum(6 + 20, frame + 22, 52), 0xffff);
	}
	assert_int_equal(frame[12] << 8 | frame[13], 0x86dd);
	assert_int_equal(frame[14], 0x60);
	assert_int_equal(frame[18] << 8 | frame[19], 20); /* payload length */
	assert_int_equal(frame[20], 6);
}

static void test_sides(void **state)
{
	const struct flow_record flow = {
		.client = { .source = address_from_v4(1),
			    .destination = address_from_v4(2),
			    .source_port = 3,
			    .destination_port = 4 },
		.backend = { .source = address_from_v4(5),
			     .destination = address_from_v4(6),
			     .source_port = 7,
			     .destination_port = 8 },
		.flow.client_ack = 9,
		.flow.backend_ack = 10,
	};
	struct reset_frame reset;

	reset_frame_of(&flow, WEIR_FROM_CLIENT, &reset);
	assert_int_equal(address_to_v4(&reset.tuple.source), 2);
	assert_int_equal(address_to_v4(&reset.tuple.destination), 1);
	assert_int_equal(reset.tuple.source_port, 4);
	assert_int_equal(reset.tuple.destination_port, 3);
	assert_int_equal(reset.sequence, 9);
	assert_int_equal(reset.acknowledgement, 10);
	reset_frame_of(&flow, WEIR_FROM_BACKEND, &reset);
	assert_int_equal(address_to_v4(&reset.tuple.source), 6);
	assert_int_equal(address_to_v4(&reset.tuple.destination), 5);
	assert_int_equal(reset.tuple.source_port, 8);
	assert_int_equal(reset.tuple.destination_port, 7);
	assert_int_equal(reset.sequence, 10);
	assert_int_equal(reset.acknowledgement, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
