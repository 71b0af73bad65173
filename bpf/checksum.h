/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * The internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). All values are
 * in wire order: the sum does not care, as long as everything is. Plain memory only.
 */

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "abi/flow.h"

/* Folds a sum of 16- or 32-bit words to 16 bits, end-around carry. */
static inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/*
 * What to add when an address is replaced by another one; to be folded. What the words of IPv4 have in
 * common in both gives nothing.
 */
static inline __u64 checksum_replace_address(const struct weir_address *from,
					     const struct weir_address *to)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < 4; i++)
		sum += (__u64)(__u32)~from->word[i] + to->word[i];
	return sum;
}

/* What to add when the addresses of @from are replaced by those of an answer to @to. */
static inline __u16 checksum_address_delta(const struct weir_tuple *from,
					   const struct weir_tuple *to)
{
	return checksum_fold(checksum_replace_address(&from->source, &to->destination) +
			     checksum_replace_address(&from->destination, &to->source));
}

/* The same for the ports. */
static inline __u16 checksum_port_delta(const struct weir_ports *from, const struct weir_ports *to)
{
	return checksum_fold((__u64)(__u16)~from->source + (__u16)~from->destination +
			     to->destination + to->source);
}

/* The delta of the way back. */
static inline __u16 checksum_negate(__u16 delta)
{
	return ~delta;
}

static inline __u16 checksum_add(__u16 a, __u16 b)
{
	return checksum_fold((__u64)a + b);
}

/* The new checksum field after a change by @delta. */
static inline __u16 checksum_apply(__u16 checksum, __u16 delta)
{
	return ~checksum_fold((__u64)(__u16)~checksum + delta);
}

/* UDP (RFC 768): 0 means "no checksum" and stays; a computed 0 is sent as 0xffff. */
static inline __u16 checksum_apply_udp(__u16 checksum, __u16 delta)
{
	__u16 updated;

	if (!checksum)
		return 0;
	updated = checksum_apply(checksum, delta);
	return updated ? updated : 0xffff;
}

/* The delta of a TTL that goes down by one: TTL is the high byte of its 16-bit word. */
static inline __u16 checksum_ttl_delta(void)
{
	return ~bpf_htons(0x0100);
}
