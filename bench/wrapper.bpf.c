// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/hash.h"
#include "bench/frame.h"

/*
 * A program that puts a pristine frame into the buffer and hands it to the program under test by a
 * tail call, so that BPF_PROG_TEST_RUN's repeat loop feeds it the packets of many flows instead of its
 * own output. What it costs itself is measured with `bench_nothing` as the target.
 */

struct bench_state state;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct bench_tuple);
} tuples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BENCH_TARGETS);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/*
 * Volatile, so that each store is as wide as written: the fields that programs read as one word are
 * stored as one word, else the processor would stall on their first load.
 */
#define COPY(type, at) (*(volatile type *)(data + (at)) = *(volatile type *)(state.frame + (at)))
#define STORE(type, at, value) (*(volatile type *)(data + (at)) = (value))

static __always_inline int write_frame(struct xdp_md *ctx, const struct bench_tuple *tuple)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;

	if (data + BENCH_FRAME > data_end)
		return 0;
	COPY(__u64, 0);
	COPY(__u32, 8);
	COPY(__u16, 12);
	COPY(__u64, 14);
	COPY(__u32, 22);
	STORE(__u64, BENCH_ADDRESSES_AT, tuple->addresses);
	STORE(__u32, BENCH_PORTS_AT, tuple->ports);
	if (state.sequenced)
		STORE(__u32, BENCH_SEQUENCE_AT, bpf_htonl(state.sequence));
	else
		COPY(__u32, BENCH_SEQUENCE_AT);
	COPY(__u32, BENCH_ACKNOWLEDGEMENT_AT);
	COPY(__u64, 46);
	COPY(__u64, 54);
	COPY(__u16, 62);
	return 1;
}

/* The low half of an IPv6 address that ends in @last, as one word. */
static __always_inline __u64 address6_end(__be32 last)
{
	union {
		__be32 halves[2];
		__u64 word;
	} end = { .halves = { 0, last } };

	return end.word;
}

static __always_inline int write_frame6(struct xdp_md *ctx, const struct bench_tuple *tuple)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;

	if (data + BENCH_FRAME6 > data_end)
		return 0;
	COPY(__u64, 0);
	COPY(__u32, 8);
	COPY(__u16, 12);
	COPY(__u64, 14);
	COPY(__u64, BENCH_SOURCE6_AT);
	STORE(__u64, BENCH_SOURCE6_AT + 8, address6_end(tuple->source));
	COPY(__u64, BENCH_DESTINATION6_AT);
	STORE(__u64, BENCH_DESTINATION6_AT + 8, address6_end(tuple->destination));
	STORE(__u32, BENCH_PORTS6_AT, tuple->ports);
	STORE(__u32, BENCH_SEQUENCE6_AT, bpf_htonl(state.sequence));
	COPY(__u32, BENCH_ACKNOWLEDGEMENT6_AT);
	COPY(__u64, 66);
	COPY(__u64, 74);
	COPY(__u16, 82);
	return 1;
}

static __always_inline const struct bench_tuple *next_tuple(void)
{
	__u32 place = state.first + state.position;

	if (++state.position >= state.count) {
		state.position = 0;
		state.sequence += state.sequence_step;
	}
	return bpf_map_lookup_elem(&tuples, &place);
}

static __always_inline int run_target(struct xdp_md *ctx)
{
	/* Constant places, so that the kernel makes direct jumps of them. */
	switch (state.target) {
	case BENCH_NOTHING:
		bpf_tail_call_static(ctx, &targets, BENCH_NOTHING);
		break;
	case BENCH_PASS:
		bpf_tail_call_static(ctx, &targets, BENCH_PASS);
		break;
	case BENCH_BARE:
		bpf_tail_call_static(ctx, &targets, BENCH_BARE);
		break;
	case BENCH_LINE:
		bpf_tail_call_static(ctx, &targets, BENCH_LINE);
		break;
	case BENCH_PRIMITIVE:
		bpf_tail_call_static(ctx, &targets, BENCH_PRIMITIVE);
		break;
	case BENCH_WEIR:
		bpf_tail_call_static(ctx, &targets, BENCH_WEIR);
		break;
	}
	return XDP_ABORTED;
}

/* A tuple that was never there before: any client of 10.0.0.0/8, any port. */
static __always_inline void make_tuple(struct bench_tuple *tuple)
{
	__u64 random = weir_hash_mix(++state.fresh);

	*tuple = state.fresh_tuple;
	tuple->source = bpf_htonl(10 << 24 | (random & 0xffffff));
	tuple->source_port = random >> 32 | bpf_htons(1024);
}

/*
 * Gives the frame its length and its place again. If resized: always, so that it costs the same whatever
 * the target did to the frame.
 */
static __always_inline long restore_length(struct xdp_md *ctx)
{
	long length = ctx->data_end - ctx->data;
	int grown;

	/* Else the compiler would add state.length to one of the two pointers first. */
	asm volatile("" : "+r"(length));
	grown = (int)length - (int)state.length;
	if (state.resized == BENCH_RESIZED_HEAD)
		return bpf_xdp_adjust_head(ctx, grown);
	if (state.resized == BENCH_RESIZED_TAIL || grown)
		return bpf_xdp_adjust_tail(ctx, -grown);
	return 0;
}

static __always_inline int write_next(struct xdp_md *ctx, const struct bench_tuple *tuple)
{
	return state.length == BENCH_FRAME6 ? write_frame6(ctx, tuple) : write_frame(ctx, tuple);
}

/* One program for all kinds: the kernel takes milliseconds to make another one known to it. */
SEC("xdp.frags")
int bench_wrapper(struct xdp_md *ctx)
{
	const struct bench_tuple *tuple;
	struct bench_tuple fresh;

	if (restore_length(ctx))
		return XDP_ABORTED;
	if (state.fresh_tuples) {
		make_tuple(&fresh);
		return write_next(ctx, &fresh) ? run_target(ctx) : XDP_ABORTED;
	}
	tuple = next_tuple();
	if (!tuple || !write_next(ctx, tuple))
		return XDP_ABORTED;
	return run_target(ctx);
}

SEC("xdp.frags")
int bench_nothing(struct xdp_md *ctx)
{
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
