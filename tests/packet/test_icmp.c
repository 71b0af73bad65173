// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/talk.h"

/* ICMP errors about a flow, from either side: whole frames, the quoted packet as its sender sent it. */

enum { UNREACHABLE = 3, TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };
#define QUOTE_LEAST (frame_ip_length() + 8) /* bytes of IP */
#define QUOTE_MUCH 548

#define ROUTER IP4(10, 9, 8, 7)

/* An error about a packet: how it comes in, and how it must leave. */
struct error_case {
	struct talk *talk;
	bool from_client;    /* which side it comes from */
	struct segment sent; /* the packet as its sender sent it */
	uint32_t source;     /* of the error */
	uint8_t type, code, ttl;
	uint32_t rest;         /* second half of the ICMP header */
	size_t quote;          /* bytes of IP that are quoted, if there are so many */
	size_t options_length; /* of the error itself */
	size_t padding;
};

static struct segment outer_of(const struct error_case *error)
{
	struct segment outer = udp_datagram(error->source, 0, 0, 0, 0);

	outer.tos = 0xc0;
	outer.ttl = error->ttl ? error->ttl : 64;
	outer.id = 0x4242;
	outer.fragment = 0;
	outer.options_length = error->options_length;
	memset(outer.options, 1, outer.options_length);
	outer.padding = error->padding;
	return outer;
}

static struct frame error_frame(const struct error_case *error, const struct segment *outer,
				const struct segment *quoted)
{
	struct frame about = frame_of(quoted);
	size_t length = about.length - ETHERNET_LENGTH;

	return icmp_message(outer, error->type, error->code, error->rest,
			    about.bytes + ETHERNET_LENGTH,
			    length < error->quote ? length : error->quote);
}

/* The error as it comes to weir: it quotes the packet that weir forwarded. */
static struct frame error_in(const struct error_case *error)
{
	const struct talk *talk = error->talk;
	struct segment forwarded = error->from_client ? to_client(talk, &error->sent) :
							to_backend(talk, &error->sent);
	struct segment outer = outer_of(error);

	outer.to = mac_of(WEIR);
	outer.from = error->from_client ? talk->client_hop : mac_of(talk->backend);
	outer.destination = error->from_client ? talk->service : talk->snat;
	return error_frame(error, &outer, &forwarded);
}

/* The same as the sender of the quoted packet must get it. */
static struct frame error_out(const struct error_case *error)
{
	const struct talk *talk = error->talk;
	struct segment outer = outer_of(error), quoted = error->sent;

	quoted.ttl--; /* as the router saw it */
	outer.to = error->from_client ? mac_of(talk->backend) : talk->client_hop;
	outer.from = mac_of(WEIR);
	outer.ttl--;
	outer.destination = error->from_client ? talk->backend : talk->client;
	if (error->from_client && outer.source == talk->client)
		outer.source = talk->snat;
	else if (!error->from_client && outer.source == talk->backend)
		outer.source = talk->service;
	return error_frame(error, &outer, &quoted);
}

static void forwarded(const struct error_case *error)
{
	struct frame in = error_in(error), out = error_out(error);
	const struct weir_flow *flow = talk_flow(error->talk);
	struct weir_flow before = *flow;

	world_send(error->talk->world, &in, WEIR_REASON_ICMP_ERROR, error->talk->sends, &out);
	assert_memory_equal(flow, &before, sizeof(before));
}

/* From a router and from the peer itself, as little and as much as anybody quotes. */
static void each_quote(struct error_case *error, uint32_t peer)
{
	static const size_t quotes[] = { 8, 9, 16, 18, 19, 20, 40, 528 };

	for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
		error->quote = frame_ip_length() + quotes[i];
		error->source = ROUTER;
		forwarded(error);
		error->source = peer;
		forwarded(error);
	}
}

static void each_kind(struct error_case *error, uint32_t peer)
{
	static const struct {
		uint8_t type, code;
		uint32_t rest;
	} kinds[] = {
		{ UNREACHABLE, 0, 0 },   { UNREACHABLE, 1, 0 },
		{ UNREACHABLE, 3, 0 },   { UNREACHABLE, 4, 1400 },
		{ UNREACHABLE, 13, 0 },  { TIME_EXCEEDED, 0, 0 },
		{ TIME_EXCEEDED, 1, 0 }, { PARAMETER_PROBLEM, 0, 0x14000000 },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		error->type = kinds[i].type;
		error->code = kinds[i].code;
		error->rest = kinds[i].rest;
		each_quote(error, peer);
	}
}

static void both_sides(struct talk *talk)
{
	struct error_case error = {
		.talk = talk,
		.from_client = true,
		.sent = backend_segment(talk, ACK, 500),
	};

	each_kind(&error, talk->client);
	error.from_client = false;
	error.sent = client_segment(talk, ACK, 500);
	each_kind(&error, talk->backend);
}

static void about_tcp(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	both_sides(&talk);
}

static void about_udp(void **state)
{
	struct talk talk = talk_udp(*state, NEIGHBOUR, 40000);

	talk_open(&talk);
	both_sides(&talk);
}

/* The backend refuses before it has answered anything. */
static void about_the_first_packet(void **state)
{
	struct talk tcp = talk_tcp(*state, CLIENT, 40000), udp = talk_udp(*state, CLIENT, 40000);

	talk_open(&tcp);
	both_sides(&tcp);
	talk_open(&udp);
	both_sides(&udp);
}

static void about_a_closing_flow(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	talk_client(&talk, RST, 0);
	assert_state(&talk, CLOSING);
	both_sides(&talk);
}

static void to_another_interface(void **state)
{
	struct talk talk = talk_tcp(*state, FAR_CLIENT, 40000);
	struct error_case error = { .talk = &talk, .type = UNREACHABLE, .code = 4, .rest = 1400 };
	struct frame in, out;

	world_ingress(*state, "weir1");
	talk.sends = XDP_REDIRECT;
	talk_open(&talk);
	error.from_client = true;
	error.sent = backend_segment(&talk, SYN | ACK, 0);
	error.source = ROUTER;
	error.quote = QUOTE_LEAST;
	forwarded(&error);
	world_ingress(*state, "weir0");
	error.from_client = false;
	error.sent = client_segment(&talk, ACK, 9);
	in = error_in(&error);
	out = error_out(&error);
	world_send(*state, &in, WEIR_REASON_ICMP_ERROR, XDP_REDIRECT, &out);
}

static void client_kept(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	service_of(*state, WEB)->flags |= WEIR_SERVICE_KEEP_CLIENT;
	talk_establish(&talk);
	assert_int_equal(talk.snat, CLIENT);
	both_sides(&talk);
}

/* Options in the error and in what it quotes; a frame with padding; no UDP checksum. */
static void odd_shapes(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);
	struct error_case error = {
		.talk = &talk,
		.type = UNREACHABLE,
		.code = 4,
		.rest = 576,
		.source = ROUTER,
	};

	talk_open(&talk);
	error.sent = client_segment(&talk, 0, 300);
	for (size_t length = 0; length <= 40; length += 4) {
		error.options_length = length;
		error.sent.options_length = 40 - length;
		memset(error.sent.options, 1, 40);
		error.padding = length;
		error.quote = frame_l4(&error.sent) - ETHERNET_LENGTH + 8;
		forwarded(&error);
		error.options_length = error.sent.options_length = length;
		error.quote = frame_l4(&error.sent) - ETHERNET_LENGTH + 8;
		error.sent.no_checksum = length % 8 == 0;
		forwarded(&error);
		error.quote = QUOTE_MUCH;
		forwarded(&error);
	}
}

/* Sums meet all values, 0 and 0xffff among them. */
static void every_checksum(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);
	struct error_case error = {
		.talk = &talk,
		.type = UNREACHABLE,
		.code = 1,
		.source = ROUTER,
		.quote = QUOTE_LEAST,
	};

	talk_open(&talk);
	error.sent = client_segment(&talk, 0, 2);
	for (uint32_t word = 1; word <= 0xffff; word++) {
		error.sent.first_word = (uint16_t)word;
		error.sent.id = (uint16_t)(word * 31);
		error.from_client = false;
		forwarded(&error);
	}
}

/* A wrong sum must not become right: the payload may have been damaged. */
static void wrong_stays_wrong(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct error_case error = {
		.talk = &talk,
		.type = UNREACHABLE,
		.code = 4,
		.source = ROUTER,
		.quote = 60,
	};
	size_t rest = ETHERNET_LENGTH + frame_ip_length() + 6; /* of the ICMP header */
	struct frame in, out;

	talk_open(&talk);
	error.sent = client_segment(&talk, SYN, 0);
	in = error_in(&error);
	out = error_out(&error);
	in.bytes[rest] ^= 0x10;
	out.bytes[rest] ^= 0x10;
	world_send(*state, &in, WEIR_REASON_ICMP_ERROR, XDP_TX, &out);
}

static struct error_case plain_error(struct talk *talk)
{
	return (struct error_case){
		.talk = talk,
		.type = UNREACHABLE,
		.code = 4,
		.rest = 1400,
		.source = ROUTER,
		.quote = QUOTE_LEAST,
		.from_client = true,
		.sent = backend_segment(talk, ACK, 0),
	};
}

/* Never an ICMP message about an ICMP error. */
static void ttl_runs_out(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	error.ttl = 1;
	in = error_in(&error);
	world_send(*state, &in, WEIR_REASON_TTL_EXCEEDED_SILENT, XDP_DROP, NULL);
	error.ttl = 2;
	forwarded(&error);
}

static void no_way_on(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	in = error_in(&error);
	world->tables->hops[world->tables->backends[talk.backend_id].hop].destination.flags = 0;
	world_send(world, &in, WEIR_REASON_NO_NEXT_HOP, XDP_DROP, NULL);
}

static void passes(struct world *world, const struct frame *in)
{
	world_send(world, in, WEIR_REASON_NOT_TCP_UDP, XDP_PASS, NULL);
}

/* The host's: kinds that nobody may act on, or that do not say which flow. */
static void other_kinds_pass(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	for (int type = 0; type <= 255; type++) {
		if (type == UNREACHABLE || type == TIME_EXCEEDED || type == PARAMETER_PROBLEM)
			continue;
		error.type = (uint8_t)type;
		in = error_in(&error);
		passes(*state, &in);
	}
}

/* The byte @at of a good error becomes @value. */
static void spoiled_passes(struct talk *talk, size_t at, uint8_t value)
{
	struct error_case error = plain_error(talk);
	struct frame in = error_in(&error);

	in.bytes[at] = value;
	passes(talk->world, &in);
}

enum { OUTER = ETHERNET_LENGTH, INNER = OUTER + 28, PORTS = INNER + 20 };

static void spoiled_pass(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	forwarded(&error);
	spoiled_passes(&talk, 0, 1);               /* to a group of hosts */
	spoiled_passes(&talk, OUTER, 0x44);        /* header shorter than it can be */
	spoiled_passes(&talk, OUTER, 0x4f);        /* and longer than the packet */
	spoiled_passes(&talk, OUTER + 2, 1);       /* longer than the frame */
	spoiled_passes(&talk, OUTER + 3, 55);      /* one byte too few is quoted */
	spoiled_passes(&talk, OUTER + 3, 27);      /* half an ICMP header */
	spoiled_passes(&talk, OUTER + 6, 0x20);    /* a fragment */
	spoiled_passes(&talk, OUTER + 7, 1);       /* a later fragment */
	spoiled_passes(&talk, OUTER + 16 + 3, 99); /* sent to another address than that quoted */
	spoiled_passes(&talk, INNER, 0x65);        /* quotes IPv6 */
	spoiled_passes(&talk, INNER, 0x44);        /* quotes half an IP header */
	spoiled_passes(&talk, INNER, 0x46);        /* quotes options, but only 4 bytes of TCP */
	spoiled_passes(&talk, INNER, 0x4f);        /* options beyond the frame */
	spoiled_passes(&talk, INNER + 7, 1);       /* quotes a later fragment: no ports there */
	spoiled_passes(&talk, INNER + 9, PROTOCOL_ICMP);
	spoiled_passes(&talk, INNER + 9, PROTOCOL_UDP);
	spoiled_passes(&talk, INNER + 15, 99); /* of another flow */
	spoiled_passes(&talk, INNER + 19, 99);
	spoiled_passes(&talk, PORTS + 1, 99);
	spoiled_passes(&talk, PORTS + 3, 99);
	for (size_t length = 14; length < INNER + QUOTE_LEAST; length++) {
		in = error_in(&error);
		in.length = length;
		if (length < OUTER + 20)
			world_send(*state, &in, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS, NULL);
		else
			passes(*state, &in);
	}
}

static void spoiled_pass_v6(void **state)
{
	enum { INNER6 = OUTER + 48, PORTS6 = INNER6 + 40 };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	forwarded(&error);
	spoiled_passes(&talk, 0, 1);          /* to a group of hosts */
	spoiled_passes(&talk, OUTER + 4, 1);  /* longer than the frame */
	spoiled_passes(&talk, OUTER + 5, 55); /* one byte too few is quoted */
	spoiled_passes(&talk, OUTER + 5, 7);  /* half an ICMP header */
	spoiled_passes(&talk, OUTER + 6, PROTOCOL_ICMP);
	spoiled_passes(&talk, OUTER + 39, 99); /* sent to another address than that quoted */
	spoiled_passes(&talk, INNER6, 0x45);   /* quotes IPv4 */
	spoiled_passes(&talk, INNER6 + 6, PROTOCOL_ICMP6);
	spoiled_passes(&talk, INNER6 + 6, PROTOCOL_UDP);
	spoiled_passes(&talk, INNER6 + 6, 44); /* quotes a fragment header alone */
	spoiled_passes(&talk, INNER6 + 6, 60); /* options that do not end */
	spoiled_passes(&talk, INNER6 + 23, 99);
	spoiled_passes(&talk, INNER6 + 39, 99); /* of another flow */
	spoiled_passes(&talk, PORTS6 + 1, 99);
	spoiled_passes(&talk, PORTS6 + 3, 99);
	for (size_t length = 14; length < INNER6 + QUOTE_LEAST; length++) {
		in = error_in(&error);
		in.length = length;
		if (length < OUTER + 40)
			world_send(*state, &in, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS, NULL);
		else
			passes(*state, &in);
	}
}

/* An error that quotes a packet which the other side sent to weir, not weir to it. */
static void wrong_way_passes(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment outer, quoted;
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	outer = outer_of(&error);
	quoted = client_segment(&talk, ACK, 0);
	outer.to = mac_of(WEIR);
	outer.destination = CLIENT;
	in = error_frame(&error, &outer, &quoted);
	passes(*state, &in);
}

static void killed_passes(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct error_case error;
	struct frame in;

	talk_establish(&talk);
	error = plain_error(&talk);
	in = error_in(&error);
	world_flow(world, flow_place(world, talk_flow(&talk)))->control.generation++;
	passes(world, &in);
	world_flow(world, flow_place(world, talk_flow(&talk)))->control.generation--;
	forwarded(&error);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(about_tcp),
		world_test(about_udp),
		world_test(about_the_first_packet),
		world_test(about_a_closing_flow),
		world_test(to_another_interface),
		world_test(client_kept),
		world_test(odd_shapes),
		world_test(every_checksum),
		world_test(wrong_stays_wrong),
		world_test(ttl_runs_out),
		world_test(no_way_on),
		world_test(other_kinds_pass),
		world_test_v4(spoiled_pass),
		world_test_v6(spoiled_pass_v6),
		world_test(wrong_way_passes),
		world_test(killed_passes),
	};

	return packet_tests(tests);
}
