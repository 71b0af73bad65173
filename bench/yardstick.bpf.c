// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/flow.h"
#include "abi/hash.h"
#include "bench/yardstick_key.h"

/*
 * What no load balancer can do without, written as fast as it can be written: the parse of an IPv4/TCP
 * packet, and one lookup of its 16-byte tuple.
 */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct yardstick_key);
	__type(value, __u64);
} yardstick_flows SEC(".maps");

/* As a table of records would be, one cache line each. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(
		value, struct { __u64 words[8]; });
} yardstick_lines SEC(".maps");

__u32 yardstick_line_count;
volatile __u64 yardstick_zero; /* all that was ever read */

static __always_inline int parse(struct xdp_md *ctx, struct yardstick_key *tuple)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > data_end || ethernet->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return 0;
	*tuple = (struct yardstick_key){
		.source = ip->saddr,
		.destination = ip->daddr,
		.source_port = tcp->source,
		.destination_port = tcp->dest,
		.protocol = IPPROTO_TCP,
	};
	return 1;
}

SEC("xdp.frags")
int yardstick_bare(struct xdp_md *ctx)
{
	struct yardstick_key tuple;

	if (!parse(ctx, &tuple) || !bpf_map_lookup_elem(&yardstick_flows, &tuple))
		return XDP_DROP;
	return XDP_TX;
}

/*
 * Parses and reads the line of this flow, wherever in the table it may be. Which one depends on what the packet before
 * has read, so that the processor cannot begin before that one is done: what it costs to wait for memory.
 */
SEC("xdp.frags")
int yardstick_line(struct xdp_md *ctx)
{
	struct yardstick_key tuple;
	volatile __u64 *line;
	__u32 place;

	if (!parse(ctx, &tuple))
		return XDP_DROP;
	place = weir_hash_scale(weir_hash_mix((__u64)tuple.source << 16 | tuple.source_port) +
					yardstick_zero,
				yardstick_line_count);
	line = bpf_map_lookup_elem(&yardstick_lines, &place);
	if (!line)
		return XDP_DROP;
	yardstick_zero = *line;
	return XDP_TX;
}

SEC("xdp.frags")
int yardstick_pass(struct xdp_md *ctx)
{
	struct yardstick_key tuple;

	if (!parse(ctx, &tuple))
		return XDP_DROP;
	/* Else the compiler would leave out the reads that a parser is for. */
	asm volatile("" : : "m"(tuple));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
