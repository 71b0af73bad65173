// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/decap.h"
#include "address.h"
#include "checksum.h"

/*
 * For a backend in mode ipip: takes the outer header off the packets that weir sent to it, IPv4 or IPv6 with
 * either in it, and leaves all else to the kernel as it came.
 */

#define IP_FRAGMENT_MASK 0x3fff
#define ETHERNET_GROUP 0x01
#define TAGS_MOST 2

/* Explicit congestion notification, the low bits of the TOS or traffic class (RFC 3168). */
#define ECN_MASK 3
enum { ECN_INCAPABLE, ECN_CAPABLE_1, ECN_CAPABLE_0, ECN_CONGESTED };

/* Outer destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_DECAP_ADDRESSES);
	__type(key, struct weir_address);
	__type(value, __u32);
} addresses SEC(".maps");

/* 802.1Q, behind the type that announces it. */
struct tag {
	__be16 control;
	__be16 protocol; /* of what follows */
};

/* What stands before the outer header. */
struct link {
	struct ethhdr ethernet;
	struct tag tags[TAGS_MOST];
	__u32 tag_count;
};

struct outer {
	struct weir_address destination;
	__u32 size;    /* of its header */
	__u32 payload; /* bytes behind that */
	__u8 protocol;
	__u8 ecn;
};

static __always_inline int is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/* The outer header, or NULL: not even that begins in the frame. */
static __always_inline void *read_link(void *data, void *data_end, struct link *link,
				       __be16 *protocol)
{
	struct ethhdr *ethernet = data;
	struct tag *tag = (void *)(ethernet + 1);

	if ((void *)tag > data_end || ethernet->h_dest[0] & ETHERNET_GROUP)
		return NULL;
	link->ethernet = *ethernet;
	*protocol = ethernet->h_proto;
	link->tag_count = 0;
#pragma unroll
	for (int i = 0; i < TAGS_MOST; i++) {
		if (!is_tag(*protocol))
			break;
		if ((void *)(tag + 1) > data_end)
			return NULL;
		link->tags[i] = *tag;
		*protocol = tag->protocol;
		link->tag_count = i + 1;
		tag++;
	}
	return tag;
}

/* Options, fragments: the kernel's business. */
static __always_inline int read_outer_v4(const struct iphdr *ip, void *data_end,
					 struct outer *outer)
{
	__u32 length;

	if ((void *)(ip + 1) > data_end)
		return 0;
	length = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || ip->ihl * 4 != sizeof(*ip) || length < sizeof(*ip) ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return 0;
	outer->destination = address_from_v4(ip->daddr);
	outer->size = sizeof(*ip);
	outer->payload = length - sizeof(*ip);
	outer->protocol = ip->protocol;
	outer->ecn = ip->tos & ECN_MASK;
	return 1;
}

/* As its second byte has it: the traffic class lies across two. */
static __always_inline __u8 ecn_of_v6(const struct ipv6hdr *ip)
{
	return ((const __u8 *)ip)[1] >> 4 & ECN_MASK;
}

/* The same with extension headers, whose protocol is not one of ours. */
static __always_inline int read_outer_v6(const struct ipv6hdr *ip, void *data_end,
					 struct outer *outer)
{
	if ((void *)(ip + 1) > data_end || ip->version != 6)
		return 0;
	__builtin_memcpy(&outer->destination, &ip->daddr, sizeof(outer->destination));
	outer->size = sizeof(*ip);
	outer->payload = bpf_ntohs(ip->payload_len);
	outer->protocol = ip->nexthdr;
	outer->ecn = ecn_of_v6(ip);
	return 1;
}

/* 0: not one, or none of a tunnel. */
static __always_inline int read_outer(const void *header, void *data_end, __be16 protocol,
				      struct outer *outer)
{
	int read = 0;

	if (protocol == bpf_htons(ETH_P_IP))
		read = read_outer_v4(header, data_end, outer);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		read = read_outer_v6(header, data_end, outer);
	return read && (outer->protocol == IPPROTO_IPIP || outer->protocol == IPPROTO_IPV6);
}

static __always_inline int is_whole_v4(const struct iphdr *inner, __u32 payload)
{
	__u32 length = bpf_ntohs(inner->tot_len);

	return inner->version == 4 && inner->ihl * 4 >= (int)sizeof(*inner) &&
	       length >= inner->ihl * 4U && length <= payload;
}

static __always_inline int is_whole_v6(const struct ipv6hdr *inner, __u32 payload)
{
	return inner->version == 6 && sizeof(*inner) + bpf_ntohs(inner->payload_len) <= payload;
}

/*
 * Congestion that the outer packet met on its way is the inner one's (RFC 6040 4.2). Returns what the
 * inner one has from now on, or negative: drop it.
 */
static __always_inline int congestion_combine(__u8 outer, __u8 inner)
{
	if (outer == ECN_CONGESTED)
		return inner == ECN_INCAPABLE ? -1 : ECN_CONGESTED;
	if (outer == ECN_CAPABLE_1 && inner == ECN_CAPABLE_0)
		return ECN_CAPABLE_1;
	return inner;
}

static __always_inline int congestion_take_over_v4(const struct outer *outer, struct iphdr *inner)
{
	__u8 before = inner->tos;
	int ecn = congestion_combine(outer->ecn, before & ECN_MASK);

	if (ecn < 0)
		return 0;
	inner->tos = (before & ~ECN_MASK) | ecn;
	inner->check = checksum_apply(
		inner->check, checksum_add((__u16)~bpf_htons(before), bpf_htons(inner->tos)));
	return 1;
}

static __always_inline int congestion_take_over_v6(const struct outer *outer, struct ipv6hdr *inner)
{
	__u8 *byte = (__u8 *)inner + 1;
	int ecn = congestion_combine(outer->ecn, ecn_of_v6(inner));

	if (ecn < 0)
		return 0;
	*byte = (*byte & ~(ECN_MASK << 4)) | ecn << 4;
	return 1;
}

/* Looks at the inner packet and prepares it. XDP_TX: the outer header is to be taken off. */
static __always_inline int prepare(const struct outer *outer, void *inner, void *data_end)
{
	struct ipv6hdr *v6 = inner;
	struct iphdr *v4 = inner;

	if (outer->protocol == IPPROTO_IPIP) {
		if ((void *)(v4 + 1) > data_end || !is_whole_v4(v4, outer->payload))
			return XDP_PASS;
		return congestion_take_over_v4(outer, v4) ? XDP_TX : XDP_DROP;
	}
	if ((void *)(v6 + 1) > data_end || !is_whole_v6(v6, outer->payload))
		return XDP_PASS;
	return congestion_take_over_v6(outer, v6) ? XDP_TX : XDP_DROP;
}

/* The last type is that of the inner packet. */
static __always_inline void set_protocol(struct link *link, __be16 protocol)
{
	if (link->tag_count == 0)
		link->ethernet.h_proto = protocol;
	else if (link->tag_count == 1)
		link->tags[0].protocol = protocol;
	else
		link->tags[1].protocol = protocol;
}

static __always_inline int take_off(struct xdp_md *ctx, const struct outer *outer,
				    const struct link *link)
{
	struct ethhdr *ethernet;
	struct tag *tag;
	void *data_end;

	if (bpf_xdp_adjust_head(ctx, outer->size))
		return XDP_DROP;
	ethernet = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	tag = (void *)(ethernet + 1);
	if ((void *)tag > data_end)
		return XDP_DROP;
	*ethernet = link->ethernet;
#pragma unroll
	for (int i = 0; i < TAGS_MOST; i++) {
		if (i == (int)link->tag_count)
			break;
		if ((void *)(tag + 1) > data_end)
			return XDP_DROP;
		*tag++ = link->tags[i];
	}
	return XDP_PASS;
}

SEC("xdp.frags")
int weir_decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct outer outer = {};
	struct link link = {};
	__be16 protocol = 0;
	void *header;
	int verdict;

	header = read_link(data, data_end, &link, &protocol);
	if (!header)
		return XDP_PASS;
	if (!read_outer(header, data_end, protocol, &outer))
		return XDP_PASS;
	if ((__u64)(header - data) + outer.size + outer.payload > bpf_xdp_get_buff_len(ctx) ||
	    !bpf_map_lookup_elem(&addresses, &outer.destination))
		return XDP_PASS;
	/* The verifier has forgotten what sizes there are. */
	verdict = prepare(&outer, header + (outer.size & 0x3f), data_end);
	if (verdict != XDP_TX)
		return verdict;
	set_protocol(&link, bpf_htons(outer.protocol == IPPROTO_IPIP ? ETH_P_IP : ETH_P_IPV6));
	return take_off(ctx, &outer, &link);
}

char LICENSE[] SEC("license") = "GPL";
