/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "config.h"
#include "flow.h"

/*
 * Hashes that kernel and user space must compute alike. Every output bit depends on every input bit:
 * low bits of real clients' ports are not random (connect() hands out ports of one parity).
 */

/* The finaliser of MurmurHash3 (public domain), 64 bits. */
static inline __u64 weir_hash_mix(__u64 h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 33;
	return h;
}

static inline __u32 weir_hash_tuple4(const struct weir_tuple4 *tuple)
{
	__u64 addresses = (__u64)tuple->source << 32 | tuple->destination;
	__u64 rest = (__u64)tuple->source_port << 32 | (__u64)tuple->destination_port << 16 |
		     tuple->protocol;

	return weir_hash_mix(weir_hash_mix(addresses) ^ rest) >> 32;
}

/* By the client alone. */
static inline __u32 weir_hash_source4(__be32 source)
{
	return weir_hash_mix(source) >> 32;
}

/*
 * The index's hash. The sum is multilinear, by pairs (Lemire and Kaser, "Strongly universal string
 * hashing is fast"): with a secret random @key, no choice of tuples makes more of them meet than
 * chance would. The last two steps part what such a sum leaves in rows: ports one after the other.
 */
static inline __u32 weir_index_hash(const volatile __u64 key[4], const struct weir_tuple4 *tuple)
{
	__u32 ports = (__u32)tuple->source_port << 16 | tuple->destination_port;
	__u64 sum = (key[0] + tuple->source) * (key[1] + ports) +
		    (key[2] + tuple->destination) * (key[3] + tuple->protocol);

	sum ^= sum >> 32;
	return sum * 0xff51afd7ed558ccdULL >> 32;
}

/* Home place of a listener is this hash & (length - 1). */
static inline __u32 weir_listener_hash(const struct weir_listener_key *key)
{
	__u64 high = (__u64)key->address.word[0] << 32 | key->address.word[1];
	__u64 low = (__u64)key->address.word[2] << 32 | key->address.word[3];
	__u64 rest = (__u64)key->port << 8 | key->protocol;

	return weir_hash_mix(weir_hash_mix(weir_hash_mix(high) ^ low) ^ rest) >> 32;
}

/* Maps a hash onto [0, length) without a division, evenly (Lemire, 2016). */
static inline __u32 weir_hash_scale(__u32 hash, __u32 length)
{
	return (__u64)hash * length >> 32;
}
