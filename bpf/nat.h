/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Mode nat: both addresses and both ports are rewritten, in each direction. */

#include "flow.h"

/* As three words: a frame's header is 2-byte aligned at least, and packed structs go byte by byte. */
static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	__u16 *to_words = (void *)to;
	const __u16 *from_words = (const void *)from;

	to_words[0] = from_words[0];
	to_words[1] = from_words[1];
	to_words[2] = from_words[2];
}

/*
 * Was @hit this flow all the time until now? A record whose half-open flow was evicted meanwhile may be
 * another flow's by now, and what was read from it a mixture.
 */
static __always_inline int flow_unchanged(const struct flow_hit *hit)
{
	union weir_flow_control now;

	asm volatile("" ::: "memory");
	now.word = READ_WORD(hit->flow->control.word);
	return now.generation == hit->control.generation && state_is_live(now.state);
}

static __always_inline enum weir_direction other_side(enum weir_direction from)
{
	return from == WEIR_FROM_CLIENT ? WEIR_FROM_BACKEND : WEIR_FROM_CLIENT;
}

/* The checksum's change by the addresses of a packet that comes from this side. */
static __always_inline __u16 flow_delta(const struct weir_flow *flow, enum weir_direction from)
{
	return from == WEIR_FROM_CLIENT ? flow->address_delta :
					  checksum_negate(flow->address_delta);
}

/*
 * The IP header of a packet of the flow @hit: its addresses, and one less of its TTL. @delta: of the
 * header's checksum, by the addresses and what else the caller changes. 0: there is no header.
 */
static __always_inline int nat_header(void *data, void *data_end, const struct packet *packet,
				      const struct flow_hit *hit, __u16 delta)
{
	struct ip6_header *ip6 = packet_l3(data, packet);
	struct iphdr *ip = (void *)ip6;
	const struct weir_side4 *to4;
	const struct weir_side6 *to6;

	if (packet->tuple.family == WEIR_IPV6) {
		to6 = flow_side6(hit->record, other_side(hit->from));
		if (!to6 || (void *)(ip6 + 1) > data_end)
			return 0;
		ip6->source = to6->destination;
		ip6->destination = to6->source;
		ip6->hop_limit--;
		return 1;
	}
	if ((void *)(ip + 1) > data_end)
		return 0;
	to4 = flow_side4(hit->flow, other_side(hit->from));
	ip->saddr = to4->destination;
	ip->daddr = to4->source;
	ip->ttl--;
	ip->check = checksum_apply(ip->check, checksum_add(delta, checksum_ttl_delta()));
	return 1;
}

/*
 * Is @packet too long for where it goes? What fits through one link does so in both directions. Whom that
 * can be told is for too_big_told() to find out.
 */
static __always_inline int hop_is_narrow(struct packet *packet, const struct weir_hop *hop)
{
	packet->mtu = hop->mtu;
	return packet->frame_length > packet->mtu + packet->l3_offset &&
	       hop->ifindex != packet->egress;
}

/* Writes the MAC addresses of where packets of the flow @hit go, or says why this one cannot go there. */
static __always_inline enum weir_reason nat_hop(void *data, void *data_end,
						const struct flow_hit *hit, struct packet *packet)
{
	struct weir_hop *hop = array_at(&next_hops, hit->from == WEIR_FROM_CLIENT ?
							    hit->control.backend_hop :
							    hit->control.client_hop);
	union weir_hop_address destination, source;
	struct ethhdr *ethernet = opaque(data);

	if (!hop)
		return WEIR_REASON_NO_NEXT_HOP;
	if ((void *)(ethernet + 1) > data_end)
		return WEIR_REASON_MALFORMED_IP;
	destination.word = READ_WORD(hop->destination.word);
	source.word = READ_WORD(hop->source.word);
	if (!(destination.flags & WEIR_HOP_VALID))
		return WEIR_REASON_NO_NEXT_HOP;
	if (hop_is_narrow(packet, hop))
		return WEIR_REASON_TOO_BIG;
	if (destination.flags & WEIR_HOP_DOUBTFUL)
		packet->doubtful = 1;
	if (destination.flags & WEIR_HOP_ON_LINK)
		mac_copy(ethernet->h_dest, hit->flow->client_mac);
	else
		mac_copy(ethernet->h_dest, destination.mac);
	mac_copy(ethernet->h_source, source.mac);
	packet->egress = hop->ifindex;
	return WEIR_GO_ON;
}

/*
 * Rewrites the frame of @ctx as a packet of the flow @hit and takes one from its TTL. Returns @done,
 * or a reason why it can't be sent.
 */
static __always_inline enum weir_reason nat_forward(struct xdp_md *ctx, const struct flow_hit *hit,
						    struct packet *packet, enum weir_reason done)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct weir_flow *flow = hit->flow;
	const struct weir_ports *from = flow_ports(flow, hit->from);
	const struct weir_ports *to = flow_ports(flow, other_side(hit->from));
	__u16 addresses = flow_delta(flow, hit->from);
	__u16 l4_delta = checksum_add(addresses, checksum_port_delta(from, to));
	struct udphdr *udp = packet_l4(data, packet);
	struct tcphdr *tcp = (void *)udp;
	enum weir_reason reason;

	if (packet->tuple.protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > data_end)
			return WEIR_REASON_MALFORMED_TCP;
		reason = nat_hop(data, data_end, hit, packet);
		if (reason != WEIR_GO_ON)
			return reason;
		tcp->source = to->destination;
		tcp->dest = to->source;
		tcp->check = checksum_apply(tcp->check, l4_delta);
	} else {
		if ((void *)(udp + 1) > data_end)
			return WEIR_REASON_MALFORMED_UDP;
		reason = nat_hop(data, data_end, hit, packet);
		if (reason != WEIR_GO_ON)
			return reason;
		udp->source = to->destination;
		udp->dest = to->source;
		udp->check = checksum_apply_udp(udp->check, l4_delta);
	}
	if (!nat_header(data, data_end, packet, hit, addresses))
		return WEIR_REASON_MALFORMED_IP;
	if (!flow_unchanged(hit))
		return WEIR_REASON_RACED;
	count_traffic(flow->backend_id, hit->from, packet);
	return done;
}
