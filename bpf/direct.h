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

#define OUTER_TTL 64

/* Tells a session of this tuple and backend from one in a value or under an id that was used again. */
static __always_inline __u32 session_check(const struct weir_tuple4 *tuple, __be32 backend)
{
	return weir_hash_mix((__u64)weir_hash_tuple4(tuple) << 32 | backend) >> 32;
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

/* The backend that @packet's session leads to, or 0: there is none, or it holds no longer. */
static __always_inline __u32 session_find(const struct weir_service *service, __u32 service_id,
					  const struct packet *packet)
{
	struct weir_session *session = bpf_map_lookup_elem(&sessions, &packet->tuple);
	__u32 flags = session_flags(packet), now = bpf_jiffies64();
	union weir_session_owner owner;
	struct weir_backend *backend;

	if (!session)
		return 0;
	owner.word = READ_WORD(session->owner.word);
	backend = array_at(&backends, owner.backend);
	if (!backend || backend->service != service_id || backend->use == WEIR_BACKEND_CUT ||
	    owner.check != session_check(&packet->tuple, backend->address.word[3]))
		return 0;
	if (!session_goes_on(session, service, backend->use, packet, now))
		return 0;
	if (session->last_seen != now)
		session->last_seen = now;
	if (flags & ~session->flags)
		session->flags |= flags;
	return owner.backend;
}

/* A failure leaves the flow without a session: its next packet is decided on anew. */
static __noinline void session_store(const struct packet *packet, __u32 backend_id, __be32 address)
{
	struct weir_session session = {
		.owner = { .backend = backend_id, .check = session_check(&packet->tuple, address) },
		.last_seen = bpf_jiffies64(),
		.flags = session_flags(packet),
	};

	bpf_map_update_elem(&sessions, &packet->tuple, &session, BPF_ANY);
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

/* The source of the outer header: one of those towards this backend, the same for all of a flow. */
static __always_inline __be32 outer_source(const struct weir_backend *backend,
					   const struct packet *packet)
{
	union weir_range pool = { .word = READ_WORD(backend->snat.word) };
	__u32 place = weir_hash_scale(weir_hash_tuple4(&packet->tuple), pool.length);
	struct weir_address *address = array_at(&snat_addresses, pool.offset + place);

	return pool.length && address ? address->word[3] : 0;
}

static __always_inline void outer_fill(struct iphdr *outer, __u8 tos, __u16 length, __be32 source,
				       __be32 destination)
{
	__u16 *words = (void *)outer;
	__u64 sum = 0;
	int i;

	*outer = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*outer) / 4,
		.tos = tos,
		.tot_len = bpf_htons(length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = IPPROTO_IPIP,
		.saddr = source,
		.daddr = destination,
	};
	for (i = 0; i < (int)sizeof(*outer) / 2; i++)
		sum += words[i];
	outer->check = ~checksum_fold(sum);
}

/* Puts an IPv4 header to the backend in front, with room for the Ethernet header before it. */
static __noinline enum weir_reason encapsulate(struct xdp_md *ctx, struct packet *packet,
					       const struct weir_backend *backend, __u32 mtu)
{
	__be32 source = outer_source(backend, packet);
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *inner = (void *)(long)ctx->data + sizeof(struct ethhdr);
	struct ethhdr *ethernet;
	struct iphdr *outer;
	__u32 length;
	__u8 tos;

	if ((void *)(inner + 1) > data_end)
		return WEIR_REASON_MALFORMED_IP;
	length = bpf_ntohs(inner->tot_len) + sizeof(*outer);
	tos = inner->tos;
	if (length > mtu && !(inner->frag_off & bpf_htons(IP_DONT_FRAGMENT)))
		return WEIR_REASON_TOO_BIG_NO_DF;
	if (length > mtu) {
		packet->mtu = mtu - sizeof(*outer);
		return WEIR_REASON_TOO_BIG;
	}
	if (!source)
		return WEIR_REASON_NO_NEXT_HOP;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*outer)))
		return WEIR_REASON_NO_HEADROOM;
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	outer = (void *)(ethernet + 1);
	inner = outer + 1;
	if ((void *)(inner + 1) > data_end)
		return WEIR_REASON_MALFORMED_IP;
	inner->ttl--;
	inner->check = checksum_apply(inner->check, checksum_ttl_delta());
	outer_fill(outer, tos, length, source, backend->address.word[3]);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	return WEIR_GO_ON;
}

/* dsr: what a router does. */
static __always_inline enum weir_reason route(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)(long)ctx->data + sizeof(struct ethhdr);

	if ((void *)(ip + 1) > data_end)
		return WEIR_REASON_MALFORMED_IP;
	ip->ttl--;
	ip->check = checksum_apply(ip->check, checksum_ttl_delta());
	return WEIR_GO_ON;
}

/* Sends @packet to the backend. Until it is sure that this can be done, the frame stays as it is. */
static __always_inline enum weir_reason direct_send(struct xdp_md *ctx, struct packet *packet,
						    const struct weir_service *service,
						    const struct weir_backend *backend)
{
	struct weir_hop *hop = array_at(&next_hops, backend->hop);
	union weir_hop_address destination, source;
	struct ethhdr *ethernet;
	enum weir_reason reason;

	if (!hop)
		return WEIR_REASON_NO_NEXT_HOP;
	destination.word = READ_WORD(hop->destination.word);
	source.word = READ_WORD(hop->source.word);
	if (!(destination.flags & WEIR_HOP_VALID))
		return WEIR_REASON_NO_NEXT_HOP;
	if (service->mode == WEIR_MODE_IPIP)
		reason = encapsulate(ctx, packet, backend, hop->mtu);
	else
		reason = route(ctx);
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
static __noinline enum weir_reason direct_forward(struct xdp_md *ctx, struct packet *packet,
						  __u32 service_id)
{
	struct weir_service *service = array_at(&services, service_id);
	enum weir_reason reason, done = WEIR_REASON_TO_BACKEND;
	struct weir_backend *backend;
	struct weir_load *load;
	__u32 backend_id;

	if (!service)
		return WEIR_REASON_NO_BACKEND;
	backend_id = session_find(service, service_id, packet);
	if (!backend_id) {
		if (!source_is_host(packet) || packet->tuple.source == packet->tuple.destination)
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
		session_store(packet, backend_id, backend->address.word[3]);
	load = array_at(&loads, backend_id);
	if (load && done == WEIR_REASON_NEW_FLOW)
		__sync_fetch_and_add(&load->total, 1);
	return done;
}
