// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

#include <net/if.h>
#include <string.h>

#define UDP_MOST 1472
#define TCP_MOST 1460

static void tcp_behind_gateway(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	talk_client(&talk, ACK | PSH, 100);
	talk_backend(&talk, ACK, 0);
	talk_backend(&talk, ACK | PSH, 1460);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
}

static void tcp_on_link(void **state)
{
	struct talk talk = talk_tcp(*state, NEIGHBOUR, 40000);

	talk_establish(&talk);
	talk_client(&talk, ACK | PSH, 7);
	talk_backend(&talk, ACK | PSH, 9);
	assert_flows(*state, 0, 1, 0);
}

/* The route's gateway is none that weir knows: answered where the SYN came from. */
static void tcp_behind_unknown_gateway(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	world_gateway(*state, GATEWAY, "weir0", 0);
	talk.client_hop = mac_of(CLIENT);
	talk_establish(&talk);
	talk_backend(&talk, ACK | PSH, 9);
}

/* A later packet of the client from another MAC address does not turn the replies. */
static void client_mac_is_that_of_the_syn(void **state)
{
	struct talk talk = talk_tcp(*state, NEIGHBOUR, 40000);
	struct segment odd;

	talk_establish(&talk);
	odd = client_segment(&talk, ACK, 0);
	odd.from = mac_of(BACKEND_2);
	talk_client_with(&talk, &odd);
	talk_backend(&talk, ACK | PSH, 9);
}

static void udp_there_and_back(void **state)
{
	struct talk behind = talk_udp(*state, CLIENT, 40000);
	struct talk on_link = talk_udp(*state, NEIGHBOUR, 40000);

	talk_open(&behind);
	talk_open(&on_link);
	talk_backend(&on_link, 0, 12);
	talk_backend(&behind, 0, 500);
	talk_client(&on_link, 0, 13);
	talk_client(&behind, 0, 33);
	assert_flows(*state, 2, 0, 0);
}

static void other_interface(void **state)
{
	struct talk talk = talk_tcp(*state, FAR_CLIENT, 40000);

	talk.sends = XDP_REDIRECT;
	world_ingress(*state, "weir1");
	talk_open(&talk);
	world_ingress(*state, "weir0");
	talk_backend(&talk, SYN | ACK, 0);
	world_ingress(*state, "weir1");
	talk_client(&talk, ACK, 0);
	world_ingress(*state, "weir0");
	talk_backend(&talk, ACK | PSH, 50);
	assert_flows(*state, 0, 1, 0);
}

/* Weir sends from there no more: nothing is lost without a word. */
static void interface_that_weir_does_not_send_from(void **state)
{
	struct talk talk = talk_tcp(*state, FAR_CLIENT, 40000);
	struct world *world = *state;
	uint32_t far = if_nametoindex("weir1"), egresses[4];
	struct segment reply;
	struct frame in;
	struct outcome outcome;

	talk.sends = XDP_REDIRECT;
	world_ingress(world, "weir1");
	talk_open(&talk);
	assert_int_equal(datapath_egresses(world->datapath, egresses, 4), 2);
	datapath_remove_egress(world->datapath, far);
	assert_int_equal(datapath_egresses(world->datapath, egresses, 4), 1);
	assert_int_equal(datapath_egresses(world->datapath, egresses, 0), 0);
	world_ingress(world, "weir0");
	reply = backend_segment(&talk, SYN | ACK, 0);
	in = frame_of(&reply);
	outcome = world_run(world, &in);
	assert_int_equal(outcome.reason, WEIR_REASON_NO_EGRESS);
	assert_int_equal(outcome.verdict, XDP_DROP);
	assert_int_equal(datapath_add_egress(world->datapath, far), 0);
	talk_backend(&talk, SYN | ACK, 0);
	assert_true(datapath_add_egress(world->datapath, 9999) < 0);
}

static void every_length_tcp(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	for (size_t payload = 0; payload <= TCP_MOST; payload++) {
		talk_client(&talk, ACK, payload);
		talk_backend(&talk, ACK, payload);
	}
}

static void every_length_udp(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);

	talk_open(&talk);
	for (size_t payload = 0; payload <= UDP_MOST; payload++) {
		talk_client(&talk, 0, payload);
		talk_backend(&talk, 0, payload);
	}
}

/* Each value of the IP id and of a payload word: both checksums take on every value. */
static void every_checksum(struct talk *talk, uint8_t flags)
{
	struct segment forth = client_segment(talk, flags, 9);
	struct segment back = backend_segment(talk, flags, 2);

	for (uint32_t value = 1; value <= 0xffff; value++) {
		forth.id = back.id = (uint16_t)value;
		forth.first_word = back.first_word = (uint16_t)value;
		talk_client_with(talk, &forth);
		talk_backend_with(talk, &back);
	}
}

static void every_checksum_tcp(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	every_checksum(&talk, ACK);
}

static void every_checksum_udp(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);

	talk_open(&talk);
	every_checksum(&talk, 0);
}

/* Where the checksums of IP and of TCP stand in a segment without options. */
#define IP_CHECKSUM (ETHERNET_LENGTH + 10)
#define TCP_CHECKSUM (ETHERNET_LENGTH + frame_ip_length() + 16)

/* 0xffff instead of 0 in a header: the other zero of one's complement, which also verifies. */
static void the_other_zero(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in, expected;
	struct frame frame, out;

	talk_establish(&talk);
	in = client_segment(&talk, ACK, 2);
	do {
		in.id++;
		frame = frame_of(&in);
	} while (frame_family() == WEIR_IPV4 && get16(frame.bytes + IP_CHECKSUM));
	in.first_word = 1;
	do {
		in.first_word++;
		frame = frame_of(&in);
	} while (get16(frame.bytes + TCP_CHECKSUM));
	if (frame_family() == WEIR_IPV4)
		put16(frame.bytes + IP_CHECKSUM, 0xffff);
	put16(frame.bytes + TCP_CHECKSUM, 0xffff);
	expected = to_backend(&talk, &in);
	out = frame_of(&expected);
	world_send(*state, &frame, WEIR_REASON_TO_BACKEND, XDP_TX, &out);
}

static void spoil(struct frame *frame)
{
	uint8_t *ip = frame->bytes + IP_CHECKSUM, *tcp = frame->bytes + TCP_CHECKSUM;

	if (frame_family() == WEIR_IPV4)
		put16(ip, (uint16_t)(get16(ip) - 0x100));
	put16(tcp, (uint16_t)(get16(tcp) - 3));
}

/* weir repairs nothing: what came in with a wrong checksum leaves with a wrong one. */
static void wrong_stays_wrong(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in, expected;
	struct frame frame, out;

	talk_establish(&talk);
	in = client_segment(&talk, ACK, 64);
	frame = frame_of(&in);
	spoil(&frame);
	expected = to_backend(&talk, &in);
	out = frame_of(&expected);
	spoil(&out);
	world_send(*state, &frame, WEIR_REASON_TO_BACKEND, XDP_TX, &out);
}

static void udp_without_checksum(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);
	struct segment forth, back;

	forth = client_segment(&talk, 0, 21);
	forth.no_checksum = true;
	talk_open_with(&talk, &forth);
	back = backend_segment(&talk, 0, 22);
	back.no_checksum = true;
	talk_backend_with(&talk, &back);
	talk_client_with(&talk, &forth);
}

static void add_options(struct segment *segment, size_t length)
{
	segment->options_length = length;
	segment->options[0] = 7; /* record route */
	segment->options[1] = (uint8_t)(length - 1);
	segment->options[2] = 4;
}

static void ip_options_kept(void **state)
{
	struct talk tcp = talk_tcp(*state, CLIENT, 40000);
	struct talk udp = talk_udp(*state, CLIENT, 40000);
	struct segment segment;

	segment = client_segment(&tcp, SYN, 0);
	add_options(&segment, 40);
	talk_open_with(&tcp, &segment);
	segment = client_segment(&udp, 0, 5);
	add_options(&segment, 8);
	talk_open_with(&udp, &segment);
	for (size_t length = 4; length <= 40; length += 4) {
		segment = backend_segment(&udp, 0, length);
		add_options(&segment, length);
		talk_backend_with(&udp, &segment);
		segment = client_segment(&tcp, ACK, 100);
		add_options(&segment, length);
		talk_client_with(&tcp, &segment);
	}
}

/* DSCP, ECN, id, TCP options, urgent pointer, window, reserved flags, padding of the frame. */
static void everything_else_kept(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment segment = client_segment(&talk, SYN | 0xc0, 0);

	segment.tcp_options_length = 20;
	memcpy(segment.tcp_options, "\x02\x04\x05\xb4\x04\x02\x08\x0a\x12\x34\x56\x78", 12);
	memcpy(segment.tcp_options + 16, "\x01\x03\x03\x07", 4);
	segment.tos = 0xba;
	segment.fragment = 0;
	talk_open_with(&talk, &segment);
	segment = backend_segment(&talk, ACK | 0x20, 0);
	segment.urgent = 0x8001;
	segment.window = 0;
	segment.id = 0;
	segment.ttl = 255;
	segment.padding = 6;
	talk_backend_with(&talk, &segment);
	segment = client_segment(&talk, ACK, 1);
	segment.fragment = 0x8000 | 0x4000;
	segment.ttl = 2;
	segment.padding = 400;
	talk_client_with(&talk, &segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(tcp_behind_gateway),
		world_test(tcp_on_link),
		world_test(tcp_behind_unknown_gateway),
		world_test(client_mac_is_that_of_the_syn),
		world_test(udp_there_and_back),
		world_test(other_interface),
		world_test(interface_that_weir_does_not_send_from),
		world_test(every_length_tcp),
		world_test(every_length_udp),
		world_test(every_checksum_tcp),
		world_test(every_checksum_udp),
		world_test(the_other_zero),
		world_test(wrong_stays_wrong),
		world_test(udp_without_checksum),
		world_test(ip_options_kept),
		world_test(everything_else_kept),
	};

	return packet_tests(tests);
}
