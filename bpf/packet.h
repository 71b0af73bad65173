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

#include <bpf/bpf_endian.h>

#include "abi/flow.h"
#include "abi/reasons.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

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
#define IP_HEADER_LEAST 20

/* Ethernet and the longest IPv4 header end before this: a bound that the verifier can see. */
#define L4_OFFSET_MASK 0x7f

struct packet {
	struct weir_tuple4 tuple; /* ports 0 where the frame ends before them */
	__u16 l4_offset;          /* bytes from the start of the frame */
	__u16 frame_length;
	__u8 ttl;
	__u8 tcp_flags;
	__u8 has_ports;
	__u8 first_fragment;
	/* TCP, host order. sequence_end = sequence + payload + SYN + FIN. */
	__u32 sequence;
	__u32 sequence_end;
	__u32 acknowledgement;
	__u32 egress;     /* ifindex to send from; 0: where it came in */
	__u32 backend_id; /* that it goes to, where there is no record of its flow */
	__u32 mtu;        /* too big: what would have got through, bytes of IP */
};

static __always_inline enum weir_reason parse_tcp(void *data, void *data_end, __u32 l4_length,
						  struct packet *packet)
{
	struct tcphdr *tcp = data + packet->l4_offset;
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
	struct udphdr *udp = data + packet->l4_offset;
	__u32 length;

	if (l4_length < sizeof(*udp) || (void *)(udp + 1) > data_end)
		return WEIR_REASON_MALFORMED_UDP;
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || (length > l4_length && !packet->first_fragment))
		return WEIR_REASON_MALFORMED_UDP;
	return WEIR_GO_ON;
}

/*
 * Parses the frame [data, data_end). Returns WEIR_GO_ON with all of @packet filled, or the reason why
 * this is no packet for us. MALFORMED_* is the parser's view alone: whether a service is concerned
 * is for the caller to find out (tuple.destination is set, the ports are if has_ports).
 */
static __always_inline enum weir_reason packet_parse(void *data, void *data_end,
						     struct packet *packet)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	__u32 ip_length, header_length, l4_length;
	__be16 *ports;

	__builtin_memset(packet, 0, sizeof(*packet));
	packet->frame_length = data_end - data;
	if ((void *)(ethernet + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP))
		return WEIR_REASON_NOT_IP;
	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_NOT_OURS_MALFORMED;
	if (ip->version != 4)
		return WEIR_REASON_NOT_IP;

	packet->tuple.source = ip->saddr;
	packet->tuple.destination = ip->daddr;
	packet->tuple.protocol = ip->protocol;
	packet->ttl = ip->ttl;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return WEIR_REASON_NOT_TCP_UDP;
	/*
	 * Sent to nobody in particular: RFC 1812 5.3.4. Another host's address is not looked for: an
	 * interface may own more than one (VRRP), and the XDP program is not told which.
	 */
	if (ethernet->h_dest[0] & ETHERNET_GROUP)
		return WEIR_REASON_NOT_UNICAST;

	header_length = ip->ihl * 4;
	ip_length = bpf_ntohs(ip->tot_len);
	if (header_length < IP_HEADER_LEAST || ip_length < header_length ||
	    ip_length > packet->frame_length - sizeof(*ethernet))
		return WEIR_REASON_MALFORMED_IP;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) {
		if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
			return WEIR_REASON_FRAGMENT;
		packet->first_fragment = 1;
	}

	l4_length = ip_length - header_length;
	packet->l4_offset = sizeof(*ethernet) + header_length;
	ports = data + packet->l4_offset;
	if (l4_length >= 2 * sizeof(*ports) && (void *)(ports + 2) <= data_end) {
		packet->tuple.source_port = ports[0];
		packet->tuple.destination_port = ports[1];
		packet->has_ports = 1;
	}
	if (ip->protocol == IPPROTO_TCP)
		return parse_tcp(data, data_end, l4_length, packet);
	return parse_udp(data, data_end, l4_length, packet);
}

/* A segment that opens a connection: SYN without ACK, RST, FIN. */
static __always_inline int packet_opens(const struct packet *packet)
{
	return packet->tuple.protocol == IPPROTO_UDP ||
	       (packet->tcp_flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT | TCP_FLAG_RST_BIT |
				     TCP_FLAG_FIN_BIT)) == TCP_FLAG_SYN_BIT;
}
