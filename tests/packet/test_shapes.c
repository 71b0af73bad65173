// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/direct.h"
#include "tests/packet/talk.h"

/*
 * Everything that weir does with a frame, in frames of other shapes than the plain one: with VLAN
 * tags, larger than what the kernel keeps in one piece, and with little in the first one.
 */

enum { UNREACHABLE = 3, TIME_EXCEEDED = 11, ECHO_REQUEST = 8, ECHO_REPLY = 0 };

#define ROUTED IP4(203, 0, 113, 80) /* a service address that the host does not have */
#define JUMBO 9000
#define JUMBO_PAYLOAD 8800
#define ECHO_LENGTH 56

struct shape {
	size_t tags;
	size_t payload;
	uint32_t linear;
};

static const uint8_t pattern[JUMBO_PAYLOAD] = { 1, 2, 3, 0xff, 0x80, [JUMBO_PAYLOAD - 1] = 7 };

static struct segment shaped(struct segment segment, const struct shape *shape)
{
	segment.tags = shape->tags;
	segment.payload = shape->payload;
	return segment;
}

static void nat(struct world *world, const struct shape *shape, uint16_t port)
{
	struct talk tcp = talk_tcp(world, CLIENT, port), udp = talk_udp(world, NEIGHBOUR, port);

	tcp.tags = udp.tags = shape->tags;
	talk_establish(&tcp);
	talk_open(&udp);
	for (size_t less = 0; less < 4; less++) {
		talk_client(&tcp, ACK, shape->payload - less);
		talk_backend(&tcp, ACK, shape->payload - less);
		talk_client(&udp, 0, shape->payload - less);
		talk_backend(&udp, 0, shape->payload - less);
	}
}

/* A new flow whose first packet has the shape already. */
static void nat_first(struct world *world, const struct shape *shape, uint16_t port)
{
	struct talk udp = talk_udp(world, CLIENT, port);
	struct segment first;

	udp.tags = shape->tags;
	first = client_segment(&udp, 0, shape->payload);
	talk_open_with(&udp, &first);
}

static void reset(struct world *world, const struct shape *shape)
{
	struct segment in = shaped(tcp_segment(CLIENT, 100, WEIR, 8000, ACK), shape);
	struct segment out = tcp_segment(WEIR, 8000, CLIENT, 100, RST);
	struct frame frame, expected;

	in.acknowledgement = out.sequence = 0x01020304;
	out.to = in.from;
	out.from = in.to;
	out.id = out.window = 0;
	out.tags = shape->tags;
	frame = frame_of(&in);
	expected = frame_of(&out);
	world_send(world, &frame, WEIR_REASON_NO_FLOW, XDP_TX, &expected);
}

static void errors(struct world *world, const struct shape *shape)
{
	struct segment in = shaped(udp_datagram(CLIENT, 100, WEIR, 8001, 0), shape);
	struct frame frame = frame_of(&in), expected;

	expected = icmp_error(in.from, in.to, WEIR, CLIENT, UNREACHABLE, 3, &frame);
	world_send(world, &frame, WEIR_REASON_NO_BACKEND, XDP_TX, &expected);
	in.destination_port = 53;
	in.ttl = 1;
	frame = frame_of(&in);
	expected = icmp_error(in.from, in.to, WEIR, CLIENT, TIME_EXCEEDED, 0, &frame);
	world_send(world, &frame, WEIR_REASON_TTL_EXCEEDED, XDP_TX, &expected);
}

static void echo(struct world *world, const struct shape *shape, size_t length)
{
	struct segment ping = udp_datagram(CLIENT, 0, ROUTED, 0, 0);
	struct frame in, out;

	ping.tags = shape->tags;
	in = icmp_message(&ping, ECHO_REQUEST, 0, 0x12340001, pattern, length);
	ping.to = mac_of(CLIENT);
	ping.from = mac_of(ROUTED);
	ping.source = ROUTED;
	ping.destination = CLIENT;
	out = icmp_message(&ping, ECHO_REPLY, 0, 0x12340001, pattern, length);
	world_send(world, &in, WEIR_REASON_ECHO, XDP_TX, &out);
}

/* An error of a router about what a backend or a client sent, quoting as much as the shape has. */
static void error_about(struct world *world, const struct shape *shape, uint16_t port)
{
	struct talk talk = talk_tcp(world, CLIENT, port);
	size_t quote = frame_ip_length() + 20 + shape->payload;

	talk.tags = shape->tags;
	talk_open(&talk);
	for (int from_client = 0; from_client < 2; from_client++) {
		struct segment sent = from_client ? backend_segment(&talk, ACK, shape->payload) :
						    client_segment(&talk, ACK, shape->payload);
		struct segment there = from_client ? to_client(&talk, &sent) :
						     to_backend(&talk, &sent);
		struct segment outer = udp_datagram(IP4(10, 9, 8, 7), 0, 0, 0, 0);
		struct frame quoted, in, out;

		outer.tags = shape->tags;
		outer.to = mac_of(WEIR);
		outer.destination = from_client ? WEIR : talk.snat;
		there.tags = sent.tags = 0;
		sent.ttl--;
		quoted = frame_of(&there);
		in = icmp_message(&outer, UNREACHABLE, 4, 1400, quoted.bytes + ETHERNET_LENGTH,
				  quote);
		outer.from = mac_of(WEIR);
		outer.to = from_client ? mac_of(talk.backend) : talk.client_hop;
		outer.destination = from_client ? talk.backend : CLIENT;
		outer.ttl--;
		quoted = frame_of(&sent);
		out = icmp_message(&outer, UNREACHABLE, 4, 1400, quoted.bytes + ETHERNET_LENGTH,
				   quote);
		world_send(world, &in, WEIR_REASON_ICMP_ERROR, XDP_TX, &out);
	}
}

static void direct(struct world *world, const struct shape *shape, enum weir_mode mode)
{
	const struct weir_address backend = mapped(BACKEND_1);
	const uint16_t port = (uint16_t)(100 + mode);
	struct segment in = shaped(tcp_segment(CLIENT, port, WEIR, DIRECT_PORT, SYN), shape);
	struct segment datagram = shaped(udp_datagram(CLIENT, port, WEIR, DIRECT_PORT, 0), shape);
	struct frame frame, expected;
	struct weir_hop *hop;

	direct_serve_one(world, mode, BACKEND_1, &backend);
	hop = &world->tables->hops[world->tables->backends[world->backends - 2].hop];
	for (uint32_t i = world->backends - 2; i < world->backends; i++)
		world->tables->hops[world->tables->backends[i].hop].mtu = JUMBO;
	send_to(world, &in, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &datagram, WEIR_REASON_NEW_FLOW, BACKEND_1);
	if (mode != WEIR_MODE_IPIP)
		return;
	hop->mtu = 1400;
	in.payload = shape->payload > 1400 ? shape->payload : 1400;
	frame = frame_of(&in);
	expected = icmp_too_big(in.from, in.to, WEIR, CLIENT, (uint32_t)(1400 - frame_ip_length()),
				&frame);
	world_send(world, &frame, WEIR_REASON_TOO_BIG, XDP_TX, &expected);
}

static void everything(struct world *world, const struct shape *shape)
{
	world->linear = shape->linear;
	nat(world, shape, 40000);
	nat_first(world, shape, 40001);
	reset(world, shape);
	errors(world, shape);
	error_about(world, shape, 40002);
	direct(world, shape, WEIR_MODE_DSR);
	direct(world, shape, WEIR_MODE_IPIP);
	world_service(world, SERVICES_USED, ROUTED, 8000, PROTOCOL_TCP, 0);
	world_echo(world, ROUTED);
	echo(world, shape, ECHO_LENGTH);
	echo(world, shape, shape->payload);
}

/* The way each test is done: each in a world of its own, for the ports are the same. */
static void shapes(size_t count, const struct shape *all)
{
	for (size_t i = 0; i < count; i++) {
		struct world *world = world_open(64, 64);

		print_message("# %zu tags, %zu bytes, %u in the first piece\n", all[i].tags,
			      all[i].payload, all[i].linear);
		everything(world, &all[i]);
		world_close(world);
	}
}

static void vlan_tags(void **state)
{
	static const struct shape all[] = { { 1, 64, 0 }, { 2, 64, 0 }, { 2, 1300, 0 } };

	shapes(sizeof(all) / sizeof(all[0]), all);
}

static void jumbo(void **state)
{
	static const struct shape all[] = { { 0, JUMBO_PAYLOAD, 0 }, { 2, JUMBO_PAYLOAD, 0 } };

	shapes(sizeof(all) / sizeof(all[0]), all);
}

/* Does BPF_PROG_TEST_RUN let us say how much is in the first piece? It does since Linux 6.18. */
static bool kernel_splits_frames(void)
{
	struct world *world = world_open(64, 64);
	bool splits = world_splits(world);

	world_close(world);
	return splits;
}

/* A driver that splits headers from the rest. */
static void little_in_the_first_piece(void **state)
{
	static const struct shape all[] = {
		{ 0, 1300, 128 },
		{ 2, JUMBO_PAYLOAD, 128 },
		{ 0, JUMBO_PAYLOAD, 1500 },
	};

	if (!kernel_splits_frames())
		return;
	shapes(sizeof(all) / sizeof(all[0]), all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlan_tags),
		cmocka_unit_test(jumbo),
		cmocka_unit_test(little_in_the_first_piece),
	};

	return packet_tests(tests);
}
