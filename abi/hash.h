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

/* Of all of an address. */
static inline __u64 weir_hash_words(const struct weir_address *address)
{
	__u64 high = (__u64)address->word[0] << 32 | address->word[1];
	__u64 low = (__u64)address->word[2] << 32 | address->word[3];

	return weir_hash_mix(weir_hash_mix(high) ^ low);
}

static inline __u32 weir_hash_tuple(const struct weir_tuple *tuple)
{
	__u64 addresses = (__u64)tuple->source.word[3] << 32 | (__u64)tuple->destination.word[3];
	__u64 rest = (__u64)tuple->source_port << 32 | (__u64)tuple->destination_port << 16 |
		     tuple->protocol;

	if (tuple->family == WEIR_IPV6)
		addresses = weir_hash_words(&tuple->source) +
			    weir_hash_mix(weir_hash_words(&tuple->destination));
	return weir_hash_mix(weir_hash_mix(addresses) ^ rest) >> 32;
}

/* By the client alone. */
static inline __u32 weir_hash_source(const struct weir_tuple *tuple)
{
	if (tuple->family == WEIR_IPV6)
		return weir_hash_words(&tuple->source) >> 32;
	return weir_hash_mix(tuple->source.word[3]) >> 32;
}

/*
 * The hash of index and sessions. The sum is multilinear, by pairs (Lemire and Kaser, "Strongly universal string
 * hashing is fast"): with a secret random @key, no choice of tuples makes more of them meet than
 * chance would. The last two steps part what such a sum leaves in rows: ports one after the other.
 */
static inline __u64 weir_keyed_hash(const volatile __u64 key[WEIR_INDEX_KEYS],
				    const struct weir_tuple *tuple)
{
	__u32 ports = (__u32)tuple->source_port << 16 | tuple->destination_port;
	__u64 sum = (key[0] + tuple->source.word[3]) * (key[1] + ports) +
		    (key[2] + tuple->destination.word[3]) * (key[3] + tuple->protocol);

	if (tuple->family == WEIR_IPV6)
		sum += (key[4] + tuple->source.word[0]) * (key[5] + tuple->source.word[1]) +
		       (key[6] + tuple->source.word[2]) * (key[7] + tuple->destination.word[0]) +
		       (key[8] + tuple->destination.word[1]) *
			       (key[9] + tuple->destination.word[2]);
	sum ^= sum >> 32;
	return sum * 0xff51afd7ed558ccdULL;
}

/* What the index goes by: the half that depends on all bits of the sum. */
static inline __u32 weir_index_hash(const volatile __u64 key[WEIR_INDEX_KEYS],
				    const struct weir_tuple *tuple)
{
	return weir_keyed_hash(key, tuple) >> 32;
}

/* Home place of a listener is this hash & (length - 1). */
static inline __u32 weir_listener_hash(const struct weir_listener_key *key)
{
	__u64 rest = (__u64)key->port << 8 | key->protocol;

	return weir_hash_mix(weir_hash_words(&key->address) ^ rest) >> 32;
}

/* Maps a hash onto [0, length) without a division, evenly (Lemire, 2016). */
static inline __u32 weir_hash_scale(__u32 hash, __u32 length)
{
	return (__u64)hash * length >> 32;
}
