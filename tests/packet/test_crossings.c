// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "abi/hash.h"

#include "tests/packet/direct.h"

/*
 * ipip with backends of either family, for packets of the family that the test is about; errors and
 * fragments in dsr and ipip.
 */

enum { UNREACHABLE = 3, MTU = 1500 };

#define ROUTER IP4(10, 9, 8, 7)

/* Backend 1 and weir, as the outer header knows them: of IPv4 and of IPv6. */
static const struct {
	uint8_t weir[16], backend[16];
	size_t length;
} sides[2] = {
	{ { [10] = 0xff, 0xff, 192, 168, 178, 10 }, { [10] = 0xff, 0xff, 192, 168, 178, 11 }, 20 },
	{ { 0xfd, 1, [15] = 0x10 }, { 0xfd, 1, [15] = 0x11 }, 40 },
};

static struct outer outer_of(int side)
{
	struct outer outer = { .clear_df = false };

	memcpy(&outer.source, sides[side].weir, 16);
	memcpy(&outer.destination, sides[side].backend, 16);
	return outer;
}

/* One backend at the address of that @side. @flags: of both services. */
static struct outer serve(struct world *world, int side, uint8_t flags)
{
	struct outer outer = outer_of(side);

	direct_serve_one(world, WEIR_MODE_IPIP, BACKEND_1, &outer.destination);
	world->tables->snat_addresses[0] = outer.source;
	service_of(world, DIRECT)->flags = service_of(world, DATAGRAMS)->flags = flags;
	outer.clear_df = flags & WEIR_SERVICE_CLEAR_DF;
	return outer;
}

/* What may be cut on its way has an id of its own. */
static void sent(struct world *world, const struct segment *in, enum weir_reason reason,
		 const struct outer *like)
{
	const __u64 *ids = &world->tables->shared->fragmented, next = *ids;
	bool has_id = like->clear_df && like->destination.word[2] == htonl(0xffff);
	struct frame frame = frame_of(in), inner = routed(in, BACKEND_1), expected;
	const struct weir_tuple tuple = tuple_of(in);
	struct outer outer = *like;

	if (has_id)
		outer.id = (uint16_t)next;
	expected = encapsulated(&inner, in->tags, &outer, world_hash(world, &tuple));
	world_send(world, &frame, reason, XDP_TX, &expected);
	assert_int_equal(*ids, next + has_id);
}

/* Traffic class, tags, options, every kind of length: all of it inside, and what belongs there outside. */
static void whole_frames(struct world *world, const struct outer *outer, uint16_t port)
{
	static const uint8_t classes[] = { 0, 0x01, 0x2e, 0xb8, 0xff };
	struct segment syn = tcp_segment(CLIENT, port, WEIR, DIRECT_PORT, SYN);
	struct segment datagram = udp_datagram(CLIENT, port, WEIR, DIRECT_PORT, 0);

	sent(world, &syn, WEIR_REASON_NEW_FLOW, outer);
	sent(world, &datagram, WEIR_REASON_NEW_FLOW, outer);
	syn.flags = ACK;
	memset(syn.options, 1, sizeof(syn.options));
	for (size_t i = 0; i < sizeof(classes) * 3; i++) {
		syn.tos = datagram.tos = classes[i / 3];
		syn.tags = datagram.tags = i % 3;
		syn.options_length = 8 * (i % 3);
		syn.padding = i;
		syn.payload = 3 * i;
		datagram.payload = 100 * i % 1400;
		syn.ttl = (uint8_t)(2 + i);
		sent(world, &syn, WEIR_REASON_TO_BACKEND, outer);
		sent(world, &datagram, WEIR_REASON_TO_BACKEND, outer);
	}
}

static void four_crossings(void **state)
{
	for (int side = 0; side < 2; side++) {
		struct outer outer = serve(*state, side, WEIR_SERVICE_OUTER_FIXED);

		whole_frames(*state, &outer, (uint16_t)(40000 + side));
		outer = serve(*state, side, WEIR_SERVICE_OUTER_FIXED | WEIR_SERVICE_CLEAR_DF);
		whole_frames(*state, &outer, (uint16_t)(41000 + side));
	}
}

/* The outer source that a frame left with. */
static struct weir_address source_of(const struct frame *frame)
{
	const uint8_t *ip = frame->bytes + ETHERNET_LENGTH;
	struct weir_address source = { { 0, 0, htonl(0xffff), 0 } };

	if (ip[0] >> 4 == 6)
		memcpy(&source, ip + 8, 16);
	else
		memcpy(&source.word[3], ip + 12, 4);
	return source;
}

static bool is_made_up(const struct weir_address *source)
{
	uint32_t last = ntohl(source->word[3]);

	if (source->word[2] == htonl(0xffff))
		return last >> 16 == 0xac10 && (last & 0xffff) != 0 && (last & 0xffff) != 0xffff;
	return source->word[0] == htonl(0x01000000) && !source->word[1] && last;
}

/* 172.16.0.0/16 and 100::/64: one address for all packets of a flow, another one for another flow. */
static void spread(struct world *world, int side)
{
	enum { FLOWS = 128 };
	struct outer outer = serve(world, side, 0);
	struct weir_address seen[FLOWS];
	int same = 0;

	for (int i = 0; i < FLOWS; i++) {
		struct segment syn = tcp_segment(CLIENT + (uint32_t)i % 7,
						 (uint16_t)(40000 + 2 * i), WEIR, DIRECT_PORT, SYN);
		struct frame frame = frame_of(&syn);
		struct outcome outcome = world_run(world, &frame);

		seen[i] = outer.source = source_of(&outcome.frame);
		assert_true(is_made_up(&seen[i]));
		sent(world, &syn, WEIR_REASON_TO_BACKEND, &outer);
		syn.flags = ACK;
		syn.payload = 50;
		sent(world, &syn, WEIR_REASON_TO_BACKEND, &outer);
		for (int j = 0; j < i; j++)
			same += !memcmp(&seen[i], &seen[j], sizeof(seen[i]));
	}
	assert_true(same < 4); /* of 8128 pairs, by chance 0.12 */
}

static void made_up_sources(void **state)
{
	for (int side = 0; side < 2; side++)
		spread(*state, side);
}

/* What fits, then one byte more; what is told gets through, and is never less than IPv6 allows. */
static void largest(struct world *world, int side, uint32_t mtu, uint16_t port)
{
	struct outer outer = outer_of(side);
	struct segment data = tcp_segment(CLIENT, port, WEIR, DIRECT_PORT, ACK);
	bool v6 = frame_family() == WEIR_IPV6;
	uint32_t left = mtu - (uint32_t)sides[side].length;
	struct frame in, out;
	struct outcome outcome;

	for (uint32_t id = 1; id < world->backends; id++)
		world->tables->hops[world->tables->backends[id].hop].mtu = mtu;
	data.payload = left - frame_ip_length() - 20;
	in = frame_of(&data);
	outcome = world_run(world, &in);
	assert_int_equal(outcome.reason, WEIR_REASON_HASHED);
	outer.source = source_of(&outcome.frame);
	sent(world, &data, WEIR_REASON_TO_BACKEND, &outer);
	data.payload++;
	in = frame_of(&data);
	out = icmp_too_big(data.from, data.to, WEIR, CLIENT, v6 && left < 1280 ? 1280 : left, &in);
	world_send(world, &in, WEIR_REASON_TOO_BIG, XDP_TX, &out);
}

static void largest_packets(void **state)
{
	static const uint32_t mtus[] = { 1500, 1320, 1319, 1280, 9000, 576 };

	for (int side = 0; side < 2; side++) {
		serve(*state, side, 0);
		for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++)
			largest(*state, side, mtus[i], (uint16_t)(40000 + 100 * side + i));
	}
}

/* A router tells of what a backend sent to @client_packet's client. */
static struct frame error_about(const struct segment *client_packet, struct segment *outer)
{
	struct segment sent = *client_packet;
	struct frame quoted;

	sent.source = client_packet->destination;
	sent.source_port = client_packet->destination_port;
	sent.destination = client_packet->source;
	sent.destination_port = client_packet->source_port;
	sent.payload = 100;
	sent.flags = ACK;
	quoted = frame_of(&sent);
	return icmp_message(outer, UNREACHABLE, 4, 1300, quoted.bytes + ETHERNET_LENGTH,
			    frame_ip_length() + 8);
}

static struct segment error_outer(uint8_t ttl)
{
	struct segment outer = udp_datagram(ROUTER, 0, WEIR, 0, 0);

	outer.ttl = ttl;
	return outer;
}

static void error_goes(struct world *world, const struct segment *about, uint32_t backend)
{
	const struct outer tunnel = { mapped(WEIR), mapped(backend), false, 0 };
	const struct weir_tuple tuple = tuple_of(about);
	struct segment outer = error_outer(64);
	struct frame in = error_about(about, &outer), out;

	outer.to = mac_of(backend);
	outer.from = mac_of(WEIR);
	outer.ttl--;
	out = error_about(about, &outer);
	if (service_of(world, DIRECT)->mode == WEIR_MODE_IPIP)
		out = encapsulated(&out, 0, &tunnel, world_hash(world, &tuple));
	world_send(world, &in, WEIR_REASON_ICMP_ERROR, XDP_TX, &out);
}

/* The session's backend; without a session whoever the hash names, if the scheduler is one that hashes. */
static void errors(struct world *world, enum weir_mode mode)
{
	struct segment stray = tcp_segment(CLIENT, 50000, WEIR, DIRECT_PORT, ACK), one = stray;
	struct segment outer = error_outer(64);
	struct frame in, frame, out;
	struct outcome outcome;

	direct_serve(world, mode, WEIR_SCHEDULER_RR);
	one.flags = SYN;
	for (uint16_t i = 0; i < 4; i++) {
		one.source_port = (uint16_t)(40000 + i + 10 * mode);
		send_to(world, &one, WEIR_REASON_NEW_FLOW, i % 2 ? BACKEND_2 : BACKEND_1);
		error_goes(world, &one, i % 2 ? BACKEND_2 : BACKEND_1);
	}
	in = error_about(&stray, &outer);
	world_send(world, &in, WEIR_REASON_NOT_TCP_UDP, XDP_PASS, NULL);
	outer = error_outer(1);
	in = error_about(&one, &outer);
	world_send(world, &in, WEIR_REASON_TTL_EXCEEDED_SILENT, XDP_DROP, NULL);
	direct_serve(world, mode, WEIR_SCHEDULER_HASH);
	for (stray.source_port = 50000; stray.source_port < 50008; stray.source_port++) {
		uint32_t backend;

		stray.flags = RST; /* which makes no session */
		frame = frame_of(&stray);
		outcome = world_run(world, &frame);
		assert_int_equal(outcome.reason, WEIR_REASON_HASHED);
		out = direct_expected(world, &stray, BACKEND_1);
		backend = memcmp(outcome.frame.bytes, out.bytes, 6) ? BACKEND_2 : BACKEND_1;
		error_goes(world, &stray, backend);
		error_goes(world, &stray, backend);
	}
}

static void errors_dsr(void **state)
{
	errors(*state, WEIR_MODE_DSR);
}

static void errors_ipip(void **state)
{
	errors(*state, WEIR_MODE_IPIP);
}

/* Never an ICMP error about an ICMP error. */
static void error_too_big(void **state)
{
	struct world *world = *state;
	struct segment one = tcp_segment(CLIENT, 40000, WEIR, DIRECT_PORT, SYN);
	struct segment outer = error_outer(64);
	struct frame in;

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_HASH);
	for (uint32_t id = 1; id < world->backends; id++)
		world->tables->hops[world->tables->backends[id].hop].mtu = 60;
	in = error_about(&one, &outer);
	world_send(world, &in, WEIR_REASON_TOO_BIG_SILENT, XDP_DROP, NULL);
	outer.fragment = 0;
	in = error_about(&one, &outer);
	world_send(world, &in,
		   frame_family() == WEIR_IPV6 ? WEIR_REASON_TOO_BIG_SILENT :
						 WEIR_REASON_TOO_BIG_NO_DF,
		   XDP_DROP, NULL);
}

/* A segment in pieces without a session: the first one goes by its hash, the others after it. */
static void hashed_fragments(void **state)
{
	for (enum weir_mode mode = WEIR_MODE_DSR; mode <= WEIR_MODE_IPIP; mode++) {
		struct segment first = tcp_segment(CLIENT, (uint16_t)(50000 + mode), WEIR,
						   DIRECT_PORT, ACK);
		struct segment later = udp_datagram(CLIENT, 0, WEIR, 0, 92);
		struct frame frame, out;
		struct outcome outcome;
		uint32_t backend;

		direct_serve(*state, mode, WEIR_SCHEDULER_HASH);
		first.payload = 76;
		first.fragment = FRAME_MORE_FRAGMENTS;
		first.id = later.id = (uint16_t)(77 + mode);
		frame = frame_of(&first);
		outcome = world_run(*state, &frame);
		assert_int_equal(outcome.reason, WEIR_REASON_HASHED);
		out = direct_expected(*state, &first, BACKEND_1);
		backend = memcmp(outcome.frame.bytes, out.bytes, 6) ? BACKEND_2 : BACKEND_1;
		send_to(*state, &first, WEIR_REASON_TO_BACKEND, backend);
		later.protocol = PROTOCOL_TCP;
		later.payload = 80;
		later.fragment = FRAME_MORE_FRAGMENTS | 12;
		send_to(*state, &later, WEIR_REASON_LATER_FRAGMENT, backend);
		later.fragment = 24;
		send_to(*state, &later, WEIR_REASON_LATER_FRAGMENT, backend);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(four_crossings),   world_test(made_up_sources),
		world_test(largest_packets),  world_test(errors_dsr),
		world_test(errors_ipip),      world_test(error_too_big),
		world_test(hashed_fragments),
	};

	return packet_tests(tests);
}
