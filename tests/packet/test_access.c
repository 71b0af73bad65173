// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

/* Clients that a service leaves out get nothing, whatever they send; what goes on already goes on. */

enum { DIRECT = 20, LIST = 7, OTHER_LIST = 8, PORT = 9000 };

/* Not served: 10.0.0.0/16 but for 10.0.0.99. */
static void with_rules(struct world *world, uint32_t service)
{
	world_access(world, service, LIST, WEIR, 0, WEIR_ACCESS_ALLOW);
	world_access(world, service, LIST, IP4(10, 0, 0, 0), 16, WEIR_ACCESS_DENY);
	world_access(world, service, LIST, IP4(10, 0, 0, 99), 32, WEIR_ACCESS_ALLOW);
}

static void deny_all(struct world *world)
{
	for (uint32_t service = WEB; service < SERVICES_USED; service++)
		with_rules(world, service);
}

/* Whatever a client sends that has no flow: no RST, no ICMP, not one byte. */
static void nothing_comes_back(void **state)
{
	const struct {
		uint16_t port;
		uint8_t protocol, flags, ttl;
		enum weir_reason reason;
	} rows[] = {
		{ 8000, PROTOCOL_TCP, SYN, 64, WEIR_REASON_DENIED },
		{ 8000, PROTOCOL_TCP, ACK, 64, WEIR_REASON_DENIED },
		{ 8000, PROTOCOL_TCP, RST, 64, WEIR_REASON_DENIED },
		{ 8000, PROTOCOL_TCP, SYN, 1, WEIR_REASON_DENIED },
		{ 53, PROTOCOL_UDP, 0, 64, WEIR_REASON_DENIED },
		{ 53, PROTOCOL_UDP, 0, 1, WEIR_REASON_DENIED },
		{ 8001, PROTOCOL_TCP, SYN, 64, WEIR_REASON_DENIED }, /* no backend either */
		{ 8001, PROTOCOL_UDP, 0, 64, WEIR_REASON_DENIED },
		{ 9999, PROTOCOL_TCP, SYN, 64, WEIR_REASON_NOT_OURS },
	};

	deny_all(*state);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segment in = udp_datagram(CLIENT, 40000, WEIR, rows[i].port, 10);
		struct frame frame;

		if (rows[i].protocol == PROTOCOL_TCP)
			in = tcp_segment(CLIENT, 40000, WEIR, rows[i].port, rows[i].flags);
		in.ttl = rows[i].ttl;
		frame = frame_of(&in);
		world_send(*state, &frame, rows[i].reason,
			   rows[i].reason == WEIR_REASON_DENIED ? XDP_DROP : XDP_PASS, NULL);
	}
}

/* A service names a list that is gone: rather nobody than everybody. */
static void no_such_list(void **state)
{
	struct segment in = tcp_segment(CLIENT, 40000, WEIR, 8000, SYN);
	struct frame frame = frame_of(&in);

	with_rules(*state, DNS);
	service_of(*state, WEB)->access = 99;
	world_send(*state, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
}

static void open_from(struct world *world, uint32_t client)
{
	struct talk talk = talk_tcp(world, client, 40000);

	talk_establish(&talk);
}

static void refuse_from(struct world *world, uint32_t client)
{
	struct segment in = tcp_segment(client, 40000, WEIR, 8000, SYN);
	struct frame frame = frame_of(&in);

	world_send(world, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
}

static void the_longest_prefix_decides(void **state)
{
	with_rules(*state, WEB);
	open_from(*state, IP4(10, 0, 0, 99));
	refuse_from(*state, IP4(10, 0, 0, 98));
	refuse_from(*state, IP4(10, 0, 0, 100));
	refuse_from(*state, IP4(10, 0, 255, 255));
	open_from(*state, NEIGHBOUR);
	assert_flows(*state, 0, 2, 0);
}

/* nat: a flow that is there goes on, also half-open, and when its client may not come again. */
static void known_flows_go_on(void **state)
{
	struct world *world = *state;
	struct talk established = talk_tcp(world, CLIENT, 40000),
		    half = talk_tcp(world, CLIENT, 40001);
	struct talk closed = talk_tcp(world, CLIENT, 40002),
		    datagrams = talk_udp(world, CLIENT, 40000);
	struct segment in;
	struct frame frame;

	talk_establish(&established);
	talk_establish(&closed);
	talk_open(&half);
	talk_open(&datagrams);
	deny_all(world);
	talk_client(&established, ACK | PSH, 100);
	talk_backend(&established, ACK, 0);
	talk_backend(&half, SYN | ACK, 0);
	talk_client(&half, ACK, 0);
	talk_client(&datagrams, 0, 10);
	/* The connection after it is a new one. */
	talk_client(&closed, FIN | ACK, 0);
	talk_backend(&closed, FIN | ACK, 0);
	talk_client(&closed, ACK, 0);
	assert_state(&closed, CLOSING);
	in = client_segment(&closed, SYN, 0);
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
}

/* Another list of the service counts from the next packet on. */
static void another_list(void **state)
{
	struct world *world = *state;

	with_rules(world, WEB);
	refuse_from(world, CLIENT);
	world_access(world, WEB, OTHER_LIST, IP4(10, 0, 0, 0), 16, WEIR_ACCESS_ALLOW);
	open_from(world, CLIENT);
	refuse_from(world, NEIGHBOUR);
	service_of(world, WEB)->access = 0;
	open_from(world, NEIGHBOUR);
}

/* dsr, ipip: each packet without a session is asked about; one with a session goes on. */
static void direct(struct world *world, enum weir_mode mode)
{
	const uint32_t snat = WEIR;
	struct segment known = tcp_segment(CLIENT, 40000, WEIR, PORT, SYN), in = known;
	struct frame frame = frame_of(&known);
	struct slot_candidate one[1] = { { 0, 1, 0 } };

	world_service(world, DIRECT, WEIR, PORT, PROTOCOL_TCP, 0);
	one[0].backend = world_backend(world, DIRECT, BACKEND_1, PORT);
	service_of(world, DIRECT)->mode = (uint8_t)mode;
	world_slots(world, DIRECT, WEIR_SCHEDULER_HASH, one, 1);
	world_snat_addresses(world, &snat, 1);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NEW_FLOW);
	with_rules(world, DIRECT);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_TO_BACKEND);
	known.flags = ACK;
	frame = frame_of(&known);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_TO_BACKEND);
	in.source_port = 40001;
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
	in.flags = ACK;
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
	in.ttl = 1;
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_DENIED, XDP_DROP, NULL);
	in = tcp_segment(IP4(10, 0, 0, 99), 40001, WEIR, PORT, ACK);
	frame = frame_of(&in);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_HASHED);
}

static void direct_replies(void **state)
{
	direct(*state, WEIR_MODE_DSR);
}

static void tunnelled(void **state)
{
	direct(*state, WEIR_MODE_IPIP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(nothing_comes_back),
		world_test(no_such_list),
		world_test(the_longest_prefix_decides),
		world_test(known_flows_go_on),
		world_test(another_list),
		world_test(direct_replies),
		world_test(tunnelled),
	};

	return packet_tests(tests);
}
