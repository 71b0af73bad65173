/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Modes dsr and ipip: the backend answers the client itself, weir sees one direction alone. A session says
 * which backend a flow has; one that is not there costs nothing, for the schedulers that hash find
 * its backend again, also on another node.
 */

#include "nat.h"
#include "reply.h"
#include "schedule.h"
#include "service.h"
#include "session.h"

#define OUTER_TTL 64
/* Outer sources that are made up: 172.16.0.0/16 (RFC 1918), 100::/64 (RFC 6666, discarded by all). */
#define WEIR_OUTER_NET4 0xac100000
#define WEIR_OUTER_HOSTS4 65534
#define WEIR_OUTER_NET6 0x01000000

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
	__u32 hash = session_hash(packet);
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

/* An id for what is, or on its way may be, cut into fragments (RFC 6864 4). */
static __always_inline __be16 ip_id_next(void)
{
	struct weir_shared *shared_ = WEIR_ONLY(shared);

	return shared_ ? bpf_htons(__sync_fetch_and_add(&shared_->fragmented, 1)) : 0;
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
		.id = fragment ? 0 : ip_id_next(),
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
	outer_fill6(outer6, inner, protocol, session_hash(packet), source, &backend->address);
	return 1;
}

/* What gets through, told to the sender; an IPv6 host believes no less than 1280 (RFC 8201 4). */
static __always_inline __u32 inner_mtu(const struct packet *packet, __u32 mtu, __u32 room)
{
	mtu -= room;
	return packet->tuple.family == WEIR_IPV6 && mtu < IP6_MTU_LEAST ? IP6_MTU_LEAST : mtu;
}

/* Puts an IP header to the backend in front, with room for the Ethernet header and tags before it. */
static __always_inline enum weir_reason encapsulate(struct xdp_md *ctx, struct packet *packet,
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

/* The session that @packet has at @service_id, and its backend; or 0: there is none. */
static __always_inline __u32 session_backend(const struct packet *packet, __u32 service_id,
					     struct weir_session **session)
{
	union weir_session_owner owner;

	*session = session_at(session_of(packet, service_id));
	if (!*session)
		return 0;
	owner.word = READ_WORD((*session)->owner.word);
	return owner.backend;
}

/*
 * A packet of a session that needs nothing but to be forwarded; @hash: session_hash() of it.
 * WEIR_GO_ON: there is none, or there is more to do; nothing was changed.
 */
static __always_inline enum weir_reason direct_forward_plain(struct xdp_md *ctx,
							     struct packet *packet, __u64 hash)
{
	struct weir_session *session = session_find(packet, hash);
	union weir_session_owner owner;
	struct weir_service *service;
	struct weir_backend *backend;
	enum weir_reason reason;

	if (!session || !session_is_current(session) || packet->ttl <= 1 ||
	    packet->first_fragment || (session_is_tcp(packet) && packet_opens(packet)))
		return WEIR_GO_ON;
	owner.word = READ_WORD(session->owner.word);
	backend = array_at(&backends, owner.backend);
	service = backend ? array_at(&services, backend->service) : NULL;
	if (!service || service->mode == WEIR_MODE_NAT) /* it changed its mode */
		return WEIR_GO_ON;
	reason = direct_send(ctx, packet, service, backend);
	if (reason == WEIR_REASON_TOO_BIG || reason == WEIR_REASON_TOO_BIG_NO_DF)
		return WEIR_GO_ON;
	packet->record = WEIR_RECORD_NONE;
	packet->backend_id = owner.backend;
	if (reason != WEIR_GO_ON)
		return reason;
	session_touch(session, packet);
	count_traffic(owner.backend, WEIR_FROM_CLIENT, packet);
	return WEIR_REASON_TO_BACKEND;
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
	backend_id = session_backend(packet, service_id, &session);
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
		session_store(packet, backend_id);
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
	backend_id = session_backend(packet, service_id, &session);
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
