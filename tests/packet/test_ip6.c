// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "abi/hash.h"

#include "tests/packet/direct.h"
#include "tests/packet/talk.h"

/* What IPv6 alone has: extension headers, neighbour discovery, addresses that no host can have. */

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, ESP = 50, AUTHENTICATION = 51, NO_NEXT = 59 };
enum { OPTIONS = 60, MOBILITY = 135 };
enum { IP = ETHERNET_LENGTH, L4 = IP + 40, WALK_END = 400, HEADERS_MOST = 6 };

struct extension {
	uint8_t kind;
	size_t length; /* multiple of 8 */
	uint8_t left;  /* routing: segments left */
	bool more;     /* fragment */
};

struct extensions {
	size_t count;
	struct extension list[8];
};

#define HEADERS(...)                                                                               \
	(&(struct extensions){ sizeof((struct extension[]){ __VA_ARGS__ }) /                       \
				       sizeof(struct extension),                                   \
			       { __VA_ARGS__ } })

/* @frame with the headers between that of IPv6 and what it carries. */
static struct frame with(const struct frame *frame, const struct extensions *headers)
{
	struct frame out = *frame;
	uint8_t *next = out.bytes + IP + 6, *at = out.bytes + L4, protocol = *next;

	for (size_t i = 0; i < headers->count; i++) {
		const struct extension *header = &headers->list[i];

		*next = header->kind;
		next = at;
		memset(at, 0, header->length);
		if (header->kind == FRAGMENT) {
			put16(at + 2, header->more);
			put32(at + 4, 0xdeadbeef);
		} else {
			at[1] = (uint8_t)(header->length / 8 - 1);
			at[2] = 1; /* PadN */
			at[3] = header->left;
		}
		at += header->length;
	}
	*next = protocol;
	memcpy(at, frame->bytes + L4, frame->length - L4);
	out.length += (size_t)(at - out.bytes) - L4;
	put16(out.bytes + IP + 4, (uint16_t)(out.length - L4));
	return out;
}

#define SHORT_OPTIONS                                                                              \
	{                                                                                          \
		OPTIONS, 8, 0, false                                                               \
	}

static const struct extensions *kept(size_t number)
{
	static const struct extensions all[] = {
		{ 1, { { HOP_BY_HOP, 8, 0, false } } },
		{ 1, { { HOP_BY_HOP, WALK_END - L4 - 2, 0, false } } }, /* 344 */
		{ 1, { { ROUTING, 24, 0, false } } },
		{ 1, { { FRAGMENT, 8, 0, false } } }, /* atomic: RFC 6946 */
		{ 2, { { OPTIONS, 8, 0, false }, { FRAGMENT, 8, 0, false } } },
		{ HEADERS_MOST,
		  { { HOP_BY_HOP, 16, 0, false },
		    SHORT_OPTIONS,
		    SHORT_OPTIONS,
		    SHORT_OPTIONS,
		    SHORT_OPTIONS,
		    SHORT_OPTIONS } },
		{ 5,
		  { { HOP_BY_HOP, 8, 0, false },
		    { OPTIONS, 16, 0, false },
		    { ROUTING, 8, 0, false },
		    { FRAGMENT, 8, 0, false },
		    { OPTIONS, 32, 0, false } } },
	};

	return number < sizeof(all) / sizeof(all[0]) ? &all[number] : NULL;
}

static void forwarded(struct talk *talk, const struct segment *in, const struct segment *out,
		      const struct extensions *headers, enum weir_reason reason)
{
	struct frame plain_in = frame_of(in), plain_out = frame_of(out);
	struct frame frame_in = with(&plain_in, headers), frame_out = with(&plain_out, headers);

	world_send(talk->world, &frame_in, reason, XDP_TX, &frame_out);
}

static void both_ways(struct talk *talk, const struct extensions *headers)
{
	struct segment forth = client_segment(talk, ACK, 33), back = backend_segment(talk, ACK, 34);
	struct segment to = to_backend(talk, &forth), from = to_client(talk, &back);

	forwarded(talk, &forth, &to, headers, WEIR_REASON_TO_BACKEND);
	forwarded(talk, &back, &from, headers, WEIR_REASON_TO_CLIENT);
}

static void kept_in_nat(void **state)
{
	struct talk tcp = talk_tcp(*state, CLIENT, 40000), udp = talk_udp(*state, CLIENT, 40000);
	const struct extensions *headers;

	talk_establish(&tcp);
	talk_open(&udp);
	for (size_t i = 0; (headers = kept(i)); i++) {
		both_ways(&tcp, headers);
		both_ways(&udp, headers);
	}
	/* An atomic fragment is a whole packet: nothing was given a new id for it. */
	assert_int_equal(tcp.world->tables->shared->fragmented, 0);
}

static void new_flow_with_headers(void **state)
{
	struct world *world = *state;
	const struct extensions *headers;

	for (size_t i = 0; (headers = kept(i)); i++) {
		struct talk talk = talk_tcp(world, CLIENT, (uint16_t)(41000 + i));
		struct segment syn = client_segment(&talk, SYN, 0);
		struct frame plain = frame_of(&syn), in = with(&plain, headers), out;
		struct outcome outcome = world_run(world, &in);
		const struct weir_flow *flow = talk_flow(&talk);

		assert_int_equal(outcome.reason, WEIR_REASON_NEW_FLOW);
		talk.backend = flow_backend(world, flow);
		talk.backend_port = ntohs(flow->backend_ports.source);
		talk.snat = flow_snat(world, flow);
		talk.snat_port = ntohs(flow->backend_ports.destination);
		syn = to_backend(&talk, &syn);
		plain = frame_of(&syn);
		out = with(&plain, headers);
		assert_int_equal(outcome.frame.length, out.length);
		assert_memory_equal(outcome.frame.bytes, out.bytes, out.length);
	}
}

/* Sends all kinds to a service of @mode with one backend. */
static void kept_in(struct world *world, enum weir_mode mode)
{
	const struct weir_address backend = mapped(BACKEND_1);
	const struct extensions *headers;

	direct_serve_one(world, mode, BACKEND_1, &backend);
	for (size_t i = 0; (headers = kept(i)); i++) {
		struct segment in = tcp_segment(CLIENT, (uint16_t)(42000 + i), WEIR, DIRECT_PORT,
						SYN);
		const struct outer outer = { mapped(WEIR), backend, false, 0 };
		const struct weir_tuple tuple = tuple_of(&in);
		struct frame plain = frame_of(&in), frame_in = with(&plain, headers), out;

		plain = routed(&in, BACKEND_1);
		out = with(&plain, headers);
		if (mode == WEIR_MODE_IPIP)
			out = encapsulated(&out, 0, &outer, world_hash(world, &tuple));
		world_send(world, &frame_in, WEIR_REASON_NEW_FLOW, XDP_TX, &out);
	}
}

static void kept_in_dsr(void **state)
{
	kept_in(*state, WEIR_MODE_DSR);
}

static void kept_in_ipip(void **state)
{
	kept_in(*state, WEIR_MODE_IPIP);
}

static void comes_to(struct world *world, const struct frame *plain,
		     const struct extensions *headers, enum weir_reason reason)
{
	struct frame in = with(plain, headers);

	world_send(world, &in, reason,
		   weir_reason_verdict(reason) == WEIR_VERDICT_PASS ? XDP_PASS : XDP_DROP, NULL);
}

/* More headers, longer ones, hops that are not yet visited, or what nobody can look into: the host's. */
static void beyond_passes(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct extension option = { OPTIONS, 8, 0, false };
	static const uint8_t opaque[] = { ESP, AUTHENTICATION, NO_NEXT, MOBILITY, 0xfd };
	struct segment segment;
	struct frame plain;

	talk_establish(&talk);
	segment = client_segment(&talk, ACK, 9);
	plain = frame_of(&segment);
	comes_to(*state, &plain, HEADERS(option, option, option, option, option, option, option),
		 WEIR_REASON_NOT_TCP_UDP);
	comes_to(*state, &plain, HEADERS({ HOP_BY_HOP, 352, 0, false }), WEIR_REASON_NOT_TCP_UDP);
	comes_to(*state, &plain, HEADERS({ OPTIONS, 176, 0, false }, { OPTIONS, 176, 0, false }),
		 WEIR_REASON_NOT_TCP_UDP);
	comes_to(*state, &plain, HEADERS({ ROUTING, 24, 1, false }), WEIR_REASON_NOT_TCP_UDP);
	comes_to(*state, &plain, HEADERS(option, { ROUTING, 8, 255, false }, option),
		 WEIR_REASON_NOT_TCP_UDP);
	for (size_t i = 0; i < sizeof(opaque); i++) {
		plain.bytes[IP + 6] = opaque[i];
		comes_to(*state, &plain, HEADERS(), WEIR_REASON_NOT_TCP_UDP);
		comes_to(*state, &plain, HEADERS(option), WEIR_REASON_NOT_TCP_UDP);
	}
}

/* Headers that end behind the packet. To a service address: dropped, to another one: the host's. */
static void truncated(struct world *world, uint32_t destination, enum weir_reason reason,
		      uint32_t verdict)
{
	struct segment syn = tcp_segment(CLIENT, 40000, destination, 8000, SYN);
	struct frame plain = frame_of(&syn);
	struct frame whole = with(&plain,
				  HEADERS({ HOP_BY_HOP, 8, 0, false }, { OPTIONS, 16, 0, false }));
	struct frame in;

	for (size_t length = 0; length < 24 + 4; length++) {
		in = whole;
		in.length = L4 + length; /* the frame ends there */
		world_send(world, &in, reason, verdict, NULL);
		put16(in.bytes + IP + 4, (uint16_t)length); /* the packet as well */
		if (length < 24)
			world_send(world, &in, reason, verdict, NULL);
		in.length = whole.length; /* padding */
		if (length < 24)
			world_send(world, &in, reason, verdict, NULL);
	}
	in = whole;
	in.bytes[L4 + 8 + 1] = 5; /* the second one, longer than all there is */
	world_send(world, &in, reason, verdict, NULL);
}

static void truncated_headers(void **state)
{
	truncated(*state, WEIR, WEIR_REASON_MALFORMED_IP, XDP_DROP);
	truncated(*state, BACKEND_2, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS);
}

/* Neighbour discovery, listener discovery and the like, to us and to groups, in whatever headers. */
static void messages_pass(void **state)
{
	struct segment outer = udp_datagram(NEIGHBOUR, 0, WEIR, 0, 0);
	const uint8_t body[] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1, 1, 1, 2, 0, 3, 4, 5, 6 };

	outer.ttl = 255;
	for (int type = 5; type <= 255; type++) {
		struct frame plain = icmp_message(&outer, 8, 0, 0, body, sizeof(body));

		if (type == 128)
			continue;
		plain.bytes[L4] = (uint8_t)type;
		comes_to(*state, &plain, HEADERS(), WEIR_REASON_NOT_TCP_UDP);
		comes_to(*state, &plain, HEADERS({ HOP_BY_HOP, 8, 0, false }),
			 WEIR_REASON_NOT_TCP_UDP);
		memcpy(plain.bytes, "\x33\x33\0\0\0\1", 6);
		frame_put_address(plain.bytes + IP + 24, IP4(224, 0, 0, 1));
		comes_to(*state, &plain, HEADERS(), WEIR_REASON_NOT_TCP_UDP);
		comes_to(*state, &plain, HEADERS({ HOP_BY_HOP, 8, 0, false }),
			 WEIR_REASON_NOT_TCP_UDP);
	}
}

static const uint8_t impossible[][16] = {
	{ 0 },                    /* unspecified */
	{ [15] = 1 },             /* loopback */
	{ 0xff, 0x02, [15] = 1 }, /* multicast */
	{ 0xff, 0x0e, [15] = 9 },
	{ [10] = 0xff, 0xff, 10, 0, 0, 20 }, /* IPv4-mapped */
};

/* No flow, and no answer. */
static void impossible_sources(void **state)
{
	static const uint8_t flags[] = { SYN, ACK };

	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++)
		for (size_t j = 0; j < sizeof(flags); j++) {
			struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 8000, flags[j]);
			struct frame plain = frame_of(&segment);

			memcpy(plain.bytes + IP + 8, impossible[i], 16);
			comes_to(*state, &plain, HEADERS(),
				 flags[j] == SYN ? WEIR_REASON_BAD_SOURCE :
						   WEIR_REASON_NO_FLOW_SILENT);
			plain.bytes[IP + 7] = 1;
			comes_to(*state, &plain, HEADERS(), WEIR_REASON_TTL_EXCEEDED_SILENT);
		}
}

static struct talk flow_quoted(struct world *world, struct segment *sent, bool from_client)
{
	struct talk talk = talk_tcp(world, CLIENT, from_client ? 40000 : 40001);

	talk_establish(&talk);
	*sent = from_client ? backend_segment(&talk, ACK, 100) : client_segment(&talk, ACK, 100);
	return talk;
}

/* Each error, from both sides, with headers of its own and in the quote, of whose TCP 8 bytes are there. */
static void error_with_headers(struct talk *talk, const struct segment *sent, bool from_client,
			       const struct extensions *headers, uint8_t code)
{
	static const uint8_t types[] = { 3, 11, 12 };
	struct segment there = from_client ? to_client(talk, sent) : to_backend(talk, sent);
	struct segment back = *sent, outer = udp_datagram(IP4(10, 9, 8, 7), 0, 0, 0, 0);
	struct frame plain, quoted_in, quoted_out, in, out;

	back.ttl--;
	plain = frame_of(&there);
	quoted_in = with(&plain, headers);
	plain = frame_of(&back);
	quoted_out = with(&plain, headers);
	for (size_t i = 0; i < sizeof(types); i++) {
		size_t quote = quoted_in.length - IP - (20 + 100) + 8;
		uint8_t code_ = types[i] == 3 ? code : 0;

		outer.to = mac_of(WEIR);
		outer.from = from_client ? talk->client_hop : mac_of(talk->backend);
		outer.destination = from_client ? talk->service : talk->snat;
		outer.ttl = 64;
		plain = icmp_message(&outer, types[i], code_, 1300, quoted_in.bytes + IP, quote);
		in = with(&plain, headers);
		outer.to = from_client ? mac_of(talk->backend) : talk->client_hop;
		outer.from = mac_of(WEIR);
		outer.destination = from_client ? talk->backend : talk->client;
		outer.ttl--;
		plain = icmp_message(&outer, types[i], code_, 1300, quoted_out.bytes + IP, quote);
		out = with(&plain, headers);
		world_send(talk->world, &in, WEIR_REASON_ICMP_ERROR, XDP_TX, &out);
	}
}

static void errors_with_headers(void **state)
{
	const struct extensions *const all[] = {
		HEADERS({ HOP_BY_HOP, 8, 0, false }),
		HEADERS({ FRAGMENT, 8, 0, false }),
		HEADERS({ HOP_BY_HOP, 8, 0, false }, { ROUTING, 24, 0, false },
			{ OPTIONS, 16, 0, false }),
	};
	struct segment sent;

	for (int from_client = 0; from_client < 2; from_client++) {
		struct talk talk = flow_quoted(*state, &sent, from_client);

		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
			for (uint8_t code = 3; code <= 4; code++)
				error_with_headers(&talk, &sent, from_client, all[i], code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test_v6(kept_in_nat),         world_test_v6(new_flow_with_headers),
		world_test_v6(kept_in_dsr),         world_test_v6(kept_in_ipip),
		world_test_v6(beyond_passes),       world_test_v6(truncated_headers),
		world_test_v6(messages_pass),       world_test_v6(impossible_sources),
		world_test_v6(errors_with_headers),
	};

	return packet_tests(tests);
}
