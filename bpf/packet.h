/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * The parser: plain memory in, one typed packet out; no context, no maps. The same file is compiled
 * for the datapath, for the unit tests and for the fuzzer.
 */

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>

#include "abi/flow.h"
#include "abi/reasons.h"
#include "address.h"
#include "ip6.h"
#include "opaque.h"

/* What a stage returns when the packet has not met its fate yet. */
#define WEIR_GO_ON WEIR_REASON_COUNT

/* TCP header flags, byte 13 of the header (RFC 9293 3.1). */
enum tcp_flag {
	TCP_FLAG_FIN_BIT = 0x01,
	TCP_FLAG_SYN_BIT = 0x02,
	TCP_FLAG_RST_BIT = 0x04,
	TCP_FLAG_ACK_BIT = 0x10,
};

#define ETHERNET_GROUP 0x01     /* in the first byte of an address: multicast or broadcast */
#define IP_FRAGMENT_MASK 0x3fff /* more fragments, or an offset: RFC 791 3.1 */
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP_DONT_FRAGMENT 0x4000
#define IP_HEADER_LEAST 20

/* Tags that stand between the MAC addresses and the IP header: 802.1Q in 802.1ad at most. */
#define VLAN_TAGS_MOST 2
#define VLAN_TAG 4
/* Ethernet and tags end before this: a bound that the verifier can see. */
#define L3_OFFSET_MASK 0x1f
/* The same for the longest IPv4 header, and for IPv6 with its extension headers. */
#define L4_OFFSET_MASK 0x1ff

struct packet {
	struct weir_tuple tuple; /* ports 0 where the frame ends before them */
	__u8 l3_offset;          /* bytes from the start of the frame */
	__u8 doubtful;           /* goes through a gateway that is no good any more, perhaps */
	__u16 l4_offset;
	__u16 fragment_offset; /* of the IPv6 fragment header, 0: none */
	__u8 ttl;
	__u8 tcp_flags;
	__u8 has_ports;
	__u8 first_fragment;
	__u16 generation;
	__be32 fragment_id; /* IPv4: in the first two bytes */
	__u32 frame_length;
	/* TCP, host order. sequence_end = sequence + payload + SYN + FIN. */
	__u32 sequence;
	__u32 sequence_end;
	__u32 acknowledgement;
	__u32 egress; /* ifindex to send from: at first, and as 0, where it came in */
	/* Its flow, if it has one: the record (WEIR_RECORD_NONE in dsr and ipip), and who serves it. */
	__u32 record;
	__u32 backend_id;
	__u32 mtu; /* too big: what would have got through, bytes of IP */
};

/* What weir_xdp has found out when it hands a packet over to weir_slow. */
enum slow_stage {
	STAGE_PARSED,  /* the parser has something to say */
	STAGE_UNKNOWN, /* no flow */
	STAGE_FOUND,   /* a flow, but there is more to do than to forward */
	STAGE_FORWARDED, /* what has become of it, but for what is rare: an answer, fragments, the trace */
};

/* The one entry of the per-CPU array `handovers`: nobody else uses it until the packet is done. */
struct handover {
	struct packet packet;
	__u32 stage;  /* enum slow_stage */
	__u32 reason; /* enum weir_reason or WEIR_GO_ON */
};

/* Where the IP header lies, and what is behind it. */
static __always_inline void *packet_l3(void *data, const struct packet *packet)
{
	return data + (packet->l3_offset & L3_OFFSET_MASK);
}

static __always_inline void *packet_l4(void *data, const struct packet *packet)
{
	return data + (packet->l4_offset & L4_OFFSET_MASK);
}

static __always_inline enum weir_reason parse_tcp(void *data, void *data_end, __u32 l4_length,
						  struct packet *packet)
{
	struct tcphdr *tcp = packet_l4(data, packet);
	__u32 header;

	if (l4_length < sizeof(*tcp) || (void *)(tcp + 1) > data_end)
		return WEIR_REASON_MALFORMED_TCP;
	header = tcp->doff * 4;
	if (header < sizeof(*tcp) || header > l4_length)
		return WEIR_REASON_MALFORMED_TCP;

	packet->tcp_flags = ((__u8 *)tcp)[13];
	packet->sequence = bpf_ntohl(tcp->seq);
	packet->acknowledgement = bpf_ntohl(tcp->ack_seq);
	packet->sequence_end = packet->sequence + (l4_length - header) + tcp->syn + tcp->fin;
	if (packet->first_fragment && tcp->fin) {
		/* It stands at the end of the last one, and nobody knows where that is. */
		packet->tcp_flags &= ~TCP_FLAG_FIN_BIT;
		packet->sequence_end--;
	}
	return WEIR_GO_ON;
}

static __always_inline enum weir_reason parse_udp(void *data, void *data_end, __u32 l4_length,
						  struct packet *packet)
{
	struct udphdr *udp = packet_l4(data, packet);
	__u32 length;

	if (l4_length < sizeof(*udp) || (void *)(udp + 1) > data_end)
		return WEIR_REASON_MALFORMED_UDP;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || (length > l4_length && !packet->first_fragment))
		return WEIR_REASON_MALFORMED_UDP;
	return WEIR_GO_ON;
}

static __always_inline enum weir_reason parse_l4(void *data, void *data_end, __u32 l4_length,
						 struct packet *packet)
{
	__be16 *ports = packet_l4(data, packet);

	if (l4_length >= 2 * sizeof(*ports) && (void *)(ports + 2) <= data_end) {
		packet->tuple.source_port = ports[0];
		packet->tuple.destination_port = ports[1];
		packet->has_ports = 1;
	}
	if (packet->tuple.protocol == IPPROTO_TCP)
		return parse_tcp(data, data_end, l4_length, packet);
	return parse_udp(data, data_end, l4_length, packet);
}

static __always_inline int protocol_has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

static __always_inline enum weir_reason parse_ip4(void *data, void *data_end, int to_group,
						  struct packet *packet)
{
	struct iphdr *ip = packet_l3(data, packet);
	__u32 ip_length, header_length;

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_NOT_OURS_MALFORMED;
	if (ip->version != 4)
		return WEIR_REASON_NOT_IP;
	packet->tuple.source = address_from_v4(ip->saddr);
	packet->tuple.destination = address_from_v4(ip->daddr);
	packet->tuple.protocol = ip->protocol;
	packet->ttl = ip->ttl;
	if (!protocol_has_ports(ip->protocol))
		return WEIR_REASON_NOT_TCP_UDP;
	if (to_group)
		return WEIR_REASON_NOT_UNICAST;

	header_length = ip->ihl * 4;
	ip_length = bpf_ntohs(ip->tot_len);
	if (header_length < IP_HEADER_LEAST || ip_length < header_length ||
	    ip_length > packet->frame_length - packet->l3_offset)
		return WEIR_REASON_MALFORMED_IP;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) {
		packet->fragment_id = ip->id;
		if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
			return WEIR_REASON_FRAGMENT;
		packet->first_fragment = 1;
	}
	packet->l4_offset = packet->l3_offset + header_length;
	return parse_l4(data, data_end, ip_length - header_length, packet);
}

/* What stands behind the extension headers, and where. WEIR_GO_ON: TCP or UDP. */
static __always_inline enum weir_reason parse_extensions(void *data, void *data_end, __u32 end,
							 struct packet *packet)
{
	struct ip6_walk walk = {
		.offset = packet->l4_offset,
		.end = end,
		.next = packet->tuple.protocol,
	};
	enum ip6_walked walked = ip6_walk(data, data_end, &walk);

	if (walked == IP6_WALKED_TOO_FAR)
		return WEIR_REASON_NOT_TCP_UDP;
	packet->l4_offset = walk.offset;
	packet->tuple.protocol = walk.next;
	packet->fragment_offset = walk.fragment;
	packet->fragment_id = walk.fragment_id;
	packet->first_fragment = walk.more_fragments;
	if (walked == IP6_WALKED_LATER_FRAGMENT)
		return WEIR_REASON_FRAGMENT;
	if (walked == IP6_WALKED_MALFORMED)
		return WEIR_REASON_MALFORMED_IP;
	return protocol_has_ports(walk.next) ? WEIR_GO_ON : WEIR_REASON_NOT_TCP_UDP;
}

static __always_inline enum weir_reason parse_ip6(void *data, void *data_end, int to_group,
						  struct packet *packet)
{
	struct ip6_header *ip = packet_l3(data, packet);
	enum weir_reason reason;
	__u32 end;

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_NOT_OURS_MALFORMED;
	if (ip->version >> 4 != 6)
		return WEIR_REASON_NOT_IP;
	/* How the tables write IPv4; on the wire it is nobody's. */
	if (address_is_v4(&ip->destination))
		return WEIR_REASON_NOT_OURS;
	packet->tuple.family = WEIR_IPV6;
	packet->tuple.source = ip->source;
	packet->tuple.destination = ip->destination;
	packet->tuple.protocol = ip->next;
	packet->ttl = ip->hop_limit;
	packet->l4_offset = packet->l3_offset + sizeof(*ip);
	end = packet->l4_offset + bpf_ntohs(ip->payload_length);
	if (!protocol_has_ports(ip->next)) {
		reason = parse_extensions(data, data_end, end, packet);
		if (reason == WEIR_REASON_NOT_TCP_UDP)
			return reason;
		if (reason == WEIR_REASON_FRAGMENT && (to_group || end <= packet->frame_length))
			return to_group ? WEIR_REASON_NOT_UNICAST : reason;
	}
	if (to_group)
		return WEIR_REASON_NOT_UNICAST;
	if (end > packet->frame_length || packet->l4_offset > end ||
	    !protocol_has_ports(packet->tuple.protocol))
		return WEIR_REASON_MALFORMED_IP;
	return parse_l4(data, data_end, end - packet->l4_offset, packet);
}

static __always_inline int ethertype_is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/*
 * Parses the frame that begins with [data, data_end) and is @length bytes long (what is behind data_end
 * is not looked at). Returns WEIR_GO_ON with all of @packet filled, or the reason why
 * this is no packet for us. MALFORMED_* is the parser's view alone: whether a service is concerned
 * is for the caller to find out (tuple.destination is set, the ports are if has_ports).
 */
static __always_inline enum weir_reason packet_parse(void *data, void *data_end, __u32 length,
						     struct packet *packet)
{
	struct ethhdr *ethernet = data;
	__be16 *ethertype = data + offsetof(struct ethhdr, h_proto);
	int to_group, i;

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->frame_length = length;
	if ((void *)(ethernet + 1) > data_end)
		return WEIR_REASON_NOT_IP;
	for (i = 0; i < VLAN_TAGS_MOST && ethertype_is_vlan(*ethertype); i++) {
		ethertype += VLAN_TAG / sizeof(*ethertype);
		if ((void *)(ethertype + 1) > data_end)
			return WEIR_REASON_NOT_IP;
	}
	/* A difference of pointers is any number: the verifier goes on from here once, whatever tags there are. */
	packet->l3_offset = opaque(ethertype + 1) - data;
	/*
	 * Sent to nobody in particular (RFC 1812 5.3.4), or by a group, which no answer may go to. Another
	 * host's address is not looked for: an interface may own more than one (VRRP), and the XDP program
	 * is not told which.
	 */
	to_group = (ethernet->h_dest[0] | ethernet->h_source[0]) & ETHERNET_GROUP;
	if (*ethertype == bpf_htons(ETH_P_IP))
		return parse_ip4(data, data_end, to_group, packet);
	if (*ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ip6(data, data_end, to_group, packet);
	return WEIR_REASON_NOT_IP;
}

/* A segment that opens a connection: SYN without ACK, RST, FIN. */
static __always_inline int packet_opens(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_UDP ||
	       (packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT | TCP_FLAG_RST_BIT |
				     TCP_FLAG_FIN_BIT)) == TCP_FLAG_SYN_BIT;
}
