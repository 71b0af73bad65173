// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "bench/primitives.h"

/*
 * What programs are made of, each PRIMITIVE_TIMES times in a row: the difference from a program that does
 * nothing is what one costs. Those whose name says one do it once.
 */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

#define TIMES(statement)                                                                           \
	do {                                                                                       \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
		statement;                                                                         \
	} while (0)

_Static_assert(PRIMITIVE_TIMES == 8, "as often as TIMES() says");

SEC("xdp.frags")
int primitive_nothing(struct xdp_md *ctx)
{
	return XDP_TX;
}

static __noinline int empty(int number)
{
	asm volatile("" : "+r"(number));
	return number;
}

SEC("xdp.frags")
int primitive_call(struct xdp_md *ctx)
{
	int number = 0;

	TIMES(number = empty(number));
	return number ? XDP_DROP : XDP_TX;
}

/* It reads one number. */
SEC("xdp.frags")
int primitive_helper(struct xdp_md *ctx)
{
	TIMES(bpf_get_numa_node_id());
	return XDP_TX;
}

SEC("xdp.frags")
int primitive_tail_call_one(struct xdp_md *ctx)
{
	bpf_tail_call_static(ctx, &jumps, 0);
	return XDP_DROP;
}

SEC("xdp.frags")
int primitive_adjust_head(struct xdp_md *ctx)
{
	int r = 0;

	TIMES(r |= bpf_xdp_adjust_head(ctx, 0));
	return r ? XDP_DROP : XDP_TX;
}

SEC("xdp.frags")
int primitive_time(struct xdp_md *ctx)
{
	TIMES(bpf_ktime_get_ns());
	return XDP_TX;
}

SEC("xdp.frags")
int primitive_jiffies(struct xdp_md *ctx)
{
	TIMES(bpf_jiffies64());
	return XDP_TX;
}

SEC("xdp.frags")
int primitive_count(struct xdp_md *ctx)
{
	volatile __u64 *number;
	__u32 key = 0;

	TIMES(number = bpf_map_lookup_elem(&numbers, &key); if (number)(*number)++);
	return XDP_TX;
}

SEC("xdp.frags")
int primitive_count_atomic(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u64 *number = bpf_map_lookup_elem(&numbers, &key);

	if (number)
		TIMES(__sync_fetch_and_add(number, 1));
	return XDP_TX;
}

/* The size of an IPv4 header. */
SEC("xdp.frags")
int primitive_checksum(struct xdp_md *ctx)
{
	__be32 header[5] = { 1, 2, 3, 4, 5 };
	__s64 sum = 0;

	TIMES(sum = bpf_csum_diff(NULL, 0, header, sizeof(header), sum));
	return sum < 0 ? XDP_DROP : XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
