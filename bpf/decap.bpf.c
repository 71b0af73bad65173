// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/decap.h"
#include "checksum.h"

/*
 * For a backend in mode ipip: takes the outer header off the packets that weir sent to it, and leaves all
 * else to the kernel as it came.
 */

#define IP_FRAGMENT_MASK 0x3fff
#define ETHERNET_GROUP 0x01
/* Explicit congestion notification, the low bits of the TOS (RFC 3168). */
#define ECN_MASK 3
#define ECN_CONGESTED 3

/* Outer destinations. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_DECAP_ADDRESSES);
	__type(key, __be32);
	__type(value, __u32);
} addresses SEC(".maps");

static __always_inline int is_whole(const struct iphdr *outer, const struct iphdr *inner)
{
	__u32 outer_length = bpf_ntohs(outer->tot_len), inner_length = bpf_ntohs(inner->tot_len);

	return inner->version == 4 && inner->ihl * 4 >= (int)sizeof(*inner) &&
	       inner_length >= inner->ihl * 4 && outer_length >= inner_length + sizeof(*outer);
}

/* Congestion that the outer packet met on its way is the inner one's (RFC 6040 4.2). 0: drop it. */
static __always_inline int congestion_take_over(const struct iphdr *outer, struct iphdr *inner)
{
	__u8 before = inner->tos;

	if ((outer->tos & ECN_MASK) != ECN_CONGESTED)
		return 1;
	if (!(before & ECN_MASK))
		return 0;
	inner->tos |= ECN_CONGESTED;
	inner->check = checksum_apply(inner->check, bpf_htons(inner->tos - before));
	return 1;
}

SEC("xdp")
int weir_decap(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data, header;
	struct iphdr *outer = (void *)(ethernet + 1);
	struct iphdr *inner = outer + 1;
	__be32 destination;

	if ((void *)(inner + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    ethernet->h_dest[0] & ETHERNET_GROUP)
		return XDP_PASS;
	if (outer->version != 4 || outer->ihl * 4 != sizeof(*outer) ||
	    outer->protocol != IPPROTO_IPIP || outer->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return XDP_PASS;
	destination = outer->daddr;
	if (!bpf_map_lookup_elem(&addresses, &destination) || !is_whole(outer, inner))
		return XDP_PASS;
	if (!congestion_take_over(outer, inner))
		return XDP_DROP;
	header = *ethernet;
	if (bpf_xdp_adjust_head(ctx, sizeof(*outer)))
		return XDP_DROP;
	ethernet = (void *)(long)ctx->data;
	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*ethernet = header;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
