/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * ICMP and ICMPv6 that come in: errors about packets which weir forwarded go to the side that sent them, as NATs
 * must do (RFC 5508); pings of service addresses that this host does not have are answered. Whatever
 * else there is, and all that is malformed, is the host's.
 */

#include "direct.h"
#include "nat.h"
#include "reply.h"
#include "service.h"

enum {
	ICMP_ECHO_REPLY = 0,
	ICMP_ECHO_REQUEST = 8,
	ICMP_PARAMETER_PROBLEM = 12,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
};

/* Both headers of an ICMP error and the quoted ports end before this: a bound for the verifier. */
#define QUOTE_OFFSET_MASK L4_OFFSET_MASK
/* Where TCP and UDP have their checksums. */
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6

/* Where what lies in an ICMP message; bytes from the start of the frame. */
struct icmp_message {
	__u32 end; /* of the IP packet */
	__u16 icmp;
	/* Errors only: the quoted IP header and what is behind it. */
	__u16 quoted_ip;
	__u16 quoted_l4;
	__u8 type;
	__u8 code;
	/* As the flow is found by packets of the side that the error comes from. */
	struct weir_tuple tuple;
};

static __always_inline int icmp_is_error(const struct packet *packet, __u8 type)
{
	if (packet->tuple.family == WEIR_IPV6)
		return type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline int icmp_is_echo(const struct packet *packet,
					const struct icmp_message *message)
{
	return !message->code &&
	       message->type ==
		       (packet->tuple.family == WEIR_IPV6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST);
}

/* Where the message begins and ends. 0: it is not one, or not whole. */
static __always_inline int icmp_bounds4(void *data, void *data_end, const struct packet *packet,
					struct icmp_message *message)
{
	struct iphdr *ip = packet_l3(data, packet);
	__u32 header_length;

	if (packet->tuple.protocol != IPPROTO_ICMP || (void *)(ip + 1) > data_end)
		return 0;
	header_length = ip->ihl * 4;
	message->icmp = packet->l3_offset + header_length;
	message->end = packet->l3_offset + bpf_ntohs(ip->tot_len);
	return header_length >= IP_HEADER_LEAST && !(ip->frag_off & bpf_htons(IP_FRAGMENT_MASK));
}

static __always_inline int icmp_bounds6(void *data, void *data_end, const struct packet *packet,
					struct icmp_message *message)
{
	struct ip6_header *ip = packet_l3(data, packet);

	if (packet->tuple.protocol != IP6_ICMP || (void *)(ip + 1) > data_end)
		return 0;
	message->icmp = packet->l4_offset;
	message->end = packet->l3_offset + sizeof(*ip) + bpf_ntohs(ip->payload_length);
	return !packet->first_fragment;
}

/* Fills @message but for what is quoted. 0: not a whole message to one host. */
static __always_inline int icmp_parse(void *data, void *data_end, const struct packet *packet,
				      struct icmp_message *message)
{
	struct ethhdr *ethernet = data;
	struct icmp_error *icmp;

	if ((void *)(ethernet + 1) > data_end ||
	    (ethernet->h_dest[0] | ethernet->h_source[0]) & ETHERNET_GROUP)
		return 0;
	if (packet->tuple.family == WEIR_IPV6 ? !icmp_bounds6(data, data_end, packet, message) :
						!icmp_bounds4(data, data_end, packet, message))
		return 0;
	icmp = data + (message->icmp & L4_OFFSET_MASK);
	if (message->icmp + sizeof(*icmp) > message->end || message->end > packet->frame_length ||
	    (void *)(icmp + 1) > data_end)
		return 0;
	message->type = icmp->type;
	message->code = icmp->code;
	return 1;
}

/* The quoted IP header: addresses, turned round, protocol, and what is behind it. 0: not enough. */
static __always_inline int quote_parse4(void *data, void *data_end, struct icmp_message *message)
{
	struct iphdr *quoted = data + (message->quoted_ip & QUOTE_OFFSET_MASK);

	if (message->quoted_ip + sizeof(*quoted) > message->end ||
	    (void *)(quoted + 1) > data_end || quoted->version != 4 ||
	    quoted->ihl * 4 < IP_HEADER_LEAST || quoted->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return 0;
	message->quoted_l4 = message->quoted_ip + quoted->ihl * 4;
	message->tuple.source = address_from_v4(quoted->daddr);
	message->tuple.destination = address_from_v4(quoted->saddr);
	message->tuple.protocol = quoted->protocol;
	return 1;
}

static __always_inline int quote_parse6(void *data, void *data_end, struct icmp_message *message)
{
	struct ip6_header *quoted = data + (message->quoted_ip & QUOTE_OFFSET_MASK);
	struct ip6_walk walk = {
		.offset = message->quoted_ip + sizeof(*quoted),
		.end = message->end,
	};

	if (message->quoted_ip + sizeof(*quoted) > message->end ||
	    (void *)(quoted + 1) > data_end || quoted->version >> 4 != 6)
		return 0;
	message->tuple.source = quoted->destination;
	message->tuple.destination = quoted->source;
	message->tuple.family = WEIR_IPV6;
	walk.next = quoted->next;
	if (ip6_walk(data, data_end, &walk) != IP6_WALKED)
		return 0;
	message->tuple.protocol = walk.next;
	message->quoted_l4 = walk.offset;
	return 1;
}

/* Reads the quoted tuple, turned round. 0: not enough is quoted, or it has no ports. */
static __always_inline int icmp_parse_quote(void *data, void *data_end, const struct packet *packet,
					    struct icmp_message *message)
{
	__be16 *ports;

	message->quoted_ip = message->icmp + sizeof(struct icmp_error);
	if (packet->tuple.family == WEIR_IPV6 ? !quote_parse6(data, data_end, message) :
						!quote_parse4(data, data_end, message))
		return 0;
	ports = data + (message->quoted_l4 & QUOTE_OFFSET_MASK);
	if (message->quoted_l4 + ICMP_QUOTE > message->end ||
	    (void *)ports + ICMP_QUOTE > data_end || !protocol_has_ports(message->tuple.protocol))
		return 0;
	message->tuple.source_port = ports[1];
	message->tuple.destination_port = ports[0];
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

/* The addresses of the quoted packet as its sender wrote them. Returns what a sum over it changes by. */
static __always_inline __u32 quote_addresses(void *data, void *data_end,
					     const struct icmp_message *message,
					     const struct flow_hit *hit, __u16 delta)
{
	struct ip6_header *ip6 = data + (message->quoted_ip & QUOTE_OFFSET_MASK);
	struct iphdr *ip = (void *)ip6;
	const struct weir_side4 *to4;
	const struct weir_side6 *to6;

	if (message->tuple.family == WEIR_IPV6) {
		to6 = flow_side6(hit->record, other_side(hit->from));
		if (!to6 || (void *)(ip6 + 1) > data_end)
			return 0;
		ip6->source = to6->source;
		ip6->destination = to6->destination;
		return delta;
	}
	if ((void *)(ip + 1) > data_end)
		return 0;
	to4 = flow_side4(hit->flow, other_side(hit->from));
	ip->saddr = to4->source;
	ip->daddr = to4->destination;
	return delta + word_replace(&ip->check, checksum_apply(ip->check, delta));
}

/* Writes the quoted packet as its sender sent it. Returns what that changes in a sum over it. */
static __always_inline __u32 quote_rewrite(void *data, void *data_end,
					   const struct icmp_message *message,
					   const struct flow_hit *hit)
{
	const struct weir_ports *from = flow_ports(hit->flow, hit->from);
	const struct weir_ports *to = flow_ports(hit->flow, other_side(hit->from));
	__u16 addresses = flow_delta(hit->flow, hit->from);
	__u16 ports_delta = checksum_port_delta(from, to);
	__be16 *ports = data + (message->quoted_l4 & QUOTE_OFFSET_MASK);
	__u32 change = ports_delta;

	if ((void *)(ports + 2) > data_end)
		return 0;
	ports[0] = to->source;
	ports[1] = to->destination;
	change += quote_addresses(data, data_end, message, hit, addresses);
	return change +
	       quote_l4_checksum(data, data_end, message, checksum_add(addresses, ports_delta));
}

/*
 * The error's own header. Its source stays the router's that made it; if the peer itself made it, it
 * becomes what the other side knows the peer by. Returns 0: there is no header.
 */
static __always_inline int error_header4(void *data, void *data_end, const struct packet *packet,
					 const struct flow_hit *hit)
{
	const struct weir_side4 *from = flow_side4(hit->flow, hit->from);
	const struct weir_side4 *to = flow_side4(hit->flow, other_side(hit->from));
	struct iphdr *ip = packet_l3(data, packet);
	__be32 source, destination = to->source;

	if ((void *)(ip + 1) > data_end)
		return 0;
	source = ip->saddr == from->source ? to->destination : ip->saddr;
	ip->check = checksum_apply(ip->check,
				   checksum_fold((__u64)(__u32)~ip->saddr + (__u32)~ip->daddr +
						 source + destination + checksum_ttl_delta()));
	ip->saddr = source;
	ip->daddr = destination;
	ip->ttl--;
	return 1;
}

/* The same; @delta: what it changes in the checksum of ICMPv6, which has a pseudo header. */
static __always_inline int error_header6(void *data, void *data_end, const struct packet *packet,
					 const struct flow_hit *hit, __u16 *delta)
{
	const struct weir_side6 *from = flow_side6(hit->record, hit->from);
	const struct weir_side6 *to = flow_side6(hit->record, other_side(hit->from));
	struct ip6_header *ip = packet_l3(data, packet);
	__u64 change;

	if (!from || !to || (void *)(ip + 1) > data_end)
		return 0;
	change = checksum_replace_address(&packet->tuple.destination, &to->source);
	if (address_is_same(&packet->tuple.source, &from->source)) {
		change += checksum_replace_address(&packet->tuple.source, &to->destination);
		ip->source = to->destination;
	}
	ip->destination = to->source;
	ip->hop_limit--;
	*delta = checksum_fold(change);
	return 1;
}

/* Sends the error on to the other side of the flow @hit. Not inlined: its stack is its own. */
static __noinline enum weir_reason icmp_forward(struct xdp_md *ctx, struct packet *packet,
						const struct flow_hit *hit,
						const struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct icmp_error *icmp = data + (message->icmp & L4_OFFSET_MASK);
	enum weir_reason reason;
	__u16 delta = 0;
	__u32 change;

	if ((void *)(icmp + 1) > data_end)
		return WEIR_REASON_NOT_TCP_UDP;
	reason = nat_hop(data, data_end, hit, packet);
	if (reason != WEIR_GO_ON)
		return reason;
	change = quote_rewrite(data, data_end, message, hit);
	if (packet->tuple.family == WEIR_IPV6 ?
		    !error_header6(data, data_end, packet, hit, &delta) :
		    !error_header4(data, data_end, packet, hit))
		return WEIR_REASON_NOT_TCP_UDP;
	icmp->checksum = checksum_apply(icmp->checksum, checksum_fold((__u64)change + delta));
	return flow_unchanged(hit) ? WEIR_REASON_ICMP_ERROR : WEIR_REASON_RACED;
}

/* An ICMP error. It changes nothing of the flow: anybody could have sent it. */
static __always_inline enum weir_reason icmp_error(struct xdp_md *ctx, struct packet *packet,
						   struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct flow_hit hit = {};
	union weir_index entry;
	__u32 service_id;

	/* Sent to who sent the quoted packet, or it is no answer to that. */
	if (!icmp_parse_quote(data, data_end, packet, message) ||
	    !address_is_same(&message->tuple.destination, &packet->tuple.destination))
		return WEIR_REASON_NOT_TCP_UDP;
	entry.word = index_find(&message->tuple);
	if (entry.word && index_follow(entry, &message->tuple, &hit) &&
	    state_is_live(hit.control.state)) {
		packet->backend_id = hit.flow->backend_id;
		/* Never an ICMP error about an ICMP error. */
		if (packet->ttl <= 1)
			return WEIR_REASON_TTL_EXCEEDED_SILENT;
		return icmp_forward(ctx, packet, &hit, message);
	}
	service_id = service_of(&message->tuple);
	if (!service_is_direct(service_id))
		return WEIR_REASON_NOT_TCP_UDP;
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED_SILENT;
	packet->tuple = message->tuple;
	packet->tcp_flags = TCP_FLAG_ACK_BIT;
	return direct_forward_error(ctx, packet, service_id);
}

/* A ping. @message: where it lies. */
static __always_inline enum weir_reason echo(struct xdp_md *ctx, const struct packet *packet,
					     const struct icmp_message *message)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct icmp_error *icmp = data + (message->icmp & L4_OFFSET_MASK);
	struct ip6_header *ip6 = packet_l3(data, packet);
	int v6 = packet->tuple.family == WEIR_IPV6;
	struct iphdr *ip = (void *)ip6;
	__be16 request = bpf_htons((v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO_REQUEST) << 8);
	__be16 answer = bpf_htons((v6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY) << 8);
	__u16 checksum;

	if ((void *)(icmp + 1) > data_end || (void *)(ip + 1) > data_end ||
	    !address_echoes(&packet->tuple.destination))
		return WEIR_REASON_NOT_TCP_UDP;
	if (!reply_allowed(packet, 1))
		return WEIR_REASON_ECHO_SILENT;
	if (v6) {
		if ((void *)(ip6 + 1) > data_end)
			return WEIR_REASON_NOT_TCP_UDP;
		ip6->source = packet->tuple.destination;
		ip6->destination = packet->tuple.source;
		ip6->hop_limit = REPLY_TTL;
	} else {
		ip->saddr = packet->tuple.destination.word[3];
		ip->daddr = packet->tuple.source.word[3];
		ip->ttl = REPLY_TTL;
		ip->check = checksum_apply(ip->check,
					   checksum_add((__u16)~bpf_htons(packet->ttl << 8),
							bpf_htons(REPLY_TTL << 8)));
	}
	frame_turn_round(ctx);
	icmp->type = v6 ? ICMP6_ECHO_REPLY : ICMP_ECHO_REPLY;
	checksum = checksum_apply(icmp->checksum, checksum_add((__u16)~request, answer));
	/* As good as 0, and if all else is 0 (never in IPv6) the only right one. */
	icmp->checksum = checksum || v6 ? checksum : 0xffff;
	return WEIR_REASON_ECHO;
}

/* What is neither TCP nor UDP. Not inlined: rare, and its stack is its own. */
__noinline int icmp_handle(struct xdp_md *ctx, struct packet *packet)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct icmp_message message = {};

	if (!packet)
		return WEIR_REASON_NOT_TCP_UDP;
	packet->frame_length = bpf_xdp_get_buff_len(ctx);
	if (!icmp_parse(data, data_end, packet, &message))
		return WEIR_REASON_NOT_TCP_UDP;
	if (icmp_is_echo(packet, &message))
		return echo(ctx, packet, &message);
	if (icmp_is_error(packet, message.type))
		return icmp_error(ctx, packet, &message);
	return WEIR_REASON_NOT_TCP_UDP;
}
