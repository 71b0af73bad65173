// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The way to clients: routes that change, links that are narrower than where a packet came from. */

enum { UNREACHABLE = 3, FRAGMENTATION_NEEDED = 4, TCP_HEADERS = 40, UDP_HEADERS = 28, MTU = 1000 };

#define OTHER_LINK_CLIENT IP4(10, 1, 0, 77)
#define HOP_FAR_LINK 900

static void configure(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static void doubt(struct world *world, uint32_t hop)
{
	world->tables->hops[hop].destination.flags = WEIR_HOP_VALID | WEIR_HOP_DOUBTFUL;
}

/* Doubted, but in the route: it stays. In none: the flow's next answer goes through the one that is. */
static void gateway_leaves_its_route(struct talk *talk, uint8_t flags)
{
	struct world *world = talk->world;

	doubt(world, HOP_GATEWAY);
	talk_backend(talk, flags, 10);
	assert_int_equal(talk_flow(talk)->control.client_hop, HOP_GATEWAY);
	configure("ip route replace 10.0.0.0/16 via 10.1.0.2");
	/* Who does not doubt does not ask. */
	hop_set(world, HOP_GATEWAY, "weir0", GATEWAY, WEIR_HOP_VALID);
	talk_backend(talk, flags, 10);
	doubt(world, HOP_GATEWAY);
	/* One that cannot be used yet is none. */
	hop_set(world, HOP_FAR_GATEWAY, "weir1", FAR_GATEWAY, 0);
	talk_backend(talk, flags, 10);
	hop_set(world, HOP_FAR_GATEWAY, "weir1", FAR_GATEWAY, WEIR_HOP_VALID);
	talk->client_hop = mac_of(FAR_GATEWAY);
	talk->sends = XDP_REDIRECT;
	talk_backend(talk, flags, 10);
	assert_int_equal(talk_flow(talk)->control.client_hop, HOP_FAR_GATEWAY);
	/* And stays there, also when the first is back. */
	configure("ip route replace 10.0.0.0/16 via 192.168.178.2");
	hop_set(world, HOP_GATEWAY, "weir0", GATEWAY, WEIR_HOP_VALID);
	talk_backend(talk, flags, 10);
}

static void gateway_leaves_tcp(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	gateway_leaves_its_route(&talk, ACK);
	talk.sends = XDP_TX;
	talk_client(&talk, ACK, 1);
}

static void gateway_leaves_udp(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);

	talk_open(&talk);
	gateway_leaves_its_route(&talk, 0);
}

/* No route at all, or forwarding switched off: what was good is better than nothing. */
static void gateway_without_an_heir(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	doubt(*state, HOP_GATEWAY);
	configure("ip route delete 10.0.0.0/16");
	talk_backend(&talk, ACK, 10);
	configure("ip route add 10.0.0.0/16 via 192.168.178.2");
	world_gateway(*state, GATEWAY, "weir0", 0);
	talk_backend(&talk, ACK, 10);
}

/*
 * The client's packets come through the gateway on weir0, but it is on the link of weir1: answered there,
 * if its MAC address is known, else where the packet came from.
 */
static void client_on_another_link(void **state)
{
	struct talk talk = talk_tcp(*state, OTHER_LINK_CLIENT, 40000);
	struct talk unknown = talk_tcp(*state, OTHER_LINK_CLIENT, 40001);
	const struct mac mac = mac_of(FAR_CLIENT);
	char command[128];

	hop_set(*state, HOP_FAR_LINK, "weir1", 0, WEIR_HOP_VALID | WEIR_HOP_ON_LINK);
	talk_open(&unknown);
	talk_backend(&unknown, SYN | ACK, 0);
	snprintf(command, sizeof(command),
		 "ip neigh add 10.1.0.77 lladdr %02x:%02x:%02x:%02x:%02x:%02x dev weir1 nud "
		 "permanent",
		 mac.bytes[0], mac.bytes[1], mac.bytes[2], mac.bytes[3], mac.bytes[4],
		 mac.bytes[5]);
	configure(command);
	/* Weir does not work on that interface. */
	unknown.client_port++;
	talk_open(&unknown);
	talk_backend(&unknown, SYN | ACK, 0);
	world_gateway(*state, 0, "weir1", HOP_FAR_LINK);
	talk_open(&talk);
	talk.client_hop = mac;
	talk.sends = XDP_REDIRECT;
	talk_backend(&talk, SYN | ACK, 0);
	assert_int_equal(talk_flow(&talk)->control.client_hop, HOP_FAR_LINK);
	configure("ip neigh delete 10.1.0.77 dev weir1");
}

static struct frame too_big_error(const struct segment *about, uint32_t from, uint32_t to)
{
	struct frame in = frame_of(about);
	struct frame out = icmp_error(about->from, about->to, from, to, UNREACHABLE,
				      FRAGMENTATION_NEEDED, &in);
	uint8_t *icmp = out.bytes + ETHERNET_LENGTH + 20;

	put16(icmp + 6, MTU);
	put16(icmp + 2, 0);
	put16(icmp + 2, slow_checksum(icmp, out.length - ETHERNET_LENGTH - 20));
	return out;
}

/* A backend that sends more than the client's link takes is told, as a router would. */
static void reply_is_too_big(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, FAR_CLIENT, 40000);
	struct segment reply;
	struct frame in, out;

	talk.sends = XDP_REDIRECT;
	world_ingress(world, "weir1");
	talk_open(&talk);
	world_ingress(world, "weir0");
	talk_backend(&talk, SYN | ACK, 0);
	world->tables->hops[HOP_FAR_GATEWAY].mtu = MTU;
	talk_backend(&talk, ACK, MTU - TCP_HEADERS);
	reply = backend_segment(&talk, ACK, MTU - TCP_HEADERS + 1);
	in = frame_of(&reply);
	out = too_big_error(&reply, talk.snat, talk.backend);
	world_send(world, &in, WEIR_REASON_TOO_BIG, XDP_TX, &out);
	reply.fragment = 0;
	in = frame_of(&reply);
	world_send(world, &in, WEIR_REASON_TOO_BIG_NO_DF, XDP_DROP, NULL);
}

/* The same in the other direction. Back on the link where it came from anything goes. */
static void request_is_too_big(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, FAR_CLIENT, 40000),
		    near = talk_tcp(world, CLIENT, 40000);
	struct segment request;
	struct frame in, out;

	talk_establish(&near);
	for (uint32_t hop = HOPS_USED; hop < world->hops; hop++)
		world->tables->hops[hop].mtu = MTU;
	talk_client(&near, ACK, MTU);
	talk.sends = XDP_REDIRECT;
	world_ingress(world, "weir1");
	talk_open(&talk);
	world_ingress(world, "weir0");
	talk_backend(&talk, SYN | ACK, 0);
	world_ingress(world, "weir1");
	talk_client(&talk, ACK, 0);
	talk_client(&talk, ACK, MTU - TCP_HEADERS);
	request = client_segment(&talk, ACK, MTU - TCP_HEADERS + 1);
	in = frame_of(&request);
	out = too_big_error(&request, WEIR, FAR_CLIENT);
	world_send(world, &in, WEIR_REASON_TOO_BIG, XDP_TX, &out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(gateway_leaves_tcp),      world_test(gateway_leaves_udp),
		world_test(gateway_without_an_heir), world_test(client_on_another_link),
		world_test(reply_is_too_big),        world_test(request_is_too_big),
	};

	return packet_tests(tests);
}
