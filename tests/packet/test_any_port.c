// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "tests/packet/talk.h"

/* Services on ranges of ports, or on any: which packets are theirs, and the port at the backend. */

enum { WIDE = 20, BESIDE, MANY };

#define SERVED IP4(192, 168, 178, 9)

/* WIDE has these ports of SERVED; the backend keeps them, or has @port. */
static void serve(struct world *world, uint8_t protocol, const struct weir_port_range *ranges,
		  size_t count, uint16_t port)
{
	const uint32_t snat = WEIR;
	struct slot_candidate one[1] = { { 0, 1, 0 } };

	world_service(world, WIDE, SERVED, 65000,
		      protocol == PROTOCOL_TCP ? PROTOCOL_UDP : PROTOCOL_TCP, 0);
	one[0].backend = world_backend(world, WIDE, BACKEND_1, port);
	world_slots(world, WIDE, WEIR_SCHEDULER_RR, one, 1);
	world_snat_addresses(world, &snat, 1);
	world_ranges(world, SERVED, protocol, ranges, count);
}

static struct talk talk_to(struct world *world, uint8_t protocol, uint16_t client_port,
			   uint16_t port)
{
	struct talk talk = protocol == PROTOCOL_TCP ? talk_tcp(world, CLIENT, client_port) :
						      talk_udp(world, CLIENT, client_port);

	talk.service = SERVED;
	talk.service_port = port;
	return talk;
}

static void pass(struct world *world, uint32_t address, uint8_t protocol, uint16_t port)
{
	struct segment in = tcp_segment(CLIENT, 40000, address, port, SYN);
	struct frame frame;

	if (protocol == PROTOCOL_UDP)
		in = udp_datagram(CLIENT, 40000, address, port, 10);
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
}

/* The borders, and the port that stays what it was. */
static void nat_keeps_the_port(void **state)
{
	static const struct weir_port_range ranges[] = {
		{ 1, 21, WIDE }, { 23, 79, WIDE }, { 91, 5000, WIDE }, { 65534, 65535, WIDE }
	};
	static const uint16_t served[] = { 1, 21, 23, 79, 91, 5000, 65534, 65535 };
	static const uint16_t others[] = { 0, 22, 80, 90, 5001, 65533 };
	struct world *world = *state;

	serve(world, PROTOCOL_TCP, ranges, 4, 0);
	for (size_t i = 0; i < sizeof(served) / sizeof(served[0]); i++) {
		struct talk talk = talk_to(world, PROTOCOL_TCP, 40000, served[i]);

		talk_establish(&talk);
		assert_int_equal(talk.backend_port, served[i]);
		talk_client(&talk, ACK | PSH, 100);
		talk_backend(&talk, ACK | PSH, 1000);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		pass(world, SERVED, PROTOCOL_TCP, others[i]);
	pass(world, WEIR, PROTOCOL_TCP, 100);
	pass(world, SERVED, PROTOCOL_UDP, 100);
	assert_flows(world, 0, 8, 0);
}

static void nat_to_one_port(void **state)
{
	static const struct weir_port_range any = { 1, 65535, WIDE };
	static const uint16_t ports[] = { 1, 80, 65535 };

	serve(*state, PROTOCOL_UDP, &any, 1, 5353);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct talk talk = talk_to(*state, PROTOCOL_UDP, 30000, ports[i]);

		talk_open(&talk);
		assert_int_equal(talk.backend_port, 5353);
		talk_backend(&talk, 0, 20);
	}
}

/* Each port of the backend has the client's own source port free. */
static void nat_source_ports(void **state)
{
	static const struct weir_port_range any = { 1, 65535, WIDE };
	struct world *world = *state;

	serve(world, PROTOCOL_TCP, &any, 1, 0);
	world_snat_ports(world, 20000, 20001);
	for (uint16_t port = 1; port <= 3; port++)
		for (uint16_t client = 20000; client < 20002; client++) {
			struct talk talk = talk_to(world, PROTOCOL_TCP, client, port);

			talk_open(&talk);
			assert_int_equal(talk.snat_port, client);
		}
	for (uint16_t port = 1; port <= 3; port++) {
		struct segment in = tcp_segment(CLIENT, 20002, SERVED, port, SYN);
		struct frame frame = frame_of(&in);

		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
	}
}

/* A port with a service of its own is that one's, in the midst of the range. */
static void an_exact_port_goes_before(void **state)
{
	static const struct weir_port_range any = { 1, 65535, WIDE };
	struct world *world = *state;
	struct slot_candidate one[1] = { { 0, 1, 0 } };
	const uint32_t snat = WEIR;
	struct talk talk;

	serve(world, PROTOCOL_TCP, &any, 1, 0);
	world_service(world, BESIDE, SERVED, 443, PROTOCOL_TCP, 0);
	one[0].backend = world_backend(world, BESIDE, BACKEND_2, 8443);
	world_slots(world, BESIDE, WEIR_SCHEDULER_RR, one, 1);
	world_snat_addresses(world, &snat, 1);
	talk = talk_to(world, PROTOCOL_TCP, 40000, 443);
	talk_establish(&talk);
	assert_int_equal(talk.backend, BACKEND_2);
	assert_int_equal(talk.backend_port, 8443);
	talk = talk_to(world, PROTOCOL_TCP, 40000, 442);
	talk_establish(&talk);
	assert_int_equal(talk.backend, BACKEND_1);
}

/* As many ranges as there can be: each port is found, each gap passes. */
static void thirty_thousand_ranges(void **state)
{
	static struct weir_port_range ranges[32767];
	struct world *world = *state;

	for (uint16_t i = 0; i < 32767; i++)
		ranges[i] = (struct weir_port_range){ (uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1),
						      EMPTY_TCP };
	world_ranges(world, SERVED, PROTOCOL_TCP, ranges, 32767);
	for (uint32_t port = 1; port < 65535; port += port < 40 || port > 65490 ? 1 : 977) {
		struct segment in = tcp_segment(CLIENT, 40000, SERVED, (uint16_t)port, SYN);
		struct frame frame = frame_of(&in);

		assert_int_equal(world_run(world, &frame).reason,
				 port % 2 ? WEIR_REASON_NO_BACKEND : WEIR_REASON_NOT_OURS);
	}
}

static size_t ip_header(void)
{
	return frame_family() == WEIR_IPV4 ? 20 : 40;
}

/* Malformed, to a port of the range: its service's; to another: the host's. */
static void malformed(void **state)
{
	static const struct weir_port_range range = { 100, 200, WIDE };
	struct segment in = tcp_segment(CLIENT, 40000, SERVED, 150, SYN);
	struct frame frame = frame_of(&in);

	serve(*state, PROTOCOL_TCP, &range, 1, 0);
	frame.bytes[ETHERNET_LENGTH + ip_header() + 12] = 0x10; /* data offset 1 */
	world_send(*state, &frame, WEIR_REASON_MALFORMED_TCP, XDP_DROP, NULL);
	in.destination_port = 201;
	frame = frame_of(&in);
	frame.bytes[ETHERNET_LENGTH + ip_header() + 12] = 0x10;
	world_send(*state, &frame, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS, NULL);
}

/* dsr, ipip: the destination is what it was, and so is the session. */
static void direct(struct world *world, enum weir_mode mode)
{
	static const struct weir_port_range any = { 1, 65535, WIDE };
	static const uint16_t ports[] = { 1, 22, 65535 };

	serve(world, PROTOCOL_TCP, &any, 1, 0);
	service_of(world, WIDE)->mode = (uint8_t)mode;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct segment in = tcp_segment(CLIENT, 40000, SERVED, ports[i], SYN), out = in;
		struct frame frame = frame_of(&in), expected;
		struct outcome outcome;

		out.to = mac_of(BACKEND_1);
		out.from = mac_of(WEIR);
		out.ttl--;
		expected = frame_of(&out);
		if (mode == WEIR_MODE_DSR)
			world_send(world, &frame, WEIR_REASON_NEW_FLOW, XDP_TX, &expected);
		outcome = world_run(world, &frame);
		assert_int_equal(outcome.reason, mode == WEIR_MODE_DSR ? WEIR_REASON_TO_BACKEND :
									 WEIR_REASON_NEW_FLOW);
		/* Whole behind whatever is in front of it. */
		assert_memory_equal(outcome.frame.bytes + outcome.frame.length -
					    (expected.length - ETHERNET_LENGTH),
				    expected.bytes + ETHERNET_LENGTH,
				    expected.length - ETHERNET_LENGTH);
	}
	pass(world, SERVED, PROTOCOL_TCP, 0);
}

static void dsr(void **state)
{
	direct(*state, WEIR_MODE_DSR);
}

static void ipip(void **state)
{
	direct(*state, WEIR_MODE_IPIP);
}

/* A fragment without a port, whose first one nobody has seen. */
static struct segment later_fragment(void)
{
	struct segment in = udp_datagram(CLIENT, 0, SERVED, 0, 100);

	in.fragment = 0x2000 | 100;
	return in;
}

static void host_gets(struct world *world, const struct segment *in)
{
	struct frame frame = frame_of(in);

	world_send(world, &frame, WEIR_REASON_FRAGMENT, XDP_PASS, NULL);
}

/* It goes to its client's backend, if the service has all ports and the client alone decides. */
static void fragments_need_no_port(void **state)
{
	static const struct weir_port_range any = { 1, 65535, WIDE };
	struct world *world = *state;
	struct segment in = later_fragment(), out = in;
	struct frame frame = frame_of(&in), expected;

	if (frame_family() != WEIR_IPV4)
		return; /* the same look-up; frames of IPv6 fragments are made in test_fragments.c */
	serve(world, PROTOCOL_UDP, &any, 1, 0);
	host_gets(world, &in); /* nat */
	service_of(world, WIDE)->mode = WEIR_MODE_DSR;
	host_gets(world, &in); /* rr */
	service_of(world, WIDE)->scheduler = WEIR_SCHEDULER_SOURCE;
	out.to = mac_of(BACKEND_1);
	out.from = mac_of(WEIR);
	out.ttl--;
	expected = frame_of(&out);
	world_send(world, &frame, WEIR_REASON_LATER_FRAGMENT, XDP_TX, &expected);
	in.ttl = 1;
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_TTL_EXCEEDED_SILENT, XDP_DROP, NULL);
	in.ttl = 64;
	world_access(world, WIDE, 7, IP4(10, 0, 0, 0), 8, WEIR_ACCESS_DENY);
	host_gets(world, &in);
	service_of(world, WIDE)->access = 0;
	in.destination = WEIR;
	host_gets(world, &in); /* not its address */
}

/* With ports left out it might be the host's. */
static void fragments_with_except(void **state)
{
	static const struct weir_port_range ranges[] = { { 1, 21, WIDE }, { 23, 65535, WIDE } };
	struct segment in = later_fragment();

	if (frame_family() != WEIR_IPV4)
		return;
	serve(*state, PROTOCOL_UDP, ranges, 2, 0);
	service_of(*state, WIDE)->mode = WEIR_MODE_DSR;
	service_of(*state, WIDE)->scheduler = WEIR_SCHEDULER_SOURCE;
	host_gets(*state, &in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(nat_keeps_the_port),
		world_test(nat_to_one_port),
		world_test(nat_source_ports),
		world_test(an_exact_port_goes_before),
		world_test(thirty_thousand_ranges),
		world_test(malformed),
		world_test(dsr),
		world_test(ipip),
		world_test(fragments_need_no_port),
		world_test(fragments_with_except),
	};

	return packet_tests(tests);
}
