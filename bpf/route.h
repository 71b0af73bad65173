/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* The way to clients, which is the kernel's route to them; backends' ways are the daemon's business. */

#include "flow.h"
#include "nat.h"

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/* Filled as far as it is the same for both families: an answer from the service to the client. */
static __always_inline struct bpf_fib_lookup route_question(__u32 ifindex, __u8 protocol,
							    const struct weir_ports *client)
{
	/* Ports choose one of several gateways (fib_multipath_hash_policy), and rules may name them. */
	return (struct bpf_fib_lookup){
		.ifindex = ifindex,
		.l4_protocol = protocol,
		.sport = client->destination,
		.dport = client->source,
	};
}

static __always_inline void route_question4(struct bpf_fib_lookup *fib, __be32 service,
					    __be32 client)
{
	fib->family = AF_INET;
	fib->ipv4_src = service;
	fib->ipv4_dst = client;
}

static __always_inline void route_question6(struct bpf_fib_lookup *fib,
					    const struct weir_address *service,
					    const struct weir_address *client)
{
	fib->family = AF_INET6;
	__builtin_memcpy(fib->ipv6_src, service, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, client, sizeof(fib->ipv6_dst));
}

/*
 * The next hop of the gateway that the kernel sends an answer through, as it would forward one that came
 * in on @fib->ifindex. 0: weir knows no such gateway; *on_link: because there is none, @fib has the interface
 * and the client's MAC address. @client6: NULL in IPv4.
 */
static __always_inline __u32 route_gateway(struct xdp_md *ctx, struct bpf_fib_lookup *fib,
					   __be32 client4, const struct weir_address *client6,
					   int *on_link)
{
	struct weir_gateway_key gateway = {};
	long result = bpf_fib_lookup(ctx, fib, sizeof(*fib), 0);
	__u32 *hop;

	*on_link = 0;
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return 0;
	/* A route of IPv4 may have a gateway of IPv6: the family is that of the gateway. */
	if (fib->family == AF_INET6)
		__builtin_memcpy(&gateway.address, fib->ipv6_dst, sizeof(gateway.address));
	else
		gateway.address = address_from_v4(fib->ipv4_dst);
	if (client6 ? address_is_same(&gateway.address, client6) :
		      fib->family == AF_INET && fib->ipv4_dst == client4) {
		*on_link = result == BPF_FIB_LKUP_RET_SUCCESS;
		return 0;
	}
	gateway.ifindex = fib->ifindex;
	hop = bpf_map_lookup_elem(&gateways, &gateway);
	return hop ? *hop : 0;
}

/*
 * The next hop towards the client of a new flow: the gateway of the route to it, if the daemon knows that
 * one, else "on link". That is where the packet came from, or another interface of weir's where the kernel
 * knows the client's MAC address. Not static: the verifier looks at it once.
 */
__noinline int client_hop(struct xdp_md *ctx, const struct packet *packet, struct weir_flow *flow)
{
	struct weir_gateway_key here = { .ifindex = ctx->ingress_ifindex };
	const struct weir_address *client6 = NULL;
	struct bpf_fib_lookup fib;
	int on_link;
	__u32 *hop;
	__u32 id;

	if (!packet || !flow)
		return 0;
	fib = route_question(ctx->ingress_ifindex, packet->tuple.protocol, &flow->client_ports);
	if (packet->tuple.family == WEIR_IPV6) {
		client6 = &packet->tuple.source;
		route_question6(&fib, &packet->tuple.destination, client6);
	} else {
		route_question4(&fib, packet->tuple.destination.word[3],
				packet->tuple.source.word[3]);
	}
	id = route_gateway(ctx, &fib, packet->tuple.source.word[3], client6, &on_link);
	if (id)
		return id;
	if (on_link && fib.ifindex != ctx->ingress_ifindex) {
		here.ifindex = fib.ifindex;
		hop = bpf_map_lookup_elem(&gateways, &here);
		if (hop) {
			__builtin_memcpy(flow->client_mac, fib.dmac, ETH_ALEN);
			return *hop;
		}
		here.ifindex = ctx->ingress_ifindex;
	}
	hop = bpf_map_lookup_elem(&gateways, &here);
	return hop ? *hop : 0;
}

/* The same for the flow of a record, as what came in on @ifindex; 0: none. */
static __always_inline __u32 route_of_record(struct xdp_md *ctx, const struct weir_flow *flow,
					     __u32 record, __u32 ifindex)
{
	const struct weir_side4 *side4 = flow_side4(flow, WEIR_FROM_CLIENT);
	const struct weir_side6 *side6 = NULL;
	struct bpf_fib_lookup fib = route_question(ifindex, control_protocol(flow->control),
						   &flow->client_ports);
	int on_link;

	if (record_family(record) == WEIR_IPV6) {
		side6 = flow_side6(record, WEIR_FROM_CLIENT);
		if (!side6)
			return 0;
		route_question6(&fib, &side6->destination, &side6->source);
	} else {
		route_question4(&fib, side4->destination, side4->source);
	}
	return route_gateway(ctx, &fib, side4->source, side6 ? &side6->source : NULL, &on_link);
}

/* The MAC addresses of a gateway's hop. 0: they are not known. */
static __always_inline int hop_apply(struct xdp_md *ctx, struct packet *packet,
				     struct weir_hop *hop)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	union weir_hop_address destination, source;

	destination.word = READ_WORD(hop->destination.word);
	source.word = READ_WORD(hop->source.word);
	if (!(destination.flags & WEIR_HOP_VALID) ||
	    (void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return 0;
	mac_copy(ethernet->h_dest, destination.mac);
	mac_copy(ethernet->h_source, source.mac);
	packet->egress = hop->ifindex;
	return 1;
}

/*
 * The gateway of the flow to its client is in no route any more, or silent: what does the route say now?
 * @packet, which is ready to be sent, and the flow go that way from here on. If it names no other gateway
 * that can be used, they keep the old one.
 */
__noinline int route_again(struct xdp_md *ctx, struct packet *packet)
{
	union weir_flow_control control, moved;
	struct weir_hop *old, *hop;
	struct weir_flow *flow;
	__u32 id;

	if (!packet)
		return 0;
	flow = record_at(packet->record);
	if (!flow)
		return 0;
	control.word = READ_WORD(flow->control.word);
	old = array_at(&next_hops, control.client_hop);
	if (!old || control.generation != packet->generation)
		return 0;
	id = route_of_record(ctx, flow, packet->record, old->ifindex);
	hop = array_at(&next_hops, id);
	if (!id || !hop || !hop_apply(ctx, packet, hop))
		return 0;
	moved = control;
	moved.client_hop = id;
	return flow_swap(flow, control, moved);
}
