/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * The IPv6 header and the walk over its extension headers (RFC 8200 4), plain memory alone. The kernel's
 * <linux/ipv6.h> has the addresses in other types.
 */

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "address.h"
#include "opaque.h"

#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

struct ip6_header {
	__u8 version; /* upper half; lower half: traffic class, upper half */
	__u8 flow[3]; /* traffic class, lower half, and flow label */
	__be16 payload_length;
	__u8 next;
	__u8 hop_limit;
	struct weir_address source;
	struct weir_address destination;
};

struct ip6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in units of 8 bytes << 3, and more fragments */
	__be32 id;
};

#define IP6_MTU_LEAST 1280 /* RFC 8200 5 */

#define IP6_FRAGMENT_OFFSET 0xfff8
#define IP6_FRAGMENT_MORE 0x0001

/* IANA protocol numbers: of extension headers, and ICMPv6. */
enum {
	IP6_HOP_BY_HOP = 0,
	IP6_ROUTING = 43,
	IP6_FRAGMENT = 44,
	IP6_ICMP = 58,
	IP6_DESTINATION_OPTIONS = 60,
};

/* More headers than this, or longer ones, are left to the host. */
#define IP6_EXTENSIONS_MOST 6
#define IP6_WALK_END 400
#define IP6_OFFSET_MASK 0x1ff

struct ip6_walk {
	__u32 offset; /* in: of the first header behind the fixed one. out: of the first that is none */
	__u32 end; /* of the IP packet */
	__be32 fragment_id;
	__u16 fragment; /* out: offset of the fragment header, 0: none */
	__u8 next;      /* in, out: which header stands at @offset */
	__u8 more_fragments;
};

enum ip6_walked {
	IP6_WALKED,
	IP6_WALKED_LATER_FRAGMENT, /* what follows belongs behind another fragment */
	IP6_WALKED_MALFORMED,
	IP6_WALKED_TOO_FAR,
};

static __always_inline int ip6_is_extension(__u8 next)
{
	return next == IP6_HOP_BY_HOP || next == IP6_ROUTING || next == IP6_FRAGMENT ||
	       next == IP6_DESTINATION_OPTIONS;
}

/*
 * Goes over the extension headers of the packet in [data, data_end). A routing header that still has hops
 * to visit ends the walk: its destination is not the packet's last. Not inlined: few packets have any.
 */
static __noinline enum ip6_walked ip6_walk(void *data, void *data_end, struct ip6_walk *walk)
{
	int i;

	for (i = 0; i < IP6_EXTENSIONS_MOST && ip6_is_extension(walk->next); i++) {
		struct ip6_fragment *header = data + (walk->offset & IP6_OFFSET_MASK);
		__u32 length = 8;

		if (walk->offset > IP6_WALK_END)
			return IP6_WALKED_TOO_FAR;
		if ((void *)(header + 1) > data_end || walk->offset + sizeof(*header) > walk->end)
			return IP6_WALKED_MALFORMED;
		if (walk->next == IP6_FRAGMENT) {
			walk->fragment = walk->offset;
			walk->fragment_id = header->id;
			walk->more_fragments = !!(header->offset & bpf_htons(IP6_FRAGMENT_MORE));
			if (header->offset & bpf_htons(IP6_FRAGMENT_OFFSET)) {
				walk->next = header->next;
				return IP6_WALKED_LATER_FRAGMENT;
			}
		} else {
			/* `reserved` is where the others have their length. */
			length = (header->reserved + 1) * 8;
			if (walk->next == IP6_ROUTING && ((__u8 *)header)[3])
				return IP6_WALKED_TOO_FAR;
		}
		walk->next = header->next;
		/* A difference of pointers is any number: for the verifier, each header is like the one before. */
		walk->offset = opaque((void *)header + length) - data;
	}
	if (ip6_is_extension(walk->next) || walk->offset > IP6_WALK_END)
		return IP6_WALKED_TOO_FAR;
	return IP6_WALKED;
}
