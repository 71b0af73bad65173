// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "src/datapath/decap.h"

#include "tests/packet/harness.h"

/* What `weir decap` does on a backend, byte by byte. */

enum { OUTER = 20, IPIP = 4, CONGESTED = 3 };

static int setup(void **state)
{
	const uint32_t addresses[] = { htonl(BACKEND_1), htonl(BACKEND_2) };
	struct error error;

	assert_int_equal(decap_open(addresses, 2, (struct decap **)state, &error), 0);
	return 0;
}

static int teardown(void **state)
{
	decap_close(*state);
	return 0;
}

static struct frame inner_frame(uint8_t tos)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 8000, ACK);

	segment.tos = tos;
	segment.payload = 33;
	segment.to = mac_of(BACKEND_1);
	segment.from = mac_of(WEIR);
	return frame_of(&segment);
}

static struct frame wrap(const struct frame *inner, uint32_t destination, uint8_t tos)
{
	struct frame out = *inner;
	uint8_t *ip = out.bytes + ETHERNET_LENGTH;

	out.length += OUTER;
	memcpy(ip + OUTER, inner->bytes + ETHERNET_LENGTH, inner->length - ETHERNET_LENGTH);
	memset(ip, 0, OUTER);
	ip[0] = 0x45;
	ip[1] = tos;
	put16(ip + 2, (uint16_t)(out.length - ETHERNET_LENGTH));
	ip[8] = 64;
	ip[9] = IPIP;
	put32(ip + 12, WEIR);
	put32(ip + 16, destination);
	ip_checksum_again(&out);
	return out;
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

static void takes_the_outer_header_off(void **state)
{
	struct frame inner = inner_frame(0xb8), first = wrap(&inner, BACKEND_1, 0xb8);
	struct frame second = wrap(&inner, BACKEND_2, 0);

	assert_run(state, &first, XDP_PASS, &inner);
	assert_run(state, &second, XDP_PASS, &inner);
}

/* RFC 6040 4.2 */
static void congestion(void **state)
{
	struct frame capable = inner_frame(0xb9), marked = inner_frame(0xbb);
	struct frame incapable = inner_frame(0xb8), in;

	in = wrap(&capable, BACKEND_1, CONGESTED);
	assert_run(state, &in, XDP_PASS, &marked);
	in = wrap(&marked, BACKEND_1, CONGESTED);
	assert_run(state, &in, XDP_PASS, &marked);
	in = wrap(&incapable, BACKEND_1, CONGESTED);
	assert_run(state, &in, XDP_DROP, NULL);
}

static void leaves_all_else_alone(void **state)
{
	struct frame inner = inner_frame(0), elsewhere = wrap(&inner, WEIR, 0);
	const struct {
		size_t at;
		uint8_t value;
	} changes[] = {
		{ 0, 0x01 },  /* to a group */
		{ 12, 0x86 }, /* not IPv4 */
		{ 14, 0x65 }, /* version */
		{ 14, 0x46 }, /* options */
		{ 17, 60 },   /* outer shorter than the inner packet */
		{ 20, 0x20 }, /* fragment */
		{ 21, 0x01 }, /* a later one */
		{ 23, 41 },   /* IPv6 in it */
		{ 34, 0x65 }, /* inner version */
		{ 34, 0x44 }, /* inner header too short */
		{ 37, 19 },   /* inner length shorter than its header */
		{ 36, 0x01 }, /* inner length beyond the outer one */
	};

	assert_run(state, &inner, XDP_PASS, NULL);
	assert_run(state, &elsewhere, XDP_PASS, NULL);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct frame in = wrap(&inner, BACKEND_1, 0);

		in.bytes[changes[i].at] = changes[i].value;
		assert_run(state, &in, XDP_PASS, NULL);
	}
	for (size_t length = ETHERNET_LENGTH; length < ETHERNET_LENGTH + 2 * OUTER; length++) {
		struct frame in = wrap(&inner, BACKEND_1, 0);

		in.length = length;
		assert_run(state, &in, XDP_PASS, NULL);
	}
}

static void too_many_addresses(void **state)
{
	uint32_t addresses[WEIR_DECAP_ADDRESSES + 1];
	struct decap *decap = NULL;
	struct error error = {};

	for (uint32_t i = 0; i <= WEIR_DECAP_ADDRESSES; i++)
		addresses[i] = htonl(BACKEND_1 + i);
	assert_true(decap_open(addresses, WEIR_DECAP_ADDRESSES + 1, &decap, &error) < 0);
	assert_null(decap);
	assert_non_null(strstr(error.text, "expected at most 64"));
}

#define decap_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		decap_test(takes_the_outer_header_off),
		decap_test(congestion),
		decap_test(leaves_all_else_alone),
		decap_test(too_many_addresses),
	};

	return packet_tests(tests);
}
