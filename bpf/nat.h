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

/* The MAC addresses of hop @id. @client_mac: used where the hop is "on link". */
static __always_inline enum weir_reason hop_apply(struct ethhdr *ethernet, __u16 id,
						  const __u8 *client_mac, struct packet *packet)
{
	struct weir_hop *hop = array_at(&next_hops, id);
	union weir_hop_address destination, source;

	if (!hop)
		return WEIR_REASON_NO_NEXT_HOP;
	destination.word = READ_WORD(hop->destination.word);
	source.word = READ_WORD(hop->source.word);
	if (!(destination.flags & WEIR_HOP_VALID))
		return WEIR_REASON_NO_NEXT_HOP;
	if (destination.flags & WEIR_HOP_ON_LINK)
		mac_copy(ethernet->h_dest, client_mac);
	else
		mac_copy(ethernet->h_dest, destination.mac);
	mac_copy(ethernet->h_source, source.mac);
	packet->egress = hop->ifindex;
	return WEIR_GO_ON;
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

/*
 * Rewrites the frame of @ctx as a packet of the flow @hit and takes one from its TTL. Returns @done,
 * or a reason why it can't be sent.
 */
static __always_inline enum weir_reason nat_forward(struct xdp_md *ctx, const struct flow_hit *hit,
						    struct packet *packet, enum weir_reason done)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct weir_flow4 *flow = hit->flow;
	int forth = hit->from == WEIR_FROM_CLIENT;
	const struct weir_side4 *from = forth ? &flow->client : &flow->backend;
	const struct weir_side4 *to = forth ? &flow->backend : &flow->client;
	__u16 addresses = forth ? flow->address_delta : checksum_negate(flow->address_delta);
	__u16 l4_delta = checksum_add(addresses, checksum_port_delta(from, to));
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct tcphdr *tcp;
	struct udphdr *udp;
	enum weir_reason reason;

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_MALFORMED_IP;
	if (packet->tuple.protocol == IPPROTO_TCP) {
		tcp = data + (packet->l4_offset & L4_OFFSET_MASK);
		if ((void *)(tcp + 1) > data_end)
			return WEIR_REASON_MALFORMED_TCP;
		reason = hop_apply(data, forth ? hit->control.backend_hop : hit->control.client_hop,
				   flow->client_mac, packet);
		if (reason != WEIR_GO_ON)
			return reason;
		tcp->source = to->destination_port;
		tcp->dest = to->source_port;
		tcp->check = checksum_apply(tcp->check, l4_delta);
	} else {
		udp = data + (packet->l4_offset & L4_OFFSET_MASK);
		if ((void *)(udp + 1) > data_end)
			return WEIR_REASON_MALFORMED_UDP;
		reason = hop_apply(data, forth ? hit->control.backend_hop : hit->control.client_hop,
				   flow->client_mac, packet);
		if (reason != WEIR_GO_ON)
			return reason;
		udp->source = to->destination_port;
		udp->dest = to->source_port;
		udp->check = checksum_apply_udp(udp->check, l4_delta);
	}
	ip->saddr = to->destination;
	ip->daddr = to->source;
	ip->ttl--;
	ip->check = checksum_apply(ip->check, checksum_add(addresses, checksum_ttl_delta()));
	if (!flow_unchanged(hit))
		return WEIR_REASON_RACED;
	count_traffic(flow->backend_id, hit->from, packet);
	return done;
}
