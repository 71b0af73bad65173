/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * IPv4 fragments of flows. The first one has the ports: it is forwarded like any other packet, under a new
 * id, because many clients' datagrams leave from one address. Those behind it have the old id alone,
 * and are found by that; one that comes before its first is the host's.
 */

#include "nat.h"

static __always_inline void fragment_key(const struct packet *packet, const struct iphdr *ip,
					 struct weir_fragment_key *key)
{
	*key = (struct weir_fragment_key){
		.source = packet->tuple.source,
		.destination = packet->tuple.destination,
		.id = ip->id,
		.protocol = packet->tuple.protocol,
	};
}

/*
 * The first fragment has just been rewritten as a packet of @hit: gives it its new id, and remembers both.
 * If there is no room, those behind it pass.
 */
static __noinline int fragment_first(struct xdp_md *ctx, const struct packet *packet,
				     const struct flow_hit *hit)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct weir_shared *shared_ = WEIR_ONLY(shared);
	union weir_fragment fragment = {
		.record = hit->record,
		.generation = hit->control.generation,
	};
	struct weir_fragment_key key;

	if (!shared_ || (void *)(ip + 1) > data_end)
		return 0;
	fragment_key(packet, ip, &key);
	fragment.id = bpf_htons(__sync_fetch_and_add(&shared_->fragmented, 1));
	ip->check = checksum_apply(ip->check, checksum_add((__u16)~ip->id, fragment.id));
	ip->id = fragment.id;
	bpf_map_update_elem(&fragments4, &key, &fragment.word, BPF_ANY);
	return 0;
}

/* The flow whose datagram @fragment says it is. 0: it is over. */
static __always_inline int fragment_follow(union weir_fragment fragment,
					   const struct packet *packet, struct flow_hit *hit)
{
	struct weir_flow4 *flow = array_at(&flows4, fragment.record);

	if (!flow)
		return 0;
	hit->control.word = READ_WORD(flow->control.word);
	if (hit->control.generation != fragment.generation || !state_is_live(hit->control.state) ||
	    control_protocol(hit->control) != packet->tuple.protocol)
		return 0;
	/* If both fit, both directions write the same addresses. */
	if (flow->client.source == packet->tuple.source &&
	    flow->client.destination == packet->tuple.destination)
		hit->from = WEIR_FROM_CLIENT;
	else if (flow->backend.source == packet->tuple.source &&
		 flow->backend.destination == packet->tuple.destination)
		hit->from = WEIR_FROM_BACKEND;
	else
		return 0;
	hit->record = fragment.record;
	hit->flow = flow;
	return 1;
}

static __always_inline enum weir_reason fragment_forward(struct xdp_md *ctx, struct packet *packet,
							 const struct flow_hit *hit, __be16 id)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct weir_flow4 *flow = hit->flow;
	int forth = hit->from == WEIR_FROM_CLIENT;
	const struct weir_side4 *to = forth ? &flow->backend : &flow->client;
	__u16 delta = forth ? flow->address_delta : checksum_negate(flow->address_delta);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	enum weir_reason reason;

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_FRAGMENT;
	reason = hop_apply(data, forth ? hit->control.backend_hop : hit->control.client_hop,
			   flow->client_mac, packet);
	if (reason != WEIR_GO_ON)
		return reason;
	delta = checksum_fold((__u64)delta + (__u16)~ip->id + id + checksum_ttl_delta());
	ip->check = checksum_apply(ip->check, delta);
	ip->saddr = to->destination;
	ip->daddr = to->source;
	ip->id = id;
	ip->ttl--;
	if (!flow_unchanged(hit))
		return WEIR_REASON_RACED;
	count_traffic(flow->backend_id, hit->from, packet);
	return WEIR_REASON_LATER_FRAGMENT;
}

/* A fragment that is not the first: it goes the way of the first one, or to the host. */
static __noinline enum weir_reason fragment_later(struct xdp_md *ctx, struct packet *packet,
						  struct flow_hit *hit)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct weir_fragment_key key;
	union weir_fragment fragment;
	union weir_fragment *known;

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_FRAGMENT;
	fragment_key(packet, ip, &key);
	known = bpf_map_lookup_elem(&fragments4, &key);
	if (!known)
		return WEIR_REASON_FRAGMENT;
	fragment.word = READ_WORD(known->word); /* may be another's at any time: one word at once */
	if (!fragment_follow(fragment, packet, hit))
		return WEIR_REASON_FRAGMENT;
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED_SILENT; /* RFC 1122 3.2.2: only about the first */
	return fragment_forward(ctx, packet, hit, fragment.id);
}
