// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/packet.h"

#include "tests/packet/frame.h"
#include "tests/unit/unit.h"

#define SOURCE IP4(10, 0, 0, 20)
#define DESTINATION IP4(192, 168, 178, 10)

/* Parses a copy that ends where its memory ends, and whose IP header is aligned as in a driver. */
static enum weir_reason parse(const uint8_t *bytes, size_t length, struct packet *packet)
{
	uint8_t *memory = malloc(length + 2);
	enum weir_reason reason;

	assert_non_null(memory);
	memcpy(memory + 2, bytes, length);
	memset(packet, 0xee, sizeof(*packet));
	reason = packet_parse(memory + 2, memory + 2 + length, (uint32_t)length, packet);
	assert_memory_equal(memory + 2, bytes, length);
	free(memory);
	return reason;
}

static struct segment tcp_example(void)
{
	struct segment segment = tcp_segment(SOURCE, 40000, DESTINATION, 8000, ACK | PSH);

	segment.sequence = 0xfffffff0;
	segment.acknowledgement = 0x87654321;
	segment.ttl = 7;
	segment.payload = 100;
	segment.tcp_options_length = 12;
	segment.options_length = 8;
	segment.padding = 5;
	return segment;
}

static void tcp_fields(void **state)
{
	struct segment segment = tcp_example();
	struct frame frame = frame_of(&segment);
	struct packet packet;

	assert_int_equal(parse(frame.bytes, frame.length, &packet), WEIR_GO_ON);
	assert_int_equal(packet.tuple.source.word[3], htonl(SOURCE));
	assert_int_equal(packet.tuple.destination.word[3], htonl(DESTINATION));
	assert_int_equal(packet.tuple.source_port, htons(40000));
	assert_int_equal(packet.tuple.destination_port, htons(8000));
	assert_int_equal(packet.tuple.protocol, PROTOCOL_TCP);
	assert_int_equal(packet.tuple.family, WEIR_IPV4);
	assert_memory_equal(packet.tuple.zero, "\0\0", 2);
	assert_int_equal(packet.l4_offset, 14 + 28);
	assert_int_equal(packet.frame_length, frame.length);
	assert_int_equal(packet.ttl, 7);
	assert_int_equal(packet.tcp_flags, ACK | PSH);
	assert_int_equal(packet.has_ports, 1);
	assert_int_equal(packet.sequence, 0xfffffff0);
	assert_int_equal(packet.sequence_end, 0xfffffff0 + 100);
	assert_int_equal(packet.acknowledgement, 0x87654321);
	assert_int_equal(packet.egress, 0);
}

static void syn_and_fin_count(void **state)
{
	struct segment segment = tcp_example();
	struct frame frame;
	struct packet packet;

	for (unsigned int flags = 0; flags <= 0xff; flags++) {
		segment.flags = (uint8_t)flags;
		frame = frame_of(&segment);
		assert_int_equal(parse(frame.bytes, frame.length, &packet), WEIR_GO_ON);
		assert_int_equal(packet.tcp_flags, flags);
		assert_int_equal(packet.sequence_end - packet.sequence,
				 100 + !!(flags & SYN) + !!(flags & FIN));
		assert_int_equal(packet_opens(&packet),
				 (flags & SYN) && !(flags & (ACK | RST | FIN)));
	}
}

static void udp_fields(void **state)
{
	struct segment segment = udp_datagram(SOURCE, 1, DESTINATION, 65535, 0);
	struct frame frame = frame_of(&segment);
	struct packet packet;

	assert_int_equal(parse(frame.bytes, frame.length, &packet), WEIR_GO_ON);
	assert_int_equal(packet.tuple.protocol, PROTOCOL_UDP);
	assert_int_equal(packet.tuple.source_port, htons(1));
	assert_int_equal(packet.tuple.destination_port, htons(65535));
	assert_int_equal(packet.l4_offset, 34);
	assert_int_equal(packet.tcp_flags, 0);
	assert_true(packet_opens(&packet));
	put16(frame.bytes + 34 + 4, 8); /* shorter than the packet: allowed */
	segment.payload = 10;
	frame = frame_of(&segment);
	put16(frame.bytes + 34 + 4, 9);
	assert_int_equal(parse(frame.bytes, frame.length, &packet), WEIR_GO_ON);
}

/* Each prefix of a frame: what is cut off is malformed, and nothing beyond the end is read. */
static void every_prefix(void **state)
{
	struct segment segment = tcp_example();
	struct frame frame;
	struct packet packet;

	segment.padding = 0;
	frame = frame_of(&segment);
	for (size_t length = 0; length < frame.length; length++) {
		enum weir_reason reason = parse(frame.bytes, length, &packet);

		if (length < 14)
			assert_int_equal(reason, WEIR_REASON_NOT_IP);
		else if (length < 34)
			assert_int_equal(reason, WEIR_REASON_NOT_OURS_MALFORMED);
		else
			assert_int_equal(reason, WEIR_REASON_MALFORMED_IP);
		assert_int_equal(packet.has_ports, 0);
	}
}

/* The same, with an IP length that agrees. */
static void every_ip_length(void **state)
{
	struct segment tcp = tcp_segment(SOURCE, 40000, DESTINATION, 8000, SYN);
	struct segment udp = udp_datagram(SOURCE, 40000, DESTINATION, 53, 12);
	struct frame frames[2] = { frame_of(&tcp), frame_of(&udp) };
	const enum weir_reason malformed[2] = { WEIR_REASON_MALFORMED_TCP,
						WEIR_REASON_MALFORMED_UDP };
	struct packet packet;

	for (size_t i = 0; i < 2; i++)
		for (size_t l4 = 0; l4 < 20; l4++) {
			put16(frames[i].bytes + 16, (uint16_t)(20 + l4));
			assert_int_equal(parse(frames[i].bytes, 34 + l4, &packet), malformed[i]);
			assert_int_equal(packet.has_ports, l4 >= 4);
			assert_int_equal(packet.tuple.destination.word[3], htonl(DESTINATION));
			if (l4 < 4)
				assert_int_equal(packet.tuple.destination_port, 0);
		}
}

static void header_lengths(void **state)
{
	struct segment segment = tcp_example();
	struct frame frame = frame_of(&segment);
	struct packet packet;

	for (unsigned int ihl = 0; ihl < 16; ihl++) {
		frame.bytes[14] = (uint8_t)(4 << 4 | ihl);
		if (ihl < 5)
			assert_int_equal(parse(frame.bytes, frame.length, &packet),
					 WEIR_REASON_MALFORMED_IP);
		else
			parse(frame.bytes, frame.length, &packet);
	}
	frame = frame_of(&segment);
	for (unsigned int doff = 0; doff < 5; doff++) {
		frame.bytes[14 + 28 + 12] = (uint8_t)(doff << 4);
		assert_int_equal(parse(frame.bytes, frame.length, &packet),
				 WEIR_REASON_MALFORMED_TCP);
	}
}

static void fragments(void **state)
{
	struct segment segment = tcp_example();
	struct frame frame;
	struct packet packet;

	for (uint32_t field = 0; field <= 0xffff; field++) {
		segment.fragment = (uint16_t)field;
		if (field > 0x2010 && field < 0xdff0 && field % 97)
			continue;
		frame = frame_of(&segment);
		assert_int_equal(parse(frame.bytes, frame.length, &packet),
				 field & 0x1fff ? WEIR_REASON_FRAGMENT : WEIR_GO_ON);
		assert_int_equal(packet.first_fragment, (field & 0x3fff) == 0x2000);
	}
}

/* What the rest of the datapath relies on when a packet goes on. */
static void check_promises(const struct packet *packet, const struct frame *frame)
{
	size_t least = packet->tuple.protocol == PROTOCOL_TCP ? 20 : 8;

	assert_true(packet->has_ports);
	assert_true(packet->l4_offset >= 34 && packet->l4_offset <= 74);
	assert_int_equal(packet->l4_offset & L4_OFFSET_MASK, packet->l4_offset);
	assert_true(packet->l4_offset + least <= frame->length);
	assert_int_equal(packet->frame_length, frame->length);
	assert_true(packet->tuple.protocol == PROTOCOL_TCP ||
		    packet->tuple.protocol == PROTOCOL_UDP);
}

/* Every value of every byte of the headers. */
static void every_byte(void **state)
{
	struct segment examples[2] = { tcp_example(), udp_datagram(SOURCE, 1, DESTINATION, 53, 9) };

	for (size_t i = 0; i < 2; i++) {
		struct frame good = frame_of(&examples[i]), frame;
		struct packet packet;

		for (size_t at = 0; at < good.length && at < 80; at++)
			for (unsigned int value = 0; value <= 255; value++) {
				frame = good;
				frame.bytes[at] = (uint8_t)value;
				if (parse(frame.bytes, frame.length, &packet) == WEIR_GO_ON)
					check_promises(&packet, &frame);
			}
	}
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Several bytes at once, and another length. */
static void random_changes(void **state)
{
	struct segment example = tcp_example();
	struct frame good = frame_of(&example), frame;
	struct packet packet;
	uint32_t seed = 42;

	for (int i = 0; i < 200000; i++) {
		frame = good;
		for (uint32_t n = next_random(&seed) % 4; n > 0; n--)
			frame.bytes[12 + next_random(&seed) % 70] = (uint8_t)next_random(&seed);
		if (next_random(&seed) % 2)
			frame.length = next_random(&seed) % (frame.length + 1);
		if (parse(frame.bytes, frame.length, &packet) == WEIR_GO_ON)
			check_promises(&packet, &frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_fields),      cmocka_unit_test(syn_and_fin_count),
		cmocka_unit_test(udp_fields),      cmocka_unit_test(every_prefix),
		cmocka_unit_test(every_ip_length), cmocka_unit_test(header_lengths),
		cmocka_unit_test(fragments),       cmocka_unit_test(every_byte),
		cmocka_unit_test(random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
