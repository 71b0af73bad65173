// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "src/base/address.h"
#include "src/datapath/decap.h"

#include "tests/packet/harness.h"

/* What `weir decap` does on a backend, byte by byte, for either family in either. */

enum { V4_HEADER = 20, V6_HEADER = 40, TAG = 4 };
enum { IPIP = 4, IPV6 = 41 };
enum { INCAPABLE, CAPABLE_1, CAPABLE_0, CONGESTED };

#define TAGS_MOST 2

static const uint8_t backend_v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 0x11 };
static const uint8_t client_v6[16] = { 0x20, 0x01, 0x0d, 0xb8, 0xff, [15] = 0x20 };

/* How a packet is wrapped up. */
struct way {
	int outer, inner; /* 4 or 6 */
	size_t tags;
};

static int setup(void **state)
{
	struct weir_address addresses[3] = { address_from_v4(htonl(BACKEND_1)),
					     address_from_v4(htonl(BACKEND_2)) };
	struct error error;

	memcpy(&addresses[2], backend_v6, sizeof(backend_v6));
	assert_int_equal(decap_open(addresses, 3, (struct decap **)state, &error), 0);
	return 0;
}

static int teardown(void **state)
{
	decap_close(*state);
	return 0;
}

static struct frame inner_v4(uint8_t tos)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 8000, ACK);

	segment.tos = tos;
	segment.payload = 33;
	segment.to = mac_of(BACKEND_1);
	segment.from = mac_of(WEIR);
	return frame_of(&segment);
}

static void put_v6_header(uint8_t *ip, uint8_t class, size_t payload, uint8_t next,
			  const uint8_t source[16], const uint8_t destination[16])
{
	memset(ip, 0, V6_HEADER);
	ip[0] = (uint8_t)(0x60 | class >> 4);
	ip[1] = (uint8_t)(class << 4 | 0x0a);
	ip[2] = 0xbc;
	ip[3] = 0xde;
	put16(ip + 4, (uint16_t)payload);
	ip[6] = next;
	ip[7] = 64;
	memcpy(ip + 8, source, 16);
	memcpy(ip + 24, destination, 16);
}

/* What stands behind the header is nobody's business here. */
static struct frame inner_v6(uint8_t class)
{
	struct frame frame = inner_v4(0);
	const size_t payload = frame.length - ETHERNET_LENGTH - V4_HEADER;
	uint8_t *ip = frame.bytes + ETHERNET_LENGTH;

	memmove(ip + V6_HEADER, ip + V4_HEADER, payload);
	put_v6_header(ip, class, payload, PROTOCOL_TCP, client_v6, client_v6);
	put16(frame.bytes + 12, 0x86dd);
	frame.length += V6_HEADER - V4_HEADER;
	return frame;
}

static struct frame inner_of(int family, uint8_t tos)
{
	return family == 4 ? inner_v4(tos) : inner_v6(tos);
}

static void put_v4_header(uint8_t *ip, uint8_t tos, size_t payload, uint8_t protocol,
			  uint32_t destination)
{
	memset(ip, 0, V4_HEADER);
	ip[0] = 0x45;
	ip[1] = tos;
	put16(ip + 2, (uint16_t)(V4_HEADER + payload));
	ip[8] = 64;
	ip[9] = protocol;
	put32(ip + 12, WEIR);
	put32(ip + 16, destination);
	put16(ip + 10, slow_checksum(ip, V4_HEADER));
}

/* Puts @tags tags between Ethernet and IP. */
static struct frame tagged(const struct frame *in, size_t tags)
{
	static const uint16_t types[] = { 0x88a8, 0x8100 };
	struct frame out = *in;
	uint8_t *at = out.bytes + ETHERNET_LENGTH - 2;
	uint16_t type = get16(at);

	for (size_t i = 0; i < tags; i++, at += TAG) {
		put16(at, types[i + TAGS_MOST - tags]);
		put16(at + 2, (uint16_t)(0x6005 + i));
	}
	put16(at, type);
	memcpy(at + 2, in->bytes + ETHERNET_LENGTH, in->length - ETHERNET_LENGTH);
	out.length += tags * TAG;
	return out;
}

/* @inner without tags, in an outer header to the first backend. */
static struct frame wrap(const struct frame *inner, const struct way *way, uint8_t tos)
{
	const size_t size = way->outer == 4 ? V4_HEADER : V6_HEADER;
	const size_t payload = inner->length - ETHERNET_LENGTH;
	const uint8_t protocol = way->inner == 4 ? IPIP : IPV6;
	uint8_t *ip;
	struct frame out = *inner;

	ip = out.bytes + ETHERNET_LENGTH;
	out.length += size;
	memcpy(ip + size, inner->bytes + ETHERNET_LENGTH, payload);
	put16(out.bytes + 12, way->outer == 4 ? 0x0800 : 0x86dd);
	if (way->outer == 4)
		put_v4_header(ip, tos, payload, protocol, BACKEND_1);
	else
		put_v6_header(ip, tos, payload, protocol, client_v6, backend_v6);
	return tagged(&out, way->tags);
}

/* @out NULL: passed as it is. */
static void assert_run(void **state, const struct frame *in, uint32_t verdict,
		       const struct frame *out)
{
	struct frame got;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->length, .data_out = got.bytes,
		    .data_size_out = sizeof(got.bytes), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(decap_fd(*state), &options), 0);
	assert_int_equal(options.retval, verdict);
	if (!out)
		out = in;
	assert_int_equal(options.data_size_out, out->length);
	assert_memory_equal(got.bytes, out->bytes, out->length);
}

/* Every family in every other, with every number of tags. */
static void for_all_ways(void **state, void (*run)(void **state, const struct way *way))
{
	for (int outer = 4; outer <= 6; outer += 2)
		for (int inner = 4; inner <= 6; inner += 2)
			for (size_t tags = 0; tags <= TAGS_MOST; tags++)
				run(state, &(struct way){ outer, inner, tags });
}

static void take_off(void **state, const struct way *way)
{
	struct frame inner = inner_of(way->inner, 0xb8), in = wrap(&inner, way, 0xb8);
	struct frame out = tagged(&inner, way->tags);

	assert_run(state, &in, XDP_PASS, &out);
	/* What the wire pads goes on behind it. */
	memset(in.bytes + in.length, 0xa5, 7);
	memset(out.bytes + out.length, 0xa5, 7);
	in.length += 7;
	out.length += 7;
	assert_run(state, &in, XDP_PASS, &out);
}

static void takes_the_outer_header_off(void **state)
{
	struct way way = { 4, 4, 0 };
	struct frame inner = inner_v4(0), second = wrap(&inner, &way, 0);

	for_all_ways(state, take_off);
	put32(second.bytes + ETHERNET_LENGTH + 16, BACKEND_2);
	ip_checksum_again(&second);
	assert_run(state, &second, XDP_PASS, &inner);
}

/* More than a page: what is behind the first one lies in fragments. */
static void takes_it_off_large_packets(void **state)
{
	enum { LENGTH = 8900 }; /* of the inner packet */
	static uint8_t in[ETHERNET_LENGTH + V4_HEADER + LENGTH], got[sizeof(in)];
	const struct way way = { 4, 4, 0 };
	struct frame inner = inner_v4(0), out;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in, .data_size_in = sizeof(in),
		    .data_out = got, .data_size_out = sizeof(got), .repeat = 1);

	put16(inner.bytes + ETHERNET_LENGTH + 2, LENGTH);
	out = wrap(&inner, &way, 0);
	put16(out.bytes + ETHERNET_LENGTH + 2, V4_HEADER + LENGTH);
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (uint8_t)(i * 7 >> 3);
	memcpy(in, out.bytes, out.length);
	assert_int_equal(bpf_prog_test_run_opts(decap_fd(*state), &options), 0);
	assert_int_equal(options.retval, XDP_PASS);
	assert_int_equal(options.data_size_out, sizeof(in) - V4_HEADER);
	assert_memory_equal(got, inner.bytes, inner.length);
	assert_memory_equal(got + ETHERNET_LENGTH, in + ETHERNET_LENGTH + V4_HEADER, LENGTH);
}

/* RFC 6040 4.2: rows are of the inner packet, columns of the outer one; -1: dropped. */
static void congestion(void **state, const struct way *way)
{
	static const int expected[4][4] = {
		[INCAPABLE] = { INCAPABLE, INCAPABLE, INCAPABLE, -1 },
		[CAPABLE_1] = { CAPABLE_1, CAPABLE_1, CAPABLE_1, CONGESTED },
		[CAPABLE_0] = { CAPABLE_0, CAPABLE_1, CAPABLE_0, CONGESTED },
		[CONGESTED] = { CONGESTED, CONGESTED, CONGESTED, CONGESTED },
	};

	for (uint8_t inner = 0; inner < 4; inner++)
		for (uint8_t outer = 0; outer < 4; outer++) {
			struct frame before = inner_of(way->inner, 0xb8 | inner);
			struct frame in = wrap(&before, way, 0x48 | outer), out;

			if (expected[inner][outer] < 0) {
				assert_run(state, &in, XDP_DROP, NULL);
				continue;
			}
			out = inner_of(way->inner, (uint8_t)(0xb8 | expected[inner][outer]));
			out = tagged(&out, way->tags);
			assert_run(state, &in, XDP_PASS, &out);
		}
}

static void takes_congestion_over(void **state)
{
	for_all_ways(state, congestion);
}

struct change {
	size_t at; /* from the header on */
	uint8_t value;
};

static const struct change outer_v4_changes[] = {
	{ 0, 0x65 }, /* version */
	{ 0, 0x46 }, /* options */
	{ 0, 0x44 }, /* header too short */
	{ 3, 60 },   /* shorter than the inner packet */
	{ 3, 10 },   /* shorter than its own header */
	{ 2, 0x02 }, /* longer than the frame */
	{ 6, 0x20 }, /* fragment */
	{ 7, 0x01 }, /* a later one */
	{ 9, 17 },   /* no tunnel */
	{ 19, 0x63 } /* to somebody else */
};

static const struct change outer_v6_changes[] = {
	{ 0, 0x45 }, /* version */
	{ 5, 60 },   /* shorter than the inner packet */
	{ 5, 0 },    /* nothing in it */
	{ 4, 0x02 }, /* longer than the frame */
	{ 6, 60 },   /* destination options */
	{ 6, 44 },   /* fragment */
	{ 6, 17 },   /* no tunnel */
	{ 39, 0x12 } /* to somebody else */
};

static const struct change inner_v4_changes[] = {
	{ 0, 0x65 }, /* version */
	{ 0, 0x44 }, /* header too short */
	{ 3, 19 },   /* shorter than its header */
	{ 2, 0x01 }, /* beyond the outer packet */
};

static const struct change inner_v6_changes[] = {
	{ 0, 0x45 }, /* version */
	{ 4, 0x01 }, /* beyond the outer packet */
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void assert_left_alone(void **state, const struct way *way, size_t header,
			      const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct frame inner = inner_of(way->inner, 0), in = wrap(&inner, way, CONGESTED);

		in.bytes[header + changes[i].at] = changes[i].value;
		assert_run(state, &in, XDP_PASS, NULL);
	}
}

static void leave_alone(void **state, const struct way *way)
{
	const size_t outer = ETHERNET_LENGTH + way->tags * TAG;
	const size_t inner = outer + (way->outer == 4 ? V4_HEADER : V6_HEADER);
	const size_t end = inner + (way->inner == 4 ? V4_HEADER : V6_HEADER);
	struct frame packet = inner_of(way->inner, 0);

	if (way->outer == 4)
		assert_left_alone(state, way, outer, outer_v4_changes, COUNT(outer_v4_changes));
	else
		assert_left_alone(state, way, outer, outer_v6_changes, COUNT(outer_v6_changes));
	if (way->inner == 4)
		assert_left_alone(state, way, inner, inner_v4_changes, COUNT(inner_v4_changes));
	else
		assert_left_alone(state, way, inner, inner_v6_changes, COUNT(inner_v6_changes));
	for (size_t length = ETHERNET_LENGTH; length < end; length++) {
		struct frame in = wrap(&packet, way, 0);

		in.length = length;
		assert_run(state, &in, XDP_PASS, NULL);
	}
	/* Not wrapped up at all. */
	packet = tagged(&packet, way->tags);
	assert_run(state, &packet, XDP_PASS, NULL);
}

static void leaves_all_else_alone(void **state)
{
	struct way way = { 4, 4, 0 };
	struct frame inner = inner_v4(0), in = wrap(&inner, &way, 0);

	for_all_ways(state, leave_alone);
	in.bytes[0] = 0x01; /* to a group */
	assert_run(state, &in, XDP_PASS, NULL);
	in = wrap(&inner, &way, 0);
	put16(in.bytes + 12, 0x0806); /* ARP */
	assert_run(state, &in, XDP_PASS, NULL);
	in = wrap(&inner, &way, 0);
	in = tagged(&in, 1);
	in = tagged(&in, TAGS_MOST); /* three tags */
	assert_run(state, &in, XDP_PASS, NULL);
}

/* An inner packet of the other family than the outer header says. */
static void leaves_liars_alone(void **state)
{
	for (int outer = 4; outer <= 6; outer += 2)
		for (int inner = 4; inner <= 6; inner += 2) {
			struct frame packet = inner_of(inner, 0);
			struct way way = { outer, 10 - inner, 0 };
			struct frame in = wrap(&packet, &way, 0);

			assert_run(state, &in, XDP_PASS, NULL);
		}
}

static void too_many_addresses(void **state)
{
	struct weir_address addresses[WEIR_DECAP_ADDRESSES + 1];
	struct decap *decap = NULL;
	struct error error = {};

	for (uint32_t i = 0; i <= WEIR_DECAP_ADDRESSES; i++)
		addresses[i] = address_from_v4(htonl(BACKEND_1 + i));
	assert_true(decap_open(addresses, WEIR_DECAP_ADDRESSES + 1, &decap, &error) < 0);
	assert_null(decap);
	assert_non_null(strstr(error.text, "expected at most 64"));
}

#define decap_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		decap_test(takes_the_outer_header_off), decap_test(takes_it_off_large_packets),
		decap_test(takes_congestion_over),      decap_test(leaves_all_else_alone),
		decap_test(leaves_liars_alone),         decap_test(too_many_addresses),
	};

	return packet_tests(tests);
}
