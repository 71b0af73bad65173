// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "tests/packet/direct.h"
#include "tests/packet/talk.h"

/*
 * Whatever packets may have, mixed by chance: tags, options, extension headers, padding, odd lengths, fragments, every
 * checksum, errors that quote any part of it. Each frame that leaves is compared whole with one built by other code.
 */

#define ROUNDS 60000
#define SEED 0x2545f4914f6cdd1dULL
#define LINEAR 400                  /* all headers, also those of what is quoted */
#define ROUTED IP4(203, 0, 113, 80) /* a service address that the host does not have */
#define ROUTER IP4(10, 9, 8, 7)

enum { TALKS = 4, ECHO_REQUEST = 8, ECHO_REPLY = 0, UNREACHABLE = 3, PORT = 3, TIME_EXCEEDED = 11 };

struct mixture {
	struct world *world;
	uint64_t random;
	struct talk talks[TALKS];
};

/* xorshift64* */
static uint32_t draw(struct mixture *mixture, uint32_t below)
{
	mixture->random ^= mixture->random >> 12;
	mixture->random ^= mixture->random << 25;
	mixture->random ^= mixture->random >> 27;
	return (uint32_t)((mixture->random * 0x2545f4914f6cdd1dULL) >> 32) % below;
}

static void draw_bytes(struct mixture *mixture, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)draw(mixture, 256);
}

/* What stands before TCP, UDP or ICMP. */
static void vary_ip(struct mixture *mixture, struct segment *segment)
{
	segment->tags = draw(mixture, 3);
	segment->options_length = draw(mixture, 2) ? 4 * draw(mixture, 11) : 0;
	draw_bytes(mixture, segment->options, sizeof(segment->options));
	segment->ttl = (uint8_t)(2 + draw(mixture, 254));
	segment->tos = (uint8_t)draw(mixture, 256);
	segment->id = (uint16_t)draw(mixture, 65536);
	segment->padding = draw(mixture, 2) ? draw(mixture, 8) : 0;
	if (draw(mixture, 2))
		segment->fragment = 0;
}

static void vary(struct mixture *mixture, struct segment *segment)
{
	vary_ip(mixture, segment);
	segment->payload = draw(mixture, draw(mixture, 2) ? 20 : 1300);
	segment->seed = (uint8_t)draw(mixture, 256);
	if (segment->payload >= 2)
		segment->first_word = (uint16_t)draw(mixture, 65536);
	if (segment->protocol == PROTOCOL_UDP) {
		segment->no_checksum = !draw(mixture, 4);
		return;
	}
	segment->tcp_options_length = draw(mixture, 2) ? 4 * draw(mixture, 11) : 0;
	draw_bytes(mixture, segment->tcp_options, sizeof(segment->tcp_options));
	segment->window = (uint16_t)draw(mixture, 65536);
	segment->urgent = (uint16_t)draw(mixture, 65536);
}

/* Extension headers of IPv6, any that weir goes over, in any order. */
struct chain {
	size_t count, length;
	uint8_t kinds[6];
	uint8_t bytes[6 * 40];
};

static struct chain draw_chain(struct mixture *mixture)
{
	static const uint8_t kinds[] = { 0, 43, 60, 44 };
	struct chain chain = { .count = draw(mixture, 2) ? draw(mixture, 7) : 0 };

	if (frame_family() == WEIR_IPV4)
		chain.count = 0;
	draw_bytes(mixture, chain.bytes, sizeof(chain.bytes));
	for (size_t i = 0; i < chain.count; i++) {
		uint8_t *at = chain.bytes + chain.length;
		uint8_t units = (uint8_t)draw(mixture, 5);

		chain.kinds[i] = kinds[draw(mixture, 4)];
		at[1] = units;
		at[3] = 0; /* routing: no segments left */
		if (chain.kinds[i] == 44) {
			at[2] = units = 0; /* atomic */
			at[3] &= 6;
		}
		chain.length += 8 * (size_t)(units + 1);
	}
	return chain;
}

/* @frame with the headers of @chain behind that of IPv6. */
static struct frame with(const struct frame *frame, size_t tags, const struct chain *chain)
{
	struct frame out = *frame;
	uint8_t *ip = out.bytes + ETHERNET_LENGTH + 4 * tags, *next = ip + 6, *at = ip + 40;
	const uint8_t protocol = *next;

	if (!chain->count)
		return out;
	memcpy(at, chain->bytes, chain->length);
	for (size_t i = 0; i < chain->count; i++) {
		*next = chain->kinds[i];
		next = at;
		at += chain->kinds[i] == 44 ? 8 : 8 * (size_t)(at[1] + 1);
	}
	*next = protocol;
	memcpy(at, frame->bytes + (ip - out.bytes) + 40,
	       frame->length - (size_t)(ip - out.bytes) - 40);
	out.length += chain->length;
	put16(ip + 4, (uint16_t)(get16(ip + 4) + chain->length));
	return out;
}

static struct talk *any_talk(struct mixture *mixture, bool forth, struct segment *in)
{
	struct talk *talk = &mixture->talks[draw(mixture, TALKS)];

	*in = forth ? client_segment(talk, ACK, 0) : backend_segment(talk, ACK, 0);
	vary(mixture, in);
	return talk;
}

static struct segment on_the_other_side(const struct talk *talk, bool forth,
					const struct segment *in)
{
	return forth ? to_backend(talk, in) : to_client(talk, in);
}

static void compare(struct mixture *mixture, const struct frame *in, enum weir_reason reason,
		    const struct frame *out)
{
	world_send(mixture->world, in, reason, XDP_TX, out);
}

static void whole(struct mixture *mixture)
{
	bool forth = draw(mixture, 2);
	struct segment in, out;
	struct talk *talk = any_talk(mixture, forth, &in);
	const struct chain chain = draw_chain(mixture);
	struct frame frame_in, frame_out;

	if (chain.count == 6)
		in.options_length = 0; /* it would be the seventh */
	out = on_the_other_side(talk, forth, &in);
	frame_in = frame_of(&in);
	frame_in = with(&frame_in, in.tags, &chain);
	frame_out = frame_of(&out);
	frame_out = with(&frame_out, in.tags, &chain);
	compare(mixture, &frame_in, forth ? WEIR_REASON_TO_BACKEND : WEIR_REASON_TO_CLIENT,
		&frame_out);
}

/* The bytes [first, first + length) of what the IP packet carries, as a fragment. */
static struct frame piece(const struct segment *whole_, size_t first, size_t length, bool more)
{
	struct frame all = frame_of(whole_);
	struct segment segment = *whole_;

	segment.fragment = (uint16_t)((more ? FRAME_MORE_FRAGMENTS : 0) | first / 8);
	return frame_of_bytes(&segment, all.bytes + frame_l4(whole_) + first, length);
}

static void pieces(struct mixture *mixture)
{
	bool forth = draw(mixture, 2), more = true;
	struct segment in, out;
	struct talk *talk = any_talk(mixture, forth, &in);
	size_t header = in.protocol == PROTOCOL_TCP ? 20 + in.tcp_options_length : 8;
	size_t first = 0, length = header + in.payload;
	enum weir_reason reason = forth ? WEIR_REASON_TO_BACKEND : WEIR_REASON_TO_CLIENT;

	in.fragment = 0;
	out = on_the_other_side(talk, forth, &in);
	out.id = (uint16_t)mixture->world->tables->shared->fragmented;
	for (size_t cut = 64 + 8 * draw(mixture, 10); first < length; first += cut) {
		struct frame frame_in, frame_out;
		size_t here = cut;

		more = first + cut < length;
		if (!more)
			here = length - first;
		if (!first && !more)
			return;
		/* The last one may bring more headers, or fewer. */
		in.ttl = (uint8_t)(2 + draw(mixture, 254));
		in.padding = out.padding = draw(mixture, 5);
		out.ttl = (uint8_t)(in.ttl - 1);
		frame_in = piece(&in, first, here, more);
		frame_out = piece(&out, first, here, more);
		compare(mixture, &frame_in, first ? WEIR_REASON_LATER_FRAGMENT : reason,
			&frame_out);
	}
}

/* Who gets an error about @in, which came to the other side as @sent: from a router, or that side itself. */
static void error(struct mixture *mixture)
{
	static const uint8_t types[] = { 3, 11, 12 };
	bool forth = draw(mixture, 2), self = draw(mixture, 2);
	uint8_t type = types[draw(mixture, 3)];
	struct segment about, sent, outer = udp_datagram(ROUTER, 0, 0, 0, 0);
	struct talk *talk = any_talk(mixture, forth, &about);
	uint32_t rest = draw(mixture, 1U << 31);
	struct frame before, after, in, out;
	size_t length, least;

	about.tags = about.padding = 0;
	sent = on_the_other_side(talk, forth, &about);
	about.ttl--;
	before = frame_of(&sent);
	after = frame_of(&about);
	least = frame_l4(&sent) - ETHERNET_LENGTH + 8;
	length = least + draw(mixture, (uint32_t)(before.length - ETHERNET_LENGTH - least + 1));
	if (about.protocol == PROTOCOL_TCP && length == least + 9)
		length--; /* half a checksum is nobody's */
	vary_ip(mixture, &outer);
	outer.fragment = 0;
	outer.to = mac_of(WEIR);
	outer.destination = sent.source;
	if (self)
		outer.source = sent.destination;
	in = icmp_message(&outer, type, 0, rest, before.bytes + ETHERNET_LENGTH, length);
	outer.ttl--;
	outer.from = mac_of(WEIR);
	outer.to = forth ? talk->client_hop : mac_of(talk->backend);
	outer.destination = about.source;
	if (self)
		outer.source = about.destination;
	out = icmp_message(&outer, type, 0, rest, after.bytes + ETHERNET_LENGTH, length);
	compare(mixture, &in, WEIR_REASON_ICMP_ERROR, &out);
}

/* dsr or ipip, whichever is served now. */
static void direct(struct mixture *mixture)
{
	uint16_t port = (uint16_t)(1024 + draw(mixture, 5000));
	struct segment in = draw(mixture, 2) ? tcp_segment(CLIENT, port, WEIR, DIRECT_PORT, ACK) :
					       udp_datagram(CLIENT, port, WEIR, DIRECT_PORT, 0);
	struct frame frame, expected;
	struct outcome outcome;

	vary(mixture, &in);
	in.payload %= 1250;
	if (in.payload < 2)
		in.first_word = 0;
	frame = frame_of(&in);
	expected = direct_expected(mixture->world, &in, BACKEND_1);
	outcome = world_run(mixture->world, &frame);
	if (outcome.frame.length == expected.length && outcome.verdict == XDP_TX &&
	    !memcmp(outcome.frame.bytes, expected.bytes, expected.length))
		return;
	compare(mixture, &frame, outcome.reason, &expected);
}

/* The same in fragments. Those behind the first have no ports, of which the outer flow label is made. */
static void direct_pieces(struct mixture *mixture)
{
	uint16_t port = (uint16_t)(1024 + draw(mixture, 5000));
	struct segment in = udp_datagram(CLIENT, port, WEIR, DIRECT_PORT, 0), out;
	const struct outer outer = { mapped(WEIR), mapped(BACKEND_1), false, 0 };
	struct weir_tuple tuple = tuple_of(&in);
	size_t cut = 8 + 8 * draw(mixture, 20), length;

	vary(mixture, &in);
	in.fragment = 0;
	in.payload = 160 + in.payload % 1000;
	length = 8 + in.payload;
	out = in;
	out.to = mac_of(BACKEND_1);
	out.from = mac_of(WEIR);
	out.ttl--;
	for (size_t first = 0; first < length; first += cut) {
		bool more = first + cut < length;
		size_t here = more ? cut : length - first;
		struct frame frame = piece(&in, first, here, more);
		struct frame expected = piece(&out, first, here, more);
		struct outcome outcome = world_run(mixture->world, &frame);

		if (first)
			tuple.source_port = tuple.destination_port = 0;
		if (mixture->world->tables->services[DIRECT].mode == WEIR_MODE_IPIP)
			expected = encapsulated(&expected, in.tags, &outer,
						world_hash(mixture->world, &tuple));
		if (outcome.verdict != XDP_TX || outcome.frame.length != expected.length ||
		    memcmp(outcome.frame.bytes, expected.bytes, expected.length))
			compare(mixture, &frame, outcome.reason, &expected);
	}
}

/* At its last hop. */
static void exceeded(struct mixture *mixture)
{
	bool forth = draw(mixture, 2);
	struct segment in;
	struct frame frame, expected;

	any_talk(mixture, forth, &in);
	in.ttl = (uint8_t)draw(mixture, 2);
	if (draw(mixture, 2))
		in.destination_port = forth ? DIRECT_PORT : in.destination_port;
	frame = frame_of(&in);
	expected = icmp_error(in.from, in.to, in.destination, in.source, TIME_EXCEEDED, 0, &frame);
	compare(mixture, &frame, WEIR_REASON_TTL_EXCEEDED, &expected);
}

static void refused(struct mixture *mixture)
{
	bool tcp = draw(mixture, 2);
	struct segment in = tcp ? tcp_segment(CLIENT, 100, WEIR, 8000,
					      draw(mixture, 2) ? ACK : FIN) :
				  udp_datagram(CLIENT, 100, WEIR, 8001, 0);
	struct segment reset = tcp_segment(WEIR, 8000, CLIENT, 100, RST);
	struct frame frame, expected;

	vary(mixture, &in);
	in.sequence = draw(mixture, 1U << 31) * 2;
	in.acknowledgement = in.flags & ACK ? draw(mixture, 1U << 31) * 2 : 0;
	frame = frame_of(&in);
	if (!tcp) {
		expected = icmp_error(in.from, in.to, WEIR, CLIENT, UNREACHABLE, PORT, &frame);
		compare(mixture, &frame, WEIR_REASON_NO_BACKEND, &expected);
		return;
	}
	reset.to = in.from;
	reset.from = in.to;
	reset.id = reset.window = 0;
	reset.tags = in.tags;
	if (in.flags & ACK) {
		reset.sequence = in.acknowledgement;
	} else {
		reset.flags |= ACK;
		reset.sequence = 0;
		reset.acknowledgement = in.sequence + (uint32_t)in.payload + 1;
	}
	expected = frame_of(&reset);
	compare(mixture, &frame, WEIR_REASON_NO_FLOW, &expected);
}

static void ping(struct mixture *mixture)
{
	struct segment outer = udp_datagram(CLIENT, 0, ROUTED, 0, 0);
	uint32_t rest = draw(mixture, 1U << 31) * 2;
	uint8_t body[1400];
	size_t length = draw(mixture, 1300);
	struct frame in, out;

	draw_bytes(mixture, body, length);
	vary_ip(mixture, &outer);
	in = icmp_message(&outer, ECHO_REQUEST, 0, rest, body, length);
	outer.to = mac_of(CLIENT);
	outer.from = mac_of(ROUTED);
	outer.source = ROUTED;
	outer.destination = CLIENT;
	outer.ttl = 64;
	out = icmp_message(&outer, ECHO_REPLY, 0, rest, body, length);
	if (frame_family() == WEIR_IPV4 && !get16(out.bytes + frame_l4(&outer) + 2))
		put16(out.bytes + frame_l4(&outer) + 2, 0xffff); /* as good */
	compare(mixture, &in, WEIR_REASON_ECHO, &out);
}

static void mixture(void **state)
{
	static void (*const kinds[])(struct mixture * mixture) = { whole,         pieces,  error,
								   direct,        refused, ping,
								   direct_pieces, exceeded };
	const char *seed = getenv("WEIR_TEST_SEED");
	const struct weir_address backend = mapped(BACKEND_1);
	struct world *world = *state;
	struct mixture mixture = {
		.world = world,
		.random = seed ? strtoull(seed, NULL, 0) | 1 : SEED,
		.talks = { talk_tcp(world, CLIENT, 40000), talk_tcp(world, NEIGHBOUR, 40000),
			   talk_udp(world, CLIENT, 40000), talk_udp(world, NEIGHBOUR, 40001) },
	};
	bool splits = world_splits(world);

	for (size_t i = 0; i < TALKS; i++)
		if (mixture.talks[i].protocol == PROTOCOL_TCP)
			talk_establish(&mixture.talks[i]);
		else
			talk_open(&mixture.talks[i]);
	world->tables->runtime->icmp_rate = world->tables->runtime->reset_rate = 1 << 20;
	world_service(world, SERVICES_USED, ROUTED, 8000, PROTOCOL_TCP, 0);
	world_echo(world, ROUTED);
	for (int i = 0; i < ROUNDS; i++) {
		if (i == 0 || i == ROUNDS / 2)
			direct_serve_one(world, i ? WEIR_MODE_IPIP : WEIR_MODE_DSR, BACKEND_1,
					 &backend);
		world->linear = splits && !draw(&mixture, 4) ? LINEAR + draw(&mixture, 100) : 0;
		kinds[draw(&mixture, sizeof(kinds) / sizeof(kinds[0]))](&mixture);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { world_test(mixture) };

	return packet_tests(tests);
}
