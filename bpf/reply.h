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

#define ICMP_PORT_UNREACHABLE 3
#define ICMP_FRAGMENTATION_NEEDED 4
#define ICMP_TTL_IN_TRANSIT 0

#define REPLY_TTL 64
#define IP_DONT_FRAGMENT 0x4000
#define RESET_FRAME (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))
/* What an ICMP error quotes beyond the IP header (RFC 792). */
#define ICMP_QUOTE 8
#define ICMP_QUOTE_MOST (60 + ICMP_QUOTE)

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

/* Not 0/8, 127/8, multicast, reserved, broadcast: RFC 1122 3.2.1.3 */
static __always_inline int source_is_host(const struct packet *packet)
{
	__u32 source = bpf_ntohl(packet->tuple.source);

	return source >> 24 != 0 && source >> 24 != 127 && source >> 28 < 14;
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

static __always_inline void ethernet_turn_round(struct ethhdr *ethernet)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, mac, ETH_ALEN);
}

/* An IP header without options, from the packet's destination to its source. */
static __always_inline void ip_fill(struct iphdr *ip, const struct packet *packet, __u8 protocol,
				    __u16 length)
{
	__u16 *words = (void *)ip;
	__u64 sum = 0;
	int i;

	*ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(*ip) / 4,
		.tot_len = bpf_htons(length),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = REPLY_TTL,
		.protocol = protocol,
		.saddr = packet->tuple.destination,
		.daddr = packet->tuple.source,
	};
	for (i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += words[i];
	ip->check = ~checksum_fold(sum);
}

/* Turns the frame into the RST of RFC 9293 3.10.7.1. */
static __noinline int reply_reset(struct xdp_md *ctx, const struct packet *packet)
{
	int has_ack = packet->tcp_flags & TCP_FLAG_ACK_BIT;
	struct ethhdr *ethernet;
	void *data_end;
	struct tcphdr *tcp;
	struct iphdr *ip;
	__u16 *words;
	__u64 sum;
	int i;

	if (bpf_xdp_adjust_tail(ctx, (int)RESET_FRAME - packet->frame_length))
		return 0;
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	ip = (void *)(ethernet + 1);
	tcp = (void *)(ip + 1);
	if ((void *)(tcp + 1) > data_end)
		return 0;
	ethernet_turn_round(ethernet);
	ip_fill(ip, packet, IPPROTO_TCP, sizeof(*ip) + sizeof(*tcp));
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->source = packet->tuple.destination_port;
	tcp->dest = packet->tuple.source_port;
	tcp->doff = sizeof(*tcp) / 4;
	tcp->rst = 1;
	if (has_ack) {
		tcp->seq = bpf_htonl(packet->acknowledgement);
	} else {
		tcp->ack = 1;
		tcp->ack_seq = bpf_htonl(packet->sequence_end);
	}
	sum = (__u64)ip->saddr + ip->daddr + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp));
	words = (void *)tcp;
	for (i = 0; i < (int)sizeof(*tcp) / 2; i++)
		sum += words[i];
	tcp->check = ~checksum_fold(sum);
	return 1;
}

/* Puts an ICMP error in front of the packet's IP header and the first 8 bytes behind it. */
static __noinline int reply_icmp(struct xdp_md *ctx, const struct packet *packet, __u8 type,
				 __u8 code)
{
	const __u32 grow = sizeof(struct iphdr) + sizeof(struct icmp_error);
	__u32 quote = packet->l4_offset - sizeof(struct ethhdr) + ICMP_QUOTE;
	struct ethhdr *ethernet, *old;
	struct icmp_error *icmp;
	void *data_end;
	struct iphdr *ip;
	__u64 sum = 0;
	__u16 *words;
	__u32 i;

	if (bpf_xdp_adjust_head(ctx, -(int)grow))
		return 0;
	if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(*ethernet) + quote) - packet->frame_length))
		return 0;
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	old = (void *)ethernet + grow;
	ip = (void *)(ethernet + 1);
	icmp = (void *)(ip + 1);
	words = (void *)(icmp + 1);
	if ((void *)(old + 1) > data_end || (void *)words > data_end)
		return 0;
	*ethernet = *old;
	ethernet_turn_round(ethernet);
	ip_fill(ip, packet, IPPROTO_ICMP, grow + quote);
	*icmp = (struct icmp_error){ .type = type, .code = code, .mtu = bpf_htonl(packet->mtu) };
	for (i = 0; i < ICMP_QUOTE_MOST / 2 && (void *)(words + i + 1) <= data_end; i++)
		sum += words[i];
	sum += *(__u16 *)icmp;
	sum += icmp->mtu;
	icmp->checksum = ~checksum_fold(sum);
	return 1;
}

/*
 * Answers @packet, which got no further because of @cause. Returns @cause, or its silent twin if
 * nothing is sent.
 */
static __always_inline enum weir_reason reply(struct xdp_md *ctx, struct packet *packet,
					      enum weir_reason cause)
{
	int expired = cause == WEIR_REASON_TTL_EXCEEDED, too_big = cause == WEIR_REASON_TOO_BIG;
	int reset = packet->tuple.protocol == IPPROTO_TCP && !expired && !too_big;
	int sent;

	if (reset && (packet->tcp_flags & TCP_FLAG_RST_BIT))
		return silent_twin(cause);
	if (!reply_allowed(packet, !reset))
		return silent_twin(cause);
	if (reset)
		sent = reply_reset(ctx, packet);
	else if (expired)
		sent = reply_icmp(ctx, packet, ICMP_TIME_EXCEEDED, ICMP_TTL_IN_TRANSIT);
	else if (too_big)
		sent = reply_icmp(ctx, packet, ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED);
	else
		sent = reply_icmp(ctx, packet, ICMP_UNREACHABLE, ICMP_PORT_UNREACHABLE);
	packet->egress = 0;
	return sent ? cause : silent_twin(cause);
}
