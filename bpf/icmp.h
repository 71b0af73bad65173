/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * ICMP that comes in: errors about packets which weir forwarded go to the side that sent them, as NATs
 * must do (RFC 5508); pings of service addresses that this host does not have are answered. Whatever
 * else there is, and all that is malformed, is the host's.
 */

#include "nat.h"
#include "reply.h"
#include "service.h"

enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO_REQUEST = 8,
	ICMP_PARAMETER_PROBLEM = 12,
};

/* Both headers of an ICMP error and the quoted ports end before this: a bound for the verifier. */
#define QUOTE_OFFSET_MASK 0xff
/* Where TCP and UDP have their checksums. */
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6

/* Where what lies in an ICMP message; bytes from the start of the frame. */
struct icmp_message {
	__u16 icmp;
	__u16 end; /* of the IP packet */
	/* Errors only: the quoted IP header and what is behind it. */
	__u16 quoted_ip;
	__u16 quoted_l4;
	__u8 type;
	/* As the flow is found by packets of the side that the error comes from. */
	struct weir_tuple4 tuple;
};

static __always_inline int icmp_is_error(__u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

/* Fills @message but for what is quoted. 0: not a whole message to one host. */
static __always_inline int icmp_parse(void *data, void *data_end, struct icmp_message *message)
{
	struct ethhdr *ethernet = data;
	struct iphdr *ip = (void *)(ethernet + 1);
	__u32 header_length, ip_length;
	struct icmp_error *icmp;

	if ((void *)(ip + 1) > data_end || ethernet->h_dest[0] & ETHERNET_GROUP)
		return 0;
	header_length = ip->ihl * 4;
	ip_length = bpf_ntohs(ip->tot_len);
	if (header_length < IP_HEADER_LEAST || ip_length < header_length + sizeof(*icmp) ||
	    ip_length > data_end - (void *)ip || ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return 0;
	message->icmp = sizeof(*ethernet) + header_length;
	message->end = sizeof(*ethernet) + ip_length;
	icmp = data + (message->icmp & L4_OFFSET_MASK);
	if ((void *)(icmp + 1) > data_end)
		return 0;
	message->type = icmp->type;
	return !icmp->code || message->type != ICMP_ECHO_REQUEST;
}

/* Reads the quoted tuple, turned round. 0: not enough is quoted, or it has no ports. */
static __always_inline int icmp_parse_quote(void *data, void *data_end,
					    struct icmp_message *message)
{
	struct iphdr *quoted;
	__be16 *ports;

	message->quoted_ip = message->icmp + sizeof(struct icmp_error);
	quoted = data + (message->quoted_ip & QUOTE_OFFSET_MASK);
	if (message->quoted_ip + sizeof(*quoted) > message->end || (void *)(quoted + 1) > data_end)
		return 0;
	message->quoted_l4 = message->quoted_ip + quoted->ihl * 4;
	ports = data + (message->quoted_l4 & QUOTE_OFFSET_MASK);
	if (quoted->version != 4 || quoted->ihl * 4 < IP_HEADER_LEAST ||
	    message->quoted_l4 + ICMP_QUOTE > message->end ||
	    (void *)ports + ICMP_QUOTE > data_end ||
	    quoted->frag_off & bpf_htons(IP_FRAGMENT_OFFSET) ||
	    (quoted->protocol != IPPROTO_TCP && quoted->protocol != IPPROTO_UDP))
		return 0;
	message->tuple = (struct weir_tuple4){
		.source = quoted->daddr,
		.destination = quoted->saddr,
		.source_port = ports[1],
		.destination_port = ports[0],
		.protocol = quoted->protocol,
	};
	return 1;
}

/* Replaces a 16-bit word; returns what that changes in a sum over it. */
static __always_inline __u32 word_replace(__u16 *at, __u16 word)
{
	__u32 change = (__u16) ~*at + word;

	*at = word;
	return change;
}

/* The checksum of the quoted TCP or UDP header, if it is there: the same change, the same result. */
static __always_inline __u32 quote_l4_checksum(void *data, void *data_end,
					       const struct icmp_message *message, __u16 delta)
{
	int tcp = message->tuple.protocol == IPPROTO_TCP;
	__u32 offset = message->quoted_l4 + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
	__u16 *check = data + (offset & QUOTE_OFFSET_MASK);

	if (offset + sizeof(*check) > message->end || (void *)(check + 1) > data_end)
		return 0;
	return word_replace(check, tcp ? checksum_apply(*check, delta) :
					 checksum_apply_udp(*check, delta));
}

/* Writes the quoted packet as its sender sent it. Returns what that changes in a sum over it. */
static __always_inline __u32 quote_rewrite(void *data, void *data_end,
					   const struct icmp_message *message,
					   const struct weir_side4 *to, __u16 addresses,
					   __u16 ports_delta)
{
	struct iphdr *quoted = data + (message->quoted_ip & QUOTE_OFFSET_MASK);
	__be16 *ports = data + (message->quoted_l4 & QUOTE_OFFSET_MASK);
	__u32 change = (__u32)addresses + ports_delta;

	if ((void *)(quoted + 1) > data_end || (void *)(ports + 2) > data_end)
		return 0;
	quoted->saddr = to->source;
	quoted->daddr = to->destination;
	change += word_replace(&quoted->check, checksum_apply(quoted->check, addresses));
	ports[0] = to->source_port;
	ports[1] = to->destination_port;
	return change +
	       quote_l4_checksum(data, data_end, message, checksum_add(addresses, ports_delta));
}

/*
 * Sends the error on to the other side of the flow @hit. The source stays the router's that made it; if
 * the peer itself made it, it becomes what the other side knows the peer by.
 */
static __always_inline enum weir_reason icmp_forward(struct xdp_md *ctx, struct packet *packet,
						     const struct flow_hit *hit,
						     const struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	const struct weir_flow4 *flow = hit->flow;
	int forth = hit->from == WEIR_FROM_CLIENT;
	const struct weir_side4 *from = forth ? &flow->client : &flow->backend;
	const struct weir_side4 *to = forth ? &flow->backend : &flow->client;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct icmp_error *icmp = data + (message->icmp & L4_OFFSET_MASK);
	__u16 addresses = forth ? flow->address_delta : checksum_negate(flow->address_delta);
	__be32 source, destination = to->source;
	enum weir_reason reason;
	__u32 change;

	if ((void *)(ip + 1) > data_end || (void *)(icmp + 1) > data_end)
		return WEIR_REASON_NOT_TCP_UDP;
	source = ip->saddr == from->source ? to->destination : ip->saddr;
	reason = hop_apply(data, forth ? hit->control.backend_hop : hit->control.client_hop,
			   flow->client_mac, packet);
	if (reason != WEIR_GO_ON)
		return reason;
	change = quote_rewrite(data, data_end, message, to, addresses,
			       checksum_port_delta(from, to));
	icmp->checksum = checksum_apply(icmp->checksum, checksum_fold(change));
	ip->check = checksum_apply(ip->check,
				   checksum_fold((__u64)(__u32)~ip->saddr + (__u32)~ip->daddr +
						 source + destination + checksum_ttl_delta()));
	ip->saddr = source;
	ip->daddr = destination;
	ip->ttl--;
	return flow_unchanged(hit) ? WEIR_REASON_ICMP_ERROR : WEIR_REASON_RACED;
}

/* An ICMP error. It changes nothing of the flow: anybody could have sent it. */
static __always_inline enum weir_reason icmp_error(struct xdp_md *ctx, struct packet *packet,
						   struct flow_hit *hit,
						   struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	union weir_index entry;

	/* Sent to who sent the quoted packet, or it is no answer to that. */
	if (!icmp_parse_quote(data, data_end, message) ||
	    message->tuple.destination != packet->tuple.destination)
		return WEIR_REASON_NOT_TCP_UDP;
	entry.word = index_find(&message->tuple);
	if (!entry.word || !index_follow(entry, &message->tuple, hit) ||
	    !state_is_live(hit->control.state)) {
		hit->flow = NULL;
		return WEIR_REASON_NOT_TCP_UDP;
	}
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED_SILENT; /* never an ICMP error about an ICMP error */
	return icmp_forward(ctx, packet, hit, message);
}

/* A ping. @message: where it lies. */
static __always_inline enum weir_reason echo(struct xdp_md *ctx, const struct packet *packet,
					     const struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct icmp_error *icmp = data + (message->icmp & L4_OFFSET_MASK);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u16 checksum;

	if ((void *)(ip + 1) > data_end || (void *)(icmp + 1) > data_end ||
	    !address_echoes(packet->tuple.destination))
		return WEIR_REASON_NOT_TCP_UDP;
	if (!reply_allowed(packet, 1))
		return WEIR_REASON_ECHO_SILENT;
	ethernet_turn_round(data);
	ip->saddr = packet->tuple.destination;
	ip->daddr = packet->tuple.source;
	ip->ttl = REPLY_TTL;
	ip->check = checksum_apply(ip->check, checksum_add((__u16)~bpf_htons(packet->ttl << 8),
							   bpf_htons(REPLY_TTL << 8)));
	icmp->type = ICMP_ECHO_REPLY;
	checksum = checksum_apply(icmp->checksum, ~bpf_htons(ICMP_ECHO_REQUEST << 8));
	/* As good as 0, and if all else is 0 the only right one. */
	icmp->checksum = checksum ? checksum : 0xffff;
	return WEIR_REASON_ECHO;
}

/* Not inlined: rare, and its stack is its own. */
static __noinline enum weir_reason icmp_handle(struct xdp_md *ctx, struct packet *packet,
					       struct flow_hit *hit)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct icmp_message message = {};

	if (!icmp_parse(data, data_end, &message))
		return WEIR_REASON_NOT_TCP_UDP;
	if (message.type == ICMP_ECHO_REQUEST)
		return echo(ctx, packet, &message);
	if (icmp_is_error(message.type))
		return icmp_error(ctx, packet, hit, &message);
	return WEIR_REASON_NOT_TCP_UDP;
}
