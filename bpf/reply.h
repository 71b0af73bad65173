/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Packets that weir itself answers with: TCP RST, ICMP port unreachable, fragmentation needed and time
 * exceeded. Rate limited, never about a RST, never to a source that is not one host's unicast address, and sent back
 * to the MAC address that the packet came from.
 */

#include "checksum.h"
#include "maps.h"
#include "packet.h"

/* RFC 792; <linux/icmp.h> drags in libc's sockets, which are not for this target. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 mtu; /* fragmentation needed alone (RFC 1191) */
};

enum {
	ICMP_UNREACHABLE = 3,
	ICMP_TIME_EXCEEDED = 11,
};

/* RFC 4443 */
enum {
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
};

#define ICMP_PORT_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMP_TTL_IN_TRANSIT 0
#define ICMP6_PORT_UNREACHABLE 4

#define REPLY_TTL 64
/* What an ICMP error quotes beyond the IP header (RFC 792). */
#define ICMP_QUOTE 8
#define ICMP6_QUOTE_MOST (IP6_MTU_LEAST - sizeof(struct ip6_header) - sizeof(struct icmp_error))
/* An IPv6 error ends before this: a bound for the verifier. */
#define QUOTE_SUM_MASK 0x7ff

/* Each reason that is answered has a silent twin, in the same order. */
static __always_inline enum weir_reason silent_twin(enum weir_reason cause)
{
	return cause - WEIR_REASON_NO_FLOW + WEIR_REASON_NO_FLOW_SILENT;
}

_Static_assert(WEIR_REASON_TOO_BIG - WEIR_REASON_NO_FLOW ==
		       WEIR_REASON_TOO_BIG_SILENT - WEIR_REASON_NO_FLOW_SILENT,
	       "answered reasons and their silent twins stand in the same order");

static __always_inline int reason_is_answered(enum weir_reason reason)
{
	return reason >= WEIR_REASON_NO_FLOW && reason <= WEIR_REASON_TOO_BIG;
}

/*
 * Takes a token. A bucket holds what one second brings. It counts in parts of a token, so that a rate
 * that is no multiple of the clock's loses nothing.
 */
static __always_inline int bucket_take(struct weir_bucket *bucket, __u32 rate, __u32 hz)
{
	__u32 now = bpf_jiffies64();
	__u64 elapsed = now - bucket->stamp;
	__u64 full = (__u64)rate * hz;
	__u64 credit;

	if (elapsed > hz)
		elapsed = hz;
	credit = bucket->credit + elapsed * rate;
	if (credit > full)
		credit = full;
	bucket->stamp = now;
	bucket->credit = credit;
	if (!hz || credit < hz)
		return 0;
	bucket->credit = credit - hz;
	return 1;
}

/* Not 0/8, 127/8, multicast, reserved, broadcast (RFC 1122 3.2.1.3); not ::, ::1, multicast, IPv4 (RFC 4291 2.5). */
static __always_inline int source_is_host(const struct packet *packet)
{
	const struct weir_address *address = &packet->tuple.source;
	__u32 source = bpf_ntohl(address->word[3]);

	if (packet->tuple.family == WEIR_IPV6)
		return bpf_ntohl(address->word[0]) >> 24 != 0xff && !address_is_v4(address) &&
		       (address->word[0] | address->word[1] | address->word[2] || source > 1);
	return source >> 24 != 0 && source >> 24 != 127 && source >> 28 < 14;
}

/* Could a host send this? */
static __always_inline int source_is_possible(const struct packet *packet)
{
	return source_is_host(packet) &&
	       !address_is_same(&packet->tuple.source, &packet->tuple.destination);
}

static __always_inline int reply_allowed(const struct packet *packet, int icmp)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_buckets *buckets_ = WEIR_ONLY(buckets);

	if (!source_is_host(packet) || !runtime_ || !buckets_)
		return 0;
	if (icmp)
		return bucket_take(&buckets_->icmp, runtime_->icmp_rate, runtime_->hz);
	return bucket_take(&buckets_->reset, runtime_->reset_rate, runtime_->hz);
}

/* Back to where the frame came from. */
static __always_inline void frame_turn_round(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	__u8 mac[ETH_ALEN];

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return;
	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
}

/* Length of an IP header without options. */
static __always_inline __u32 ip_header_length(enum weir_family family)
{
	return family == WEIR_IPV6 ? sizeof(struct ip6_header) : sizeof(struct iphdr);
}

static __always_inline void ip4_checksum(struct iphdr *ip)
{
	__u16 *words = (void *)ip;
	__u64 sum = 0;
	int i;

	ip->check = 0;
	for (i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	ip->check = ~checksum_fold(sum);
}

/*
 * An IP header without options, from the packet's destination to its source, with @length bytes behind
 * it. Returns those bytes, or NULL: there is no room.
 */
static __always_inline void *ip_fill(struct xdp_md *ctx, const struct packet *packet, __u8 protocol,
				     __u16 length)
{
	struct ip6_header *ip6 = packet_l3((void *)(long)ctx->data, packet);
	void *data_end = (void *)(long)ctx->data_end;
	struct iphdr *ip = (void *)ip6;

	if (packet->tuple.family == WEIR_IPV6) {
		if ((void *)(ip6 + 1) > data_end)
			return NULL;
		*ip6 = (struct ip6_header){
			.version = 6 << 4,
			.payload_length = bpf_htons(length),
			.next = protocol == IPPROTO_ICMP ? IP6_ICMP : protocol,
			.hop_limit = REPLY_TTL,
			.source = packet->tuple.destination,
			.destination = packet->tuple.source,
		};
		return ip6 + 1;
	}
	if ((void *)(ip + 1) > data_end)
		return NULL;
	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tot_len = bpf_htons(sizeof(*ip) + length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = REPLY_TTL,
		.protocol = protocol,
		.saddr = packet->tuple.destination.word[3],
		.daddr = packet->tuple.source.word[3],
	};
	ip4_checksum(ip);
	return ip + 1;
}

/*
 * Of the pseudo header of an answer (RFC 9293 3.1, RFC 8200 8.1); to be folded. The words that IPv4 has
 * in front give nothing.
 */
static __always_inline __u64 pseudo_sum(const struct packet *packet, __u8 protocol, __u16 length)
{
	__u64 sum = bpf_htons(protocol) + bpf_htons(length);
	int i;

	for (i = 0; i < 4; i++)
		sum += (__u64)packet->tuple.source.word[i] + packet->tuple.destination.word[i];
	return sum;
}

/* Turns the frame into the RST of RFC 9293 3.10.7.1. */
__noinline int reply_reset(struct xdp_md *ctx, const struct packet *packet)
{
	struct tcphdr *tcp;
	void *data_end;
	__u16 *words;
	__u32 frame;
	__u64 sum;
	int i;

	if (!packet)
		return 0;
	frame = packet->l3_offset + ip_header_length(packet->tuple.family) + sizeof(*tcp);
	if (bpf_xdp_adjust_tail(ctx, (int)(frame - bpf_xdp_get_buff_len(ctx))))
		return 0;
	tcp = ip_fill(ctx, packet, IPPROTO_TCP, sizeof(*tcp));
	data_end = (void *)(long)ctx->data_end;
	if (!tcp || (void *)(tcp + 1) > data_end)
		return 0;
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = packet->tuple.destination_port;
	tcp->dest = packet->tuple.source_port;
	tcp->doff = sizeof(*tcp) / 4;
	tcp->rst = 1;
	if (packet->tcp_flags & TCP_FLAG_ACK_BIT) {
		tcp->seq = bpf_htonl(packet->acknowledgement);
	} else {
		tcp->ack = 1;
		tcp->ack_seq = bpf_htonl(packet->sequence_end);
	}
	sum = pseudo_sum(packet, IPPROTO_TCP, sizeof(*tcp));
	words = (void *)tcp;
	for (i = 0; i < (int)sizeof(*tcp) / 2; i++)
		sum += words[i];
	tcp->check = ~checksum_fold(sum);
	frame_turn_round(ctx);
	return 1;
}

/* What an ICMP error says; @mtu for too big alone. */
struct icmp_say {
	__u8 type;
	__u8 code;
	__u32 mtu;
};

static __always_inline void icmp_words(enum weir_reason cause, const struct packet *packet,
				       struct icmp_say *say)
{
	int v6 = packet->tuple.family == WEIR_IPV6;

	say->mtu = 0;
	if (cause == WEIR_REASON_TTL_EXCEEDED) {
		say->type = v6 ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED;
		say->code = ICMP_TTL_IN_TRANSIT;
	} else if (cause == WEIR_REASON_TOO_BIG) {
		say->type = v6 ? ICMP6_TOO_BIG : ICMP_UNREACHABLE;
		say->code = v6 ? 0 : ICMP_FRAGMENTATION_NEEDED;
		say->mtu = packet->mtu;
	} else {
		say->type = v6 ? ICMP6_UNREACHABLE : ICMP_UNREACHABLE;
		say->code = v6 ? ICMP6_PORT_UNREACHABLE : ICMP_PORT_UNREACHABLE;
	}
}

/*
 * How much of the packet an ICMP error about it quotes, in whole words: IPv4: the header and what RFC 792
 * asks for; IPv6: all that keeps the error within 1280 bytes (RFC 4443 2.4).
 */
static __always_inline __u32 icmp_quote(struct xdp_md *ctx, const struct packet *packet)
{
	struct ip6_header *ip6 = packet_l3((void *)(long)ctx->data, packet);
	__u32 length;

	if (packet->tuple.family == WEIR_IPV4)
		return packet->l4_offset - packet->l3_offset + ICMP_QUOTE;
	if ((void *)(ip6 + 1) > (void *)(long)ctx->data_end)
		return 0;
	length = sizeof(*ip6) + bpf_ntohs(ip6->payload_length);
	return (length < ICMP6_QUOTE_MOST ? length : ICMP6_QUOTE_MOST) & ~3;
}

struct quote_sum {
	struct xdp_md *ctx;
	__u64 sum;
	__u32 offset;
};

static long quote_sum_step(__u32 step, struct quote_sum *walk)
{
	/* By the step, not by a count of our own: the verifier would follow that. */
	__u32 offset = walk->offset + step * sizeof(__u32);
	__u32 *at = (void *)(long)walk->ctx->data + (offset & QUOTE_SUM_MASK);
	__u32 word;

	if ((void *)(at + 1) <= (void *)(long)walk->ctx->data_end)
		word = *at;
	else if (bpf_xdp_load_bytes(walk->ctx, offset, &word, sizeof(word)))
		return 1; /* it is not in the first piece of the frame, nor in another one */
	walk->sum += word;
	return 0;
}

/* Puts an ICMP error in front of the packet's IP header and of what it quotes. */
__noinline int reply_icmp(struct xdp_md *ctx, const struct packet *packet, __u32 cause)
{
	__u8 l2[sizeof(struct ethhdr) + VLAN_TAGS_MOST * VLAN_TAG];
	struct quote_sum walk = { .ctx = ctx };
	__u32 l3, quote, grow;
	struct icmp_error *icmp;
	struct icmp_say say;
	int excess;

	if (!packet)
		return 0;
	l3 = packet->l3_offset & L3_OFFSET_MASK;
	quote = icmp_quote(ctx, packet);
	grow = ip_header_length(packet->tuple.family) + sizeof(*icmp);
	walk.offset = l3 + grow;
	excess = (int)(bpf_xdp_get_buff_len(ctx) - l3 - quote);

	/*
	 * More than there may be: what is behind it is written afterwards. The tail of a frame in pieces may
	 * not be moved by nothing.
	 */
	if (!quote || bpf_xdp_load_bytes(ctx, 0, l2, sizeof(l2)) ||
	    bpf_xdp_adjust_head(ctx, -(int)grow) || (excess && bpf_xdp_adjust_tail(ctx, -excess)) ||
	    bpf_xdp_store_bytes(ctx, 0, l2, sizeof(l2)))
		return 0;
	bpf_loop((__u64)quote / sizeof(__u32), quote_sum_step, &walk, 0);
	icmp = ip_fill(ctx, packet, IPPROTO_ICMP, sizeof(*icmp) + quote);
	if (!icmp || (void *)(icmp + 1) > (void *)(long)ctx->data_end)
		return 0;
	icmp_words(cause, packet, &say);
	*icmp = (struct icmp_error){
		.type = say.type,
		.code = say.code,
		.mtu = bpf_htonl(say.mtu),
	};
	walk.sum += (__u64) * (__u16 *)icmp + icmp->mtu;
	if (packet->tuple.family == WEIR_IPV6)
		walk.sum += pseudo_sum(packet, IP6_ICMP, sizeof(*icmp) + quote);
	icmp->checksum = ~checksum_fold(walk.sum);
	frame_turn_round(ctx);
	return 1;
}

/*
 * @packet is too long for the link that it should leave by: whom can that be told? Nobody about ICMP and
 * fragments behind the first, nor an IPv4 host that has not asked for it.
 */
static __always_inline enum weir_reason too_big_told(struct xdp_md *ctx, struct packet *packet)
{
	struct iphdr *ip = packet_l3((void *)(long)ctx->data, packet);

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return WEIR_REASON_MALFORMED_IP;
	if (packet->tuple.family == WEIR_IPV4 && !(ip->frag_off & bpf_htons(IP_DONT_FRAGMENT)))
		return WEIR_REASON_TOO_BIG_NO_DF;
	if (packet->tuple.family == WEIR_IPV6 && packet->mtu < IP6_MTU_LEAST)
		packet->mtu = IP6_MTU_LEAST; /* it believes no less: RFC 8201 4 */
	return packet->has_ports ? WEIR_REASON_TOO_BIG : WEIR_REASON_TOO_BIG_SILENT;
}

/*
 * Answers @packet, which got no further because of @cause. Returns @cause, or its silent twin if
 * nothing is sent.
 */
static __always_inline enum weir_reason reply(struct xdp_md *ctx, struct packet *packet,
					      enum weir_reason cause)
{
	int reset = packet->tuple.protocol == IPPROTO_TCP && cause != WEIR_REASON_TTL_EXCEEDED &&
		    cause != WEIR_REASON_TOO_BIG;
	int sent;

	if (reset && (packet->tcp_flags & TCP_FLAG_RST_BIT))
		return silent_twin(cause);
	if (!reply_allowed(packet, !reset))
		return silent_twin(cause);
	sent = reset ? reply_reset(ctx, packet) : reply_icmp(ctx, packet, cause);
	packet->egress = 0;
	return sent ? cause : silent_twin(cause);
}
