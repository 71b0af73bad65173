/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Modes dsr and ipip: the backend answers the client itself, weir sees one direction alone. A flow is a
 * session in an LRU table, {tuple -> backend}; one that is not there costs nothing, for the
 * schedulers that hash find its backend again, also on another node.
 */

#include "nat.h"
#include "reply.h"
#include "schedule.h"
#include "service.h"

#define OUTER_TTL 64
/* Outer sources that are made up: 172.16.0.0/16 (RFC 1918), 100::/64 (RFC 6666, discarded by all). */
#define WEIR_OUTER_NET4 0xac100000
#define WEIR_OUTER_HOSTS4 65534
#define WEIR_OUTER_NET6 0x01000000

/* Tells a session of this tuple and backend from one in a value or under an id that was used again. */
static __always_inline __u32 session_check(const struct weir_tuple *tuple,
					   const struct weir_address *backend)
{
	return weir_hash_mix(weir_hash_words(backend) + weir_hash_tuple(tuple)) >> 32;
}

static __always_inline void tuple_shorten(const struct weir_tuple *tuple, struct weir_tuple4 *key)
{
	*key = (struct weir_tuple4){
		.source = tuple->source.word[3],
		.destination = tuple->destination.word[3],
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
		.protocol = tuple->protocol,
	};
}

static __always_inline struct weir_session *session_at(const struct weir_tuple *tuple)
{
	struct weir_tuple4 key;

	if (tuple->family == WEIR_IPV6)
		return bpf_map_lookup_elem(&sessions6, tuple);
	tuple_shorten(tuple, &key);
	return bpf_map_lookup_elem(&sessions4, &key);
}

static __always_inline __u32 session_flags(const struct packet *packet)
{
	if (packet_opens(packet))
		return 0;
	if (packet->tcp_flags & (TCP_FLAG_FIN_BIT | TCP_FLAG_RST_BIT))
		return WEIR_SESSION_ESTABLISHED | WEIR_SESSION_CLOSING;
	return WEIR_SESSION_ESTABLISHED;
}

/*
 * Is @packet one of the session still? A SYN is where it may be the same one again: it begins anew
 * once the client has closed, and when the backend that never answered it is no longer to be used.
 */
static __always_inline int session_goes_on(const struct weir_session *session,
					   const struct weir_service *service, __u32 use,
					   const struct packet *packet, __u32 now)
{
	__u32 age = now - session->last_seen;

	if (packet->tuple.protocol == IPPROTO_UDP)
		return age <= service->timeouts.udp_established;
	if (!packet_opens(packet))
		return 1;
	if (age > service->timeouts.tcp || session->flags & WEIR_SESSION_CLOSING)
		return 0;
	return use == WEIR_BACKEND_OPEN || session->flags & WEIR_SESSION_ESTABLISHED;
}

/* The session of @packet and the backend that it leads to, or 0: there is none, or it holds no longer. */
static __always_inline __u32 session_find(const struct weir_service *service, __u32 service_id,
					  const struct packet *packet,
					  struct weir_session **session)
{
	union weir_session_owner owner;
	struct weir_backend *backend;

	*session = session_at(&packet->tuple);
	if (!*session)
		return 0;
	owner.word = READ_WORD((*session)->owner.word);
	backend = array_at(&backends, owner.backend);
	if (!backend || backend->service != service_id || backend->use == WEIR_BACKEND_CUT ||
	    owner.check != session_check(&packet->tuple, &backend->address))
		return 0;
	if (!session_goes_on(*session, service, backend->use, packet, bpf_jiffies64()))
		return 0;
	return owner.backend;
}

/* @packet was one of the session. */
static __always_inline void session_touch(struct weir_session *session, const struct packet *packet)
{
	__u32 flags = session_flags(packet), now = bpf_jiffies64();

	if (session->last_seen != now)
		session->last_seen = now;
	if (flags & ~session->flags)
		session->flags |= flags;
}

/* A failure leaves the flow without a session: its next packet is decided on anew. */
__noinline int session_store(const struct packet *packet, __u32 backend_id,
			     const struct weir_address *address)
{
	struct weir_session session = { .last_seen = bpf_jiffies64() };
	struct weir_tuple tuple;
	struct weir_tuple4 key;

	if (!packet || !address)
		return 0;
	session.owner.backend = backend_id;
	session.owner.check = session_check(&packet->tuple, address);
	session.flags = session_flags(packet);
	if (packet->tuple.family == WEIR_IPV6) {
		tuple = packet->tuple;
		return bpf_map_update_elem(&sessions6, &tuple, &session, BPF_ANY);
	}
	tuple_shorten(&packet->tuple, &key);
	return bpf_map_update_elem(&sessions4, &key, &session, BPF_ANY);
}

/* The scheduler decides, but whose turn it is says nothing about a flow that began long ago. */
static __always_inline __u32 direct_choose(const struct weir_service *service, __u32 service_id,
					   const struct packet *packet)
{
	union weir_range range = { .word = READ_WORD(service->slots.word) };
	struct weir_slot *slot;

	if (packet_opens(packet) ||
	    (service->scheduler != WEIR_SCHEDULER_RR && service->scheduler != WEIR_SCHEDULER_WRR))
		return schedule(service, service_id, packet);
	if (!range.length)
		return 0;
	slot = array_at(&slots, range.offset + pick_hash(range, packet));
	return slot ? slot->backend : 0;
}

/*
 * The source of the outer header, the same for all of a flow. A backend's network card spreads packets over
 * its queues by their addresses, so it is made from the flow's hash unless the service wants a fixed one
 * or there are several of our own to choose from. 0: there is none.
 */
static __always_inline int outer_source(const struct weir_service *service,
					const struct weir_backend *backend,
					const struct packet *packet, struct weir_address *source)
{
	union weir_range pool = { .word = READ_WORD(backend->snat.word) };
	__u32 hash = weir_hash_tuple(&packet->tuple);
	struct weir_address *own;

	own = array_at(&snat_addresses, pool.offset + weir_hash_scale(hash, pool.length));
	if (!pool.length || !own)
		return 0;
	*source = *own;
	if (pool.length > 1 || service->flags & WEIR_SERVICE_OUTER_FIXED)
		return 1;
	if (address_is_v4(own))
		source->word[3] = bpf_htonl(WEIR_OUTER_NET4 + 1 +
					    weir_hash_scale(hash, WEIR_OUTER_HOSTS4));
	else
		*source = (struct weir_address){ { bpf_htonl(WEIR_OUTER_NET6), 0, 0, hash | 1 } };
	return 1;
}

/* What the outer header needs to know of the packet. */
struct inner {
	__u32 length; /* of the IP packet */
	__u8 traffic_class;
	__u8 may_fragment;
};

static __always_inline int inner_read(struct xdp_md *ctx, const struct packet *packet,
				      struct inner *inner)
{
	struct ip6_header *ip6 = packet_l3((void *)(long)ctx->data, packet);
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)ip6;

	if (packet->tuple.family == WEIR_IPV6) {
		if ((void *)(ip6 + 1) > data_end)
			return 0;
		inner->length = sizeof(*ip6) + bpf_ntohs(ip6->payload_length);
		inner->traffic_class = ip6->version << 4 | ip6->flow[0] >> 4;
		inner->may_fragment = 0;
		return 1;
	}
	if ((void *)(ip + 1) > data_end)
		return 0;
	inner->length = bpf_ntohs(ip->tot_len);
	inner->traffic_class = ip->tos;
	inner->may_fragment = !(ip->frag_off & bpf_htons(IP_DONT_FRAGMENT));
	return 1;
}

static __always_inline void outer_fill4(struct iphdr *outer, const struct inner *inner,
					__u8 protocol, __be16 fragment,
					const struct weir_address *source,
					const struct weir_address *destination)
{
	*outer = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*outer) / 4,
		.tos = inner->traffic_class,
		.tot_len = bpf_htons(sizeof(*outer) + inner->length),
		.frag_off = fragment,
		.ttl = OUTER_TTL,
		.protocol = protocol,
		.saddr = source->word[3],
		.daddr = destination->word[3],
	};
	ip4_checksum(outer);
}

/* The flow label spreads the flows over a router's paths (RFC 6438). */
static __always_inline void outer_fill6(struct ip6_header *outer, const struct inner *inner,
					__u8 protocol, __u32 label,
					const struct weir_address *source,
					const struct weir_address *destination)
{
	*outer = (struct ip6_header){
		.version = 6 << 4 | inner->traffic_class >> 4,
		.flow = { inner->traffic_class << 4 | (label >> 16 & 0xf), label >> 8, label },
		.payload_length = bpf_htons(inner->length),
		.next = protocol,
		.hop_limit = OUTER_TTL,
		.source = *source,
		.destination = *destination,
	};
}

/* Behind the new room in front, the tags that stood before the packet stand before its outer header. */
static __always_inline int tags_move(void *data, void *data_end, const struct packet *packet,
				     __u32 room, __be16 ethertype)
{
	__be16 *to = data + 2 * ETH_ALEN;
	__be16 *from = (void *)to + room;
	int words = ((packet->l3_offset & L3_OFFSET_MASK) - sizeof(struct ethhdr)) / sizeof(*to);
	int i;

	if ((void *)(from + VLAN_TAGS_MOST * VLAN_TAG / sizeof(*from) + 1) > data_end)
		return 0;
	for (i = 0; i < (int)(VLAN_TAGS_MOST * VLAN_TAG / sizeof(*to)) && i < words; i++)
		to[i] = from[i];
	to[i] = ethertype;
	return 1;
}

/* One less of the packet's time to live: what a router does. 0: there is no header at @offset. */
static __always_inline int ttl_decrement(void *data, void *data_end, const struct packet *packet,
					 __u32 offset)
{
	struct ip6_header *ip6 = data + (offset & L4_OFFSET_MASK);
	struct iphdr *ip = (void *)ip6;

	if (packet->tuple.family == WEIR_IPV6) {
		if ((void *)(ip6 + 1) > data_end)
			return 0;
		ip6->hop_limit--;
		return 1;
	}
	if ((void *)(ip + 1) > data_end)
		return 0;
	ip->ttl--;
	ip->check = checksum_apply(ip->check, checksum_ttl_delta());
	return 1;
}

/* Writes the outer header into the room that was made. 0: it is not there. */
static __always_inline int outer_fill(struct xdp_md *ctx, const struct packet *packet,
				      const struct weir_service *service,
				      const struct weir_backend *backend, const struct inner *inner,
				      const struct weir_address *source)
{
	__u8 protocol = packet->tuple.family == WEIR_IPV6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	struct ip6_header *outer6 = packet_l3((void *)(long)ctx->data, packet);
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *outer4 = (void *)outer6;
	__be16 fragment = service->flags & WEIR_SERVICE_CLEAR_DF ? 0 : bpf_htons(IP_DONT_FRAGMENT);

	if (address_is_v4(&backend->address)) {
		if ((void *)(outer4 + 1) > data_end)
			return 0;
		outer_fill4(outer4, inner, protocol, fragment, source, &backend->address);
		return 1;
	}
	if ((void *)(outer6 + 1) > data_end)
		return 0;
	outer_fill6(outer6, inner, protocol, weir_hash_tuple(&packet->tuple), source,
		    &backend->address);
	return 1;
}

/* What gets through, told to the sender; an IPv6 host believes no less than 1280 (RFC 8201 4). */
static __always_inline __u32 inner_mtu(const struct packet *packet, __u32 mtu, __u32 room)
{
	mtu -= room;
	return packet->tuple.family == WEIR_IPV6 && mtu < IP6_MTU_LEAST ? IP6_MTU_LEAST : mtu;
}

/* Puts an IP header to the backend in front, with room for the Ethernet header and tags before it. */
static __noinline enum weir_reason encapsulate(struct xdp_md *ctx, struct packet *packet,
					       const struct weir_service *service,
					       const struct weir_backend *backend)
{
	int v4 = address_is_v4(&backend->address);
	__u32 room = v4 ? sizeof(struct iphdr) : sizeof(struct ip6_header);
	struct weir_hop *hop = array_at(&next_hops, backend->hop);
	struct weir_address source;
	void *data, *data_end;
	struct inner inner;

	if (!hop || !inner_read(ctx, packet, &inner))
		return WEIR_REASON_MALFORMED_IP;
	if (inner.length + room > hop->mtu) {
		packet->mtu = inner_mtu(packet, hop->mtu, room);
		return inner.may_fragment ? WEIR_REASON_TOO_BIG_NO_DF : WEIR_REASON_TOO_BIG;
	}
	if (!outer_source(service, backend, packet, &source))
		return WEIR_REASON_NO_NEXT_HOP;
	if (bpf_xdp_adjust_head(ctx, -(int)room))
		return WEIR_REASON_NO_HEADROOM;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (!tags_move(data, data_end, packet, room, bpf_htons(v4 ? ETH_P_IP : ETH_P_IPV6)) ||
	    !ttl_decrement(data, data_end, packet, packet->l3_offset + room) ||
	    !outer_fill(ctx, packet, service, backend, &inner, &source))
		return WEIR_REASON_MALFORMED_IP;
	return WEIR_GO_ON;
}

/* Sends @packet to the backend. Until it is sure that this can be done, the frame stays as it is. */
static __always_inline enum weir_reason direct_send(struct xdp_md *ctx, struct packet *packet,
						    const struct weir_service *service,
						    const struct weir_backend *backend)
{
	struct weir_hop *hop = array_at(&next_hops, backend->hop);
	union weir_hop_address destination, source;
	enum weir_reason reason = WEIR_GO_ON;
	struct ethhdr *ethernet;

	if (!hop)
		return WEIR_REASON_NO_NEXT_HOP;
	destination.word = READ_WORD(hop->destination.word);
	source.word = READ_WORD(hop->source.word);
	if (!(destination.flags & WEIR_HOP_VALID))
		return WEIR_REASON_NO_NEXT_HOP;
	if (service->mode == WEIR_MODE_IPIP)
		reason = encapsulate(ctx, packet, service, backend);
	else if (hop_is_narrow(packet, hop))
		reason = WEIR_REASON_TOO_BIG;
	else if (!ttl_decrement((void *)(long)ctx->data, (void *)(long)ctx->data_end, packet,
				packet->l3_offset))
		reason = WEIR_REASON_MALFORMED_IP;
	if (reason != WEIR_GO_ON)
		return reason;
	ethernet = (void *)(long)ctx->data;
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return WEIR_REASON_MALFORMED_IP;
	mac_copy(ethernet->h_dest, destination.mac);
	mac_copy(ethernet->h_source, source.mac);
	packet->egress = hop->ifindex;
	return WEIR_GO_ON;
}

/* A packet to @service_id, whose backends answer their clients themselves. */
__noinline int direct_forward(struct xdp_md *ctx, struct packet *packet, __u32 service_id)
{
	struct weir_service *service = array_at(&services, service_id);
	enum weir_reason reason, done = WEIR_REASON_TO_BACKEND;
	struct weir_session *session;
	struct weir_backend *backend;
	struct weir_load *load;
	__u32 backend_id;

	if (!service || !packet)
		return WEIR_REASON_NO_BACKEND;
	backend_id = session_find(service, service_id, packet, &session);
	if (backend_id) {
		session_touch(session, packet);
	} else {
		if (service_denies(service, packet))
			return WEIR_REASON_DENIED;
		if (!source_is_possible(packet))
			return WEIR_REASON_BAD_SOURCE;
		done = packet_opens(packet) ? WEIR_REASON_NEW_FLOW : WEIR_REASON_HASHED;
		backend_id = direct_choose(service, service_id, packet);
	}
	backend = array_at(&backends, backend_id);
	if (!backend_id || !backend)
		return WEIR_REASON_NO_BACKEND;
	packet->backend_id = backend_id;
	reason = direct_send(ctx, packet, service, backend);
	if (reason != WEIR_GO_ON)
		return reason;
	count_traffic(backend_id, WEIR_FROM_CLIENT, packet);
	if (done != WEIR_REASON_TO_BACKEND && !(packet->tcp_flags & TCP_FLAG_RST_BIT))
		session_store(packet, backend_id, &backend->address);
	load = array_at(&loads, backend_id);
	if (load && done == WEIR_REASON_NEW_FLOW)
		__sync_fetch_and_add(&load->total, 1);
	return done;
}

/*
 * An ICMP error about what a backend sent to its client, whose @packet->tuple is that of the client's own
 * packets: to the backend. It changes nothing of the session: anybody could have sent it.
 */
__noinline int direct_forward_error(struct xdp_md *ctx, struct packet *packet, __u32 service_id)
{
	struct weir_service *service = array_at(&services, service_id);
	struct weir_session *session;
	struct weir_backend *backend;
	enum weir_reason reason;
	__u32 backend_id;

	if (!service || !packet)
		return WEIR_REASON_NOT_TCP_UDP;
	backend_id = session_find(service, service_id, packet, &session);
	if (!backend_id && schedule_hashes(service))
		backend_id = schedule(service, service_id, packet);
	backend = array_at(&backends, backend_id);
	if (!backend_id || !backend)
		return WEIR_REASON_NOT_TCP_UDP;
	packet->backend_id = backend_id;
	reason = direct_send(ctx, packet, service, backend);
	if (reason == WEIR_REASON_TOO_BIG)
		return WEIR_REASON_TOO_BIG_SILENT; /* never an ICMP error about an ICMP error */
	return reason == WEIR_GO_ON ? WEIR_REASON_ICMP_ERROR : reason;
}
