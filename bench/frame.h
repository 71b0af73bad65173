/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* What the wrapper program (wrapper.bpf.c) and the bench share. */

#include <linux/types.h>

#define BENCH_FRAME 64  /* bytes: the smallest Ethernet frame, checksum included */
#define BENCH_FRAME6 84 /* as much payload, behind the longer header of IPv6 */

/* Where the wrapper writes into a frame: Ethernet, IPv4 without options, TCP or UDP. */
#define BENCH_ADDRESSES_AT 26
#define BENCH_PORTS_AT 34
#define BENCH_SEQUENCE_AT 38
#define BENCH_ACKNOWLEDGEMENT_AT 42

/* The same in IPv6. All addresses are of one /96 whose third word is zero. */
#define BENCH_SOURCE6_AT 22
#define BENCH_DESTINATION6_AT 38
#define BENCH_PORTS6_AT 54
#define BENCH_SEQUENCE6_AT 58
#define BENCH_ACKNOWLEDGEMENT6_AT 62

/*
 * The part of a frame that differs from flow to flow, in wire order: two stores. In IPv6 these are the
 * last words of the addresses, so that both families' tuples take as much room in the cache.
 */
struct bench_tuple {
	union {
		__u64 addresses;
		struct {
			__be32 source;
			__be32 destination;
		};
	};
	union {
		__u32 ports;
		struct {
			__be16 source_port;
			__be16 destination_port;
		};
	};
	__u32 zero;
};

/* The programs under test: each has a place of its own, because filling one takes milliseconds. */
enum bench_target {
	BENCH_NOTHING, /* the wrapper alone; subtracted from all others */
	BENCH_PASS,
	BENCH_BARE,
	BENCH_LINE,
	BENCH_PRIMITIVE,
	BENCH_WEIR,
	BENCH_TARGETS,
};

/* How the target changes the length of the frame: at its end, or by an outer header. */
enum bench_resized {
	BENCH_NOT_RESIZED,
	BENCH_RESIZED_TAIL,
	BENCH_RESIZED_HEAD,
};

/*
 * What the next frame is made of. The wrapper moves @position through the tuples [first, first +
 * count) and adds @sequence_step each time when every one of them had its turn.
 */
struct bench_state {
	__u8 frame[BENCH_FRAME6];
	__u32 length; /* of the frame: BENCH_FRAME, or BENCH_FRAME6 for IPv6 */
	__u32 first;
	__u32 count;
	__u32 position;
	__u32 sequence; /* host order */
	__u32 sequence_step;
	__u32 sequenced;    /* 1: write the sequence number */
	__u32 target;       /* enum bench_target */
	__u32 resized;      /* enum bench_resized */
	__u32 fresh_tuples; /* 1: make a new tuple for each frame, none twice */
	__u32 zero;
	__u64 fresh;                    /* how many were made ever */
	struct bench_tuple fresh_tuple; /* the service address and port of them all */
};

_Static_assert(sizeof(struct bench_tuple) == 16, "four tuples in a cache line");
