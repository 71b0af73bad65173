// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "abi/hash.h"

#include "tests/packet/rows.h"

/* What is not for a service passes to the host, not one byte changed. */

#define HOST_PORT 40000 /* of a connection of weir's own host */

static struct frame syn_to(uint32_t address, uint16_t port)
{
	struct segment segment = tcp_segment(CLIENT, 40000, address, port, SYN);

	return frame_of(&segment);
}

static struct frame datagram_to(uint32_t address, uint16_t port)
{
	struct segment segment = udp_datagram(CLIENT, 40000, address, port, 32);

	return frame_of(&segment);
}

static struct frame with_ethertype(struct frame frame, uint16_t type)
{
	put16(frame.bytes + 12, type);
	return frame;
}

static struct frame arp(void)
{
	static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 1 };
	struct frame frame = { .length = 60 };

	memset(frame.bytes, 0xff, 6);
	memcpy(frame.bytes + 6, mac_of(BACKEND_1).bytes, 6);
	put16(frame.bytes + 12, 0x0806);
	memcpy(frame.bytes + 14, request, sizeof(request));
	put32(frame.bytes + 28, BACKEND_1);
	put32(frame.bytes + 38, WEIR);
	return frame;
}

/* An address of IPv4 stands in the tables as ::ffff:a.b.c.d; on the wire that is nobody's. */
static struct frame mapped_destination(uint8_t next)
{
	static const uint8_t client[] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	struct weir_address service = mapped(WEIR);
	struct frame in = syn_to(WEIR, 8000), out = with_ethertype(in, 0x86dd);
	uint8_t *ip = out.bytes + ETHERNET_LENGTH;

	memset(ip, 0, 40);
	ip[0] = 6 << 4;
	put16(ip + 4, (uint16_t)(in.length - ETHERNET_LENGTH - 20));
	ip[6] = next;
	ip[7] = 64;
	memcpy(ip + 8, client, sizeof(client));
	memcpy(ip + 24, &service, sizeof(service));
	memcpy(ip + 40, in.bytes + ETHERNET_LENGTH + 20, in.length - ETHERNET_LENGTH - 20);
	out.length += 20;
	return out;
}

static struct frame syn_to_mapped(void)
{
	return mapped_destination(PROTOCOL_TCP);
}

static struct frame ping_to_mapped(void)
{
	struct frame frame = mapped_destination(PROTOCOL_ICMP6);

	frame.bytes[ETHERNET_LENGTH + 40] = 128;
	frame.bytes[ETHERNET_LENGTH + 41] = 0;
	return frame;
}

static void answers_pings(struct world *world)
{
	world_echo(world, WEIR);
}

static struct frame version_4_as_ipv6(void)
{
	return with_ethertype(syn_to(WEIR, 8000), 0x86dd);
}

static struct frame version_6_as_ipv4(void)
{
	struct frame frame = with_ethertype(syn_to(WEIR, 8000), 0x0800);

	if (frame_family() == WEIR_IPV4)
		frame.bytes[14] = 6 << 4 | 5;
	ip_checksum_again(&frame);
	return frame;
}

static struct frame three_vlan_tags(void)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 8000, SYN);
	struct frame frame;

	segment.tags = 2;
	frame = frame_of(&segment);
	memmove(frame.bytes + 16, frame.bytes + 12, frame.length - 12);
	put16(frame.bytes + 12, 0x8100);
	put16(frame.bytes + 14, 42);
	frame.length += 4;
	return frame;
}

static struct frame ethernet_alone(void)
{
	struct frame frame = syn_to(WEIR, 8000);

	frame.length = 14;
	return with_ethertype(frame, 0x88cc);
}

static struct frame echo_request(void)
{
	struct segment about = udp_datagram(CLIENT, 1, WEIR, 8000, 0);
	struct frame quoted = frame_of(&about);

	return icmp_error(mac_of(WEIR), mac_of(CLIENT), CLIENT, WEIR, 8, 0, &quoted);
}

static struct frame port_unreachable_to_service(void)
{
	struct segment about = udp_datagram(WEIR, 53, CLIENT, 40000, 0);
	struct frame quoted = frame_of(&about);

	return icmp_error(mac_of(WEIR), mac_of(CLIENT), CLIENT, WEIR, 3, 3, &quoted);
}

static struct frame protocol_47(void)
{
	struct frame frame = syn_to(WEIR, 8000);

	frame.bytes[frame_family() == WEIR_IPV6 ? 20 : 23] = 47;
	ip_checksum_again(&frame);
	return frame;
}

static struct frame fragment(uint16_t field)
{
	struct segment segment = udp_datagram(CLIENT, 40000, WEIR, 53, 64);

	segment.fragment = field;
	return frame_of(&segment);
}

static struct frame first_fragment_elsewhere(void)
{
	struct segment segment = udp_datagram(CLIENT, 40000, BACKEND_1, 53, 64);

	segment.fragment = 0x2000;
	return frame_of(&segment);
}

static struct frame middle_fragment(void)
{
	return fragment(0x2000 | 185);
}

static struct frame last_fragment(void)
{
	return fragment(185);
}

static struct frame last_fragment_elsewhere(void)
{
	struct segment segment = tcp_segment(CLIENT, 40000, BACKEND_1, 22, ACK);

	segment.fragment = 1;
	return frame_of(&segment);
}

static struct frame other_port(void)
{
	return syn_to(WEIR, 22);
}

static struct frame other_address(void)
{
	return syn_to(BACKEND_1, 8000);
}

static struct frame service_port_of_the_other_protocol(void)
{
	return datagram_to(WEIR, 8000);
}

static struct frame tcp_to_udp_service(void)
{
	return syn_to(WEIR, 53);
}

static struct frame from_service_port_elsewhere(void)
{
	struct segment segment = tcp_segment(WEIR, 8000, CLIENT, 40000, SYN | ACK);

	return frame_of(&segment);
}

static struct frame ssh_with_options(void)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 22, ACK | PSH);

	segment.options_length = 8;
	segment.options[0] = 0x94; /* router alert */
	segment.options[1] = 4;
	segment.payload = 333;
	return frame_of(&segment);
}

static struct frame reply_to_own_connection(void)
{
	struct segment segment = tcp_segment(BACKEND_1, 8000, WEIR, HOST_PORT, SYN | ACK);

	return frame_of(&segment);
}

static struct frame reset_to_own_connection(void)
{
	struct segment segment = tcp_segment(BACKEND_1, 8000, WEIR, HOST_PORT, RST | ACK);

	return frame_of(&segment);
}

static struct frame answer_to_own_question(void)
{
	struct segment segment = udp_datagram(BACKEND_1, 53, WEIR, HOST_PORT, 120);

	return frame_of(&segment);
}

static struct frame port_unused_within_the_snat_range(void)
{
	struct segment segment = tcp_segment(BACKEND_1, 8000, WEIR, 1024, ACK);

	return frame_of(&segment);
}

static struct frame ttl_1_to_other_port(void)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 22, SYN);

	segment.ttl = 1;
	return frame_of(&segment);
}

static struct frame ttl_1_to_other_host(void)
{
	struct segment segment = udp_datagram(CLIENT, 40000, IP4(224, 0, 0, 251), 53, 32);

	segment.ttl = 1;
	return frame_of(&segment);
}

static struct frame broadcast(void)
{
	return datagram_to(IP4(255, 255, 255, 255), 53);
}

static struct frame to_group(struct frame frame, uint8_t first)
{
	frame.bytes[0] = first;
	return frame;
}

static struct frame syn_in_a_broadcast_frame(void)
{
	struct frame frame = syn_to(WEIR, 8000);

	memset(frame.bytes, 0xff, 6);
	return frame;
}

static struct frame datagram_in_a_multicast_frame(void)
{
	return to_group(datagram_to(WEIR, 53), 0x01);
}

static struct frame later_fragment_in_a_multicast_frame(void)
{
	return to_group(fragment(185), 0x33);
}

static struct frame syn_from_a_group(void)
{
	struct frame frame = syn_to(WEIR, 8000);

	frame.bytes[6] |= 1;
	return frame;
}

static struct frame malformed_in_a_multicast_frame(void)
{
	struct frame frame = to_group(syn_to(WEIR, 8000), 0x33);

	frame.bytes[ETHERNET_LENGTH + frame_ip_length() + 12] = 0; /* TCP header length */
	return frame;
}

static void no_services(struct world *world)
{
	datapath_store((uint64_t *)&world->tables->root->listeners.word, 0);
}

/* A port at which a UDP key's home is the place of a TCP service; 0 until looked for. */
static uint16_t shared_port;

static struct weir_listener_key key_of(uint16_t port, uint8_t protocol)
{
	return (struct weir_listener_key){ .address = mapped(WEIR),
					   .port = htons(port),
					   .protocol = protocol };
}

static void tcp_service_in_the_home_of_udp(struct world *world)
{
	for (shared_port = 20000;; shared_port++) {
		struct weir_listener_key tcp = key_of(shared_port, PROTOCOL_TCP);
		struct weir_listener_key udp = key_of(shared_port, PROTOCOL_UDP);

		/* The lowest bits decide, whatever the table's length. */
		if (!((weir_listener_hash(&tcp) ^ weir_listener_hash(&udp)) & 0xff))
			break;
	}
	world_service(world, 30, WEIR, shared_port, PROTOCOL_TCP, 0);
}

static struct frame udp_to_the_shared_port(void)
{
	return datagram_to(WEIR, shared_port);
}

static struct frame syn_to_web(void)
{
	return syn_to(WEIR, 8000);
}

static struct frame fragment_to_web_without_service(void)
{
	return fragment(0x2000);
}

#define PASSES(name, setup, in, reason) PASSES_OF(ROW_BOTH, name, setup, in, reason)
#define PASSES_OF(family, name, setup, in, reason)                                                 \
	{                                                                                          \
		name, setup, in, WEIR_REASON_##reason, XDP_PASS, NULL, family                      \
	}

static const struct row rows[] = {
	PASSES("ARP request", NULL, arp, NOT_IP),
	PASSES_OF(ROW_V4, "IPv6 to the service address as ::ffff:a.b.c.d", NULL, syn_to_mapped,
		  NOT_OURS),
	PASSES_OF(ROW_V4, "ping of the service address as ::ffff:a.b.c.d", answers_pings,
		  ping_to_mapped, NOT_OURS),
	PASSES_OF(ROW_V4, "version 4 in an IPv6 frame", NULL, version_4_as_ipv6, NOT_IP),
	PASSES("version 6 in an IPv4 frame", NULL, version_6_as_ipv4, NOT_IP),
	PASSES("SYN behind three VLAN tags", NULL, three_vlan_tags, NOT_IP),
	PASSES("Ethernet header alone", NULL, ethernet_alone, NOT_IP),
	PASSES("ICMP echo to the service address", NULL, echo_request, NOT_TCP_UDP),
	PASSES("ICMP error to the service address", NULL, port_unreachable_to_service, NOT_TCP_UDP),
	PASSES("GRE to the service address", NULL, protocol_47, NOT_TCP_UDP),
	PASSES("first fragment to another host", NULL, first_fragment_elsewhere, NOT_OURS),
	PASSES("middle fragment to a service", NULL, middle_fragment, FRAGMENT),
	PASSES("last fragment to a service", NULL, last_fragment, FRAGMENT),
	PASSES("last fragment to another host", NULL, last_fragment_elsewhere, FRAGMENT),
	PASSES("SYN in a broadcast frame", NULL, syn_in_a_broadcast_frame, NOT_UNICAST),
	PASSES("datagram in a multicast frame", NULL, datagram_in_a_multicast_frame, NOT_UNICAST),
	PASSES("broken header in a multicast frame", NULL, malformed_in_a_multicast_frame,
	       NOT_UNICAST),
	PASSES("later fragment in a multicast frame", NULL, later_fragment_in_a_multicast_frame,
	       NOT_UNICAST),
	PASSES("SYN from a group's MAC address", NULL, syn_from_a_group, NOT_UNICAST),
	PASSES("another port of the service address", NULL, other_port, NOT_OURS),
	PASSES("the service's port at another address", NULL, other_address, NOT_OURS),
	PASSES("UDP to the port of a TCP service", NULL, service_port_of_the_other_protocol,
	       NOT_OURS),
	PASSES("UDP to a TCP service with the same home", tcp_service_in_the_home_of_udp,
	       udp_to_the_shared_port, NOT_OURS),
	PASSES("TCP to the port of a UDP service", NULL, tcp_to_udp_service, NOT_OURS),
	PASSES("from a service's port, to elsewhere", NULL, from_service_port_elsewhere, NOT_OURS),
	PASSES("the host's ssh, with IP options", NULL, ssh_with_options, NOT_OURS),
	PASSES("backend answers the host's own SYN", NULL, reply_to_own_connection, NOT_OURS),
	PASSES("backend refuses the host's own SYN", NULL, reset_to_own_connection, NOT_OURS),
	PASSES("backend answers the host's own datagram", NULL, answer_to_own_question, NOT_OURS),
	PASSES("backend to a source port without a flow", NULL, port_unused_within_the_snat_range,
	       NOT_OURS),
	PASSES("TTL 1 to another port", NULL, ttl_1_to_other_port, NOT_OURS),
	PASSES("TTL 1 to a multicast group", NULL, ttl_1_to_other_host, NOT_OURS),
	PASSES("UDP broadcast", NULL, broadcast, NOT_OURS),
	PASSES("SYN while there is no service at all", no_services, syn_to_web, NOT_OURS),
	PASSES("fragment while there is no service at all", no_services,
	       fragment_to_web_without_service, NOT_OURS),
};

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!network_enter())
		return 0;
	return rows_run(rows, sizeof(rows) / sizeof(rows[0]));
}
