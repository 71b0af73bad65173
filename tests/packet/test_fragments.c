// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "tests/packet/talk.h"

/* Datagrams in pieces: the first has the ports, the others follow it; all get one new id. */

/* The bytes [first, first + length) of the IP payload of @whole, as a fragment. */
static struct frame piece(const struct segment *whole, size_t first, size_t length)
{
	struct frame all = frame_of(whole);
	size_t l4 = frame_l4(whole), rest = all.length - whole->padding - l4 - first;
	struct segment segment = *whole;

	if (length < rest)
		segment.fragment |= FRAME_MORE_FRAGMENTS;
	segment.fragment |= (uint16_t)(first / 8);
	return frame_of_bytes(&segment, all.bytes + l4 + first, length < rest ? length : rest);
}

/* The UDP header in the first piece of @whole. */
static uint8_t *udp_in(struct frame *frame, const struct segment *whole)
{
	struct segment first = *whole;

	first.fragment |= FRAME_MORE_FRAGMENTS;
	return frame->bytes + frame_l4(&first);
}

static uint16_t next_id(const struct world *world)
{
	return (uint16_t)world->tables->shared->fragmented;
}

static struct segment out_of(const struct talk *talk, const struct segment *in, bool forth,
			     uint16_t id)
{
	struct segment out = forth ? to_backend(talk, in) : to_client(talk, in);

	out.id = id;
	return out;
}

/* Sends the piece from @first on; @id: what it must get. */
static void sent(struct talk *talk, const struct segment *in, bool forth, size_t first,
		 size_t length, uint16_t id)
{
	struct segment out = out_of(talk, in, forth, id);
	struct frame frame_in = piece(in, first, length), frame_out = piece(&out, first, length);
	enum weir_reason way = forth ? WEIR_REASON_TO_BACKEND : WEIR_REASON_TO_CLIENT;

	world_send(talk->world, &frame_in, first ? WEIR_REASON_LATER_FRAGMENT : way, talk->sends,
		   &frame_out);
}

static void all_sent(struct talk *talk, const struct segment *in, bool forth, size_t length)
{
	uint16_t id = next_id(talk->world);

	for (size_t first = 0; first < 8 + in->payload; first += length)
		sent(talk, in, forth, first, length, id);
	assert_int_equal(next_id(talk->world), (uint16_t)(id + 1));
}

static void there_and_back(void **state)
{
	static const uint32_t clients[] = { CLIENT, NEIGHBOUR };

	for (size_t i = 0; i < 2; i++) {
		struct talk talk = talk_udp(*state, clients[i], 40000);
		struct segment in;

		talk_open(&talk);
		for (size_t length = 8; length <= 512; length *= 2) {
			in = client_segment(&talk, 0, 1400);
			in.fragment = 0;
			in.id = (uint16_t)length;
			all_sent(&talk, &in, true, length);
			in = backend_segment(&talk, 0, 1401);
			in.fragment = 0;
			in.no_checksum = length == 64;
			in.padding = 4;
			all_sent(&talk, &in, false, length);
			in.options_length = 40;
			memset(in.options, 1, 40);
			all_sent(&talk, &in, false, length);
		}
	}
}

/* Most of each fragment lies in other pieces of the frame. */
static void little_in_the_first_piece(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_udp(world, CLIENT, 40000);
	struct segment in;

	if (!world_splits(world))
		return;
	talk_open(&talk);
	in = client_segment(&talk, 0, 1400);
	in.fragment = 0;
	world->linear = 128;
	all_sent(&talk, &in, true, 512);
}

/* The first packet of a flow comes in pieces. */
static void new_flow(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_udp(world, CLIENT, 40000);
	struct segment in = client_segment(&talk, 0, 1000), out;
	struct frame first, expected;
	const struct weir_flow *flow;
	struct outcome outcome;

	in.fragment = 0;
	first = piece(&in, 0, 512);
	outcome = world_run(world, &first);
	assert_int_equal(outcome.reason, WEIR_REASON_NEW_FLOW);
	flow = talk_flow(&talk);
	talk.backend = flow_backend(world, flow);
	talk.backend_port = ntohs(flow->backend_ports.source);
	talk.snat = flow_snat(world, flow);
	talk.snat_port = ntohs(flow->backend_ports.destination);
	out = out_of(&talk, &in, true, 0);
	expected = piece(&out, 0, 512);
	assert_int_equal(outcome.frame.length, expected.length);
	assert_memory_equal(outcome.frame.bytes, expected.bytes, expected.length);
	sent(&talk, &in, true, 512, 512, 0);
}

/* Two clients with one id towards one backend: their pieces must not meet there. */
static void same_id_of_two_clients(void **state)
{
	struct talk one = talk_udp(*state, CLIENT, 40000), two = talk_udp(*state, NEIGHBOUR, 40000);
	struct talk skipped = talk_udp(*state, CLIENT, 40001);
	struct segment first, second;
	uint16_t id;

	talk_open(&one);
	talk_open(&skipped); /* the other backend's */
	talk_open(&two);
	assert_int_equal(one.backend, two.backend);
	id = next_id(*state);
	first = client_segment(&one, 0, 600);
	second = client_segment(&two, 0, 600);
	first.fragment = second.fragment = 0;
	first.id = second.id = 77;
	sent(&one, &first, true, 0, 304, id);
	sent(&two, &second, true, 0, 304, (uint16_t)(id + 1));
	sent(&two, &second, true, 304, 304, (uint16_t)(id + 1));
	sent(&one, &first, true, 304, 304, id);
}

static void tcp(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in;

	talk_establish(&talk);
	in = client_segment(&talk, ACK | FIN, 900);
	in.fragment = 0;
	sent(&talk, &in, true, 0, 400, next_id(*state));
	sent(&talk, &in, true, 400, 800, (uint16_t)(next_id(*state) - 1));
	assert_int_equal(talk_flow(&talk)->client_next, talk.client_next + 380);
	assert_int_equal(talk_flow(&talk)->control.flags & WEIR_FLOW_FIN_CLIENT, 0);
}

static void passes(struct world *world, const struct frame *in)
{
	world_send(world, in, WEIR_REASON_FRAGMENT, XDP_PASS, NULL);
}

/* Without its first; of another id, protocol, source, destination. */
static void unknown_pass(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);
	struct segment in, other;
	struct frame frame;

	talk_open(&talk);
	in = client_segment(&talk, 0, 1000);
	in.fragment = 0;
	frame = piece(&in, 504, 504);
	passes(*state, &frame);
	sent(&talk, &in, true, 0, 504, next_id(*state));
	other = in;
	other.id++;
	frame = piece(&other, 504, 504);
	passes(*state, &frame);
	other = in;
	other.source++;
	frame = piece(&other, 504, 504);
	passes(*state, &frame);
	other = in;
	other.destination++;
	frame = piece(&other, 504, 504);
	passes(*state, &frame);
	if (frame_family() == WEIR_IPV4) {
		frame = piece(&in, 504, 504);
		frame.bytes[23] = PROTOCOL_TCP;
		ip_checksum_again(&frame);
		passes(*state, &frame);
	}
	sent(&talk, &in, true, 504, 504, (uint16_t)(next_id(*state) - 1));
}

/* The flow is over: its record may be another's by now. */
static void flow_over(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_udp(world, CLIENT, 40000);
	struct weir_flow *flow;
	struct segment in;
	struct frame frame;

	talk_open(&talk);
	in = client_segment(&talk, 0, 1000);
	in.fragment = 0;
	sent(&talk, &in, true, 0, 504, next_id(world));
	frame = piece(&in, 504, 504);
	flow = world_flow(world, flow_place(world, talk_flow(&talk)));
	flow->control.generation++;
	passes(world, &frame);
	flow->control.generation--;
	flow->control.state = WEIR_FLOW_DEAD;
	passes(world, &frame);
	flow->control.state = WEIR_FLOW_HALF_OPEN;
	sent(&talk, &in, true, 504, 504, (uint16_t)(next_id(world) - 1));
}

static void not_sent(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_udp(world, CLIENT, 40000);
	struct segment in;
	struct frame frame;

	talk_open(&talk);
	in = client_segment(&talk, 0, 1000);
	in.fragment = 0;
	sent(&talk, &in, true, 0, 504, next_id(world));
	in.ttl = 1;
	frame = piece(&in, 504, 504);
	world_send(world, &frame, WEIR_REASON_TTL_EXCEEDED_SILENT, XDP_DROP, NULL);
	in.ttl = 64;
	frame = piece(&in, 504, 504);
	world->tables->hops[world->tables->backends[talk.backend_id].hop].destination.flags = 0;
	world_send(world, &frame, WEIR_REASON_NO_NEXT_HOP, XDP_DROP, NULL);
}

/*
 * A first fragment too short for its ports; one with a length shorter than a header; one behind it that says
 * it is longer than the frame.
 */
static void malformed(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);
	struct segment in = client_segment(&talk, 0, 100);
	struct frame frame;

	talk_open(&talk);
	in.fragment = 0;
	sent(&talk, &in, true, 0, 64, next_id(*state));
	frame = piece(&in, 64, 44);
	frame.length--;
	world_send(*state, &frame, WEIR_REASON_MALFORMED_IP, XDP_DROP, NULL);
	frame = piece(&in, 0, 4);
	world_send(*state, &frame, WEIR_REASON_MALFORMED_UDP, XDP_DROP, NULL);
	frame = piece(&in, 0, 16);
	put16(udp_in(&frame, &in) + 4, 7);
	world_send(*state, &frame, WEIR_REASON_MALFORMED_UDP, XDP_DROP, NULL);
	frame = piece(&in, 0, 16);
	put16(udp_in(&frame, &in) + 2, 9999); /* not a service's port */
	world_send(*state, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(there_and_back),
		world_test(little_in_the_first_piece),
		world_test(new_flow),
		world_test(same_id_of_two_clients),
		world_test(tcp),
		world_test(unknown_pass),
		world_test(flow_over),
		world_test(not_sent),
		world_test(malformed),
	};

	return packet_tests(tests);
}
