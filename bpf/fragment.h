/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Fragments of flows. The first one has the ports: it is forwarded like any other packet, in nat under a new
 * id, because many clients' datagrams leave from one address. Those behind it have the old id alone,
 * and are found by that; one that comes before its first is the host's, unless no port is needed to tell.
 */

#include "direct.h"
#include "nat.h"

static __always_inline void fragment_key(const struct packet *packet, struct weir_fragment_key *key)
{
	*key = (struct weir_fragment_key){
		.source = packet->tuple.source,
		.destination = packet->tuple.destination,
		.id = packet->fragment_id,
		.protocol = packet->tuple.family == WEIR_IPV4 ? packet->tuple.protocol : 0,
	};
}

/* Another's value may stand under a key. */
static __always_inline __u32 fragment_check(const struct weir_fragment_key *key)
{
	return weir_hash_mix(weir_hash_words(&key->source) + key->id) >> 32 ^
	       weir_hash_words(&key->destination) >> 32;
}

/*
 * Gives a fragment of nat the id that is @fragment's. Returns what that changes in the checksum of an
 * IPv4 header.
 */
static __always_inline __u16 fragment_rename(void *data, void *data_end,
					     const struct packet *packet,
					     union weir_fragment fragment)
{
	struct ip6_fragment *header = data + (packet->fragment_offset & IP6_OFFSET_MASK);
	struct iphdr *ip = packet_l3(data, packet);
	__u16 old;

	if (packet->tuple.family == WEIR_IPV6) {
		if ((void *)(header + 1) <= data_end)
			*(__be16 *)&header->id = fragment.id;
		return 0;
	}
	if ((void *)(ip + 1) > data_end)
		return 0;
	old = ip->id;
	ip->id = fragment.id;
	return checksum_add((__u16)~old, fragment.id);
}

/* In nat the first fragment, just rewritten as a packet of its flow, gets its new id. */
static __always_inline union weir_fragment fragment_of_flow(struct xdp_md *ctx,
							    const struct packet *packet)
{
	union weir_fragment fragment = {
		.record = packet->record,
		.generation = packet->generation,
	};
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = packet_l3(data, packet);
	__u16 delta;

	fragment.id = ip_id_next();
	delta = fragment_rename(data, data_end, packet, fragment);
	if (packet->tuple.family == WEIR_IPV4 && (void *)(ip + 1) <= data_end)
		ip->check = checksum_apply(ip->check, delta);
	return fragment;
}

/*
 * Remembers where the first fragment went. In dsr and ipip nothing of it changes. If there is no room,
 * those behind it pass.
 */
__noinline int fragment_first(struct xdp_md *ctx, const struct packet *packet)
{
	struct weir_fragment_key key;
	union weir_fragment fragment = {};

	if (!packet)
		return 0;
	fragment_key(packet, &key);
	if (packet->record != WEIR_RECORD_NONE) {
		fragment = fragment_of_flow(ctx, packet);
	} else {
		fragment.record = WEIR_FRAGMENT_DIRECT | packet->backend_id;
		fragment.check = fragment_check(&key);
	}
	return bpf_map_update_elem(&fragments, &key, &fragment.word, BPF_ANY);
}

/* The flow whose datagram @fragment says it is. 0: it is over. */
static __always_inline int fragment_follow(union weir_fragment fragment,
					   const struct packet *packet, struct flow_hit *hit)
{
	struct weir_flow *flow = record_at(fragment.record);

	if (!flow)
		return 0;
	hit->control.word = READ_WORD(flow->control.word);
	if (hit->control.generation != fragment.generation || !state_is_live(hit->control.state) ||
	    (packet->tuple.family == WEIR_IPV4 &&
	     control_protocol(hit->control) != packet->tuple.protocol))
		return 0;
	/* If both fit, both directions write the same addresses. */
	if (side_matches(flow, fragment.record, WEIR_FROM_CLIENT, &packet->tuple))
		hit->from = WEIR_FROM_CLIENT;
	else if (side_matches(flow, fragment.record, WEIR_FROM_BACKEND, &packet->tuple))
		hit->from = WEIR_FROM_BACKEND;
	else
		return 0;
	hit->record = fragment.record;
	hit->flow = flow;
	return 1;
}

static __always_inline enum weir_reason fragment_forward(struct xdp_md *ctx, struct packet *packet,
							 const struct flow_hit *hit,
							 union weir_fragment fragment)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	enum weir_reason reason = nat_hop(data, data_end, hit, packet);
	__u16 delta;

	if (reason != WEIR_GO_ON)
		return reason;
	delta = fragment_rename(data, data_end, packet, fragment);
	if (!nat_header(data, data_end, packet, hit,
			checksum_add(delta, flow_delta(hit->flow, hit->from))))
		return WEIR_REASON_FRAGMENT;
	if (!flow_unchanged(hit))
		return WEIR_REASON_RACED;
	count_traffic(hit->flow->backend_id, hit->from, packet);
	return WEIR_REASON_LATER_FRAGMENT;
}

/* Behind the first one to its backend. */
static __always_inline enum weir_reason
fragment_forward_direct(struct xdp_md *ctx, struct packet *packet, __u32 backend_id)
{
	struct weir_backend *backend = array_at(&backends, backend_id);
	struct weir_service *service;
	enum weir_reason reason;

	if (!backend || backend->use == WEIR_BACKEND_CUT)
		return WEIR_REASON_FRAGMENT;
	service = array_at(&services, backend->service);
	if (!service || service->mode == WEIR_MODE_NAT)
		return WEIR_REASON_FRAGMENT;
	packet->backend_id = backend_id;
	reason = direct_send(ctx, packet, service, backend);
	if (reason == WEIR_REASON_TOO_BIG)
		return WEIR_REASON_TOO_BIG_SILENT;
	if (reason != WEIR_GO_ON)
		return reason;
	count_traffic(backend_id, WEIR_FROM_CLIENT, packet);
	return WEIR_REASON_LATER_FRAGMENT;
}

/*
 * Where a fragment goes whose first one is not known: to the backend of its client, if the service has all ports
 * and needs none to choose. 0: to the host.
 */
__noinline __u32 fragment_choose(const struct packet *packet)
{
	union weir_range range = { .word = 0 };
	struct weir_service *service;
	struct weir_slot *slot;
	__u32 service_id;

	if (!packet)
		return 0;
	service_id = service_of_all_ports(&packet->tuple);
	service = array_at(&services, service_id);
	if (!service_id || !service || service->mode == WEIR_MODE_NAT ||
	    service->scheduler != WEIR_SCHEDULER_SOURCE || !source_is_possible(packet) ||
	    service_denies(service, packet))
		return 0;
	range.word = READ_WORD(service->slots.word);
	if (!range.length)
		return 0;
	slot = array_at(&slots, range.offset + pick_source(range, packet));
	return slot ? slot->backend : 0;
}

/* A fragment that is not the first: it goes the way of the first one, or to the host. */
__noinline int fragment_later(struct xdp_md *ctx, struct packet *packet)
{
	struct flow_hit hit = {};
	struct weir_fragment_key key;
	union weir_fragment fragment;
	union weir_fragment *known;
	__u32 backend_id;
	int direct;

	if (!packet)
		return WEIR_REASON_FRAGMENT;
	packet->frame_length = bpf_xdp_get_buff_len(ctx);
	fragment_key(packet, &key);
	known = bpf_map_lookup_elem(&fragments, &key);
	if (known) {
		/* May be another's at any time: one word at once. */
		fragment.word = READ_WORD(known->word);
	} else {
		backend_id = fragment_choose(packet);
		if (!backend_id)
			return WEIR_REASON_FRAGMENT;
		fragment.record = WEIR_FRAGMENT_DIRECT | backend_id;
		fragment.check = fragment_check(&key);
	}
	direct = (fragment.record & ~WEIR_RECORD_V6) >> 30;
	if (direct ? fragment.check != fragment_check(&key) :
		     !fragment_follow(fragment, packet, &hit))
		return WEIR_REASON_FRAGMENT;
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED_SILENT; /* RFC 1122 3.2.2: only about the first */
	if (direct)
		return fragment_forward_direct(ctx, packet,
					       fragment.record & ~WEIR_FRAGMENT_DIRECT);
	packet->backend_id = hit.flow->backend_id;
	return fragment_forward(ctx, packet, &hit, fragment);
}
