/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * The index: from a packet's tuple to its record. A table of our own, because a BPF hash takes two
 * cache misses to find what takes one here, and misses are what a packet costs (doc/decisions/0006).
 */

#include "abi/hash.h"
#include "maps.h"
#include "packet.h"

#define READ_WORD(word) (*(volatile __u64 *)&(word))
#define READ_HALF(half) (*(volatile __u32 *)&(half))

/* How often an insert tries again when other CPUs put something into the same bucket. */
#define INDEX_TRIES 8

enum index_result { INDEX_DONE, INDEX_EXISTS, INDEX_FULL, INDEX_BUSY };

/* A flow as a packet found it. */
struct flow_hit {
	struct weir_flow *flow;
	union weir_flow_control control;
	__u32 record;
	enum weir_direction from;
};

/* The record of an id, whatever its family. */
static __always_inline struct weir_flow *record_at(__u32 record)
{
	/* Hidden, or clang makes one lookup of both, whose map is not known: a call, not inlined by the kernel. */
	if (record & WEIR_RECORD_V6)
		return opaque(array_at(&flows6, record & ~WEIR_RECORD_V6));
	return array_at(&flows4, record);
}

static __always_inline enum weir_family record_family(__u32 record)
{
	return record & WEIR_RECORD_V6 ? WEIR_IPV6 : WEIR_IPV4;
}

static __always_inline const struct weir_side4 *flow_side4(const struct weir_flow *flow,
							   enum weir_direction from)
{
	const struct weir_flow4 *flow4 = (const void *)flow;

	return from == WEIR_FROM_CLIENT ? &flow4->client : &flow4->backend;
}

/* By its id: a pointer to any record is not enough for the verifier, those of IPv4 are shorter. */
static __always_inline const struct weir_side6 *flow_side6(__u32 record, enum weir_direction from)
{
	const struct weir_flow6 *flow6 = array_at(&flows6, record & ~WEIR_RECORD_V6);

	if (!flow6)
		return NULL;
	flow6 = opaque(flow6);
	return from == WEIR_FROM_CLIENT ? &flow6->client : &flow6->backend;
}

static __always_inline const struct weir_ports *flow_ports(const struct weir_flow *flow,
							   enum weir_direction from)
{
	return from == WEIR_FROM_CLIENT ? &flow->client_ports : &flow->backend_ports;
}

/* Are these the addresses of packets that come from this side? */
static __always_inline int side_matches(const struct weir_flow *flow, __u32 record,
					enum weir_direction from, const struct weir_tuple *tuple)
{
	const struct weir_side4 *side4;
	const struct weir_side6 *side6;

	if (record_family(record) != tuple->family)
		return 0;
	if (tuple->family == WEIR_IPV6) {
		side6 = flow_side6(record, from);
		return side6 && address_is_same(&side6->source, &tuple->source) &&
		       address_is_same(&side6->destination, &tuple->destination);
	}
	side4 = flow_side4(flow, from);
	return side4->source == tuple->source.word[3] &&
	       side4->destination == tuple->destination.word[3];
}

static __always_inline int ports_match(const struct weir_ports *ports,
				       const struct weir_tuple *tuple)
{
	return ports->source == tuple->source_port && ports->destination == tuple->destination_port;
}

/* Translates packets. */
static __always_inline int state_is_live(__u8 state)
{
	return state >= WEIR_FLOW_HALF_OPEN && state <= WEIR_FLOW_CLOSING;
}

/* Packets find it: it has both its index entries. */
static __always_inline int state_is_found(__u8 state)
{
	return state >= WEIR_FLOW_HALF_OPEN && state <= WEIR_FLOW_KILLED;
}

static __always_inline __u8 control_protocol(union weir_flow_control control)
{
	return control.flags & WEIR_FLOW_UDP ? IPPROTO_UDP : IPPROTO_TCP;
}

static __always_inline struct weir_index_bucket *index_bucket(__u32 hash)
{
	return array_at(&flow_index, weir_hash_scale(hash, index_buckets));
}

static __always_inline __u16 index_mark(__u32 hash, enum weir_direction direction)
{
	return WEIR_INDEX_USED | (hash & WEIR_INDEX_HASH) | direction;
}

static __always_inline int index_bears(union weir_index entry, __u32 hash)
{
	return (entry.mark & ~WEIR_INDEX_DIRECTION) == index_mark(hash, 0);
}

/*
 * Does @flow, as @control, hold @tuple as @entry says? The record's own tuple decides: an entry has
 * only a few bits of it.
 */
static __always_inline int index_agrees(union weir_index entry, const struct weir_flow *flow,
					union weir_flow_control control,
					const struct weir_tuple *tuple)
{
	enum weir_direction from = entry.mark & WEIR_INDEX_DIRECTION;

	if (control.generation == entry.generation) {
		if (control.state == WEIR_FLOW_FREE || control_protocol(control) != tuple->protocol)
			return 0;
	} else if (control.state != WEIR_FLOW_FREE ||
		   (__u16)(entry.generation - control.generation) != 1) {
		return 0; /* nor is it the record's next use, which is being made */
	}
	return ports_match(flow_ports(flow, from), tuple) &&
	       side_matches(flow, entry.record, from, tuple);
}

/* Fills @hit with the flow that @entry leads to, if it holds @tuple. */
static __always_inline int index_follow(union weir_index entry, const struct weir_tuple *tuple,
					struct flow_hit *hit)
{
	struct weir_flow *flow = record_at(entry.record);

	if (!flow)
		return 0;
	hit->flow = flow;
	hit->record = entry.record;
	hit->from = entry.mark & WEIR_INDEX_DIRECTION;
	hit->control.word = READ_WORD(flow->control.word);
	return index_agrees(entry, flow, hit->control, tuple);
}

/* The first entry that bears @hash, or 0. */
static __always_inline __u64 index_candidate(struct weir_index_bucket *bucket, __u32 hash)
{
	__u32 end = READ_HALF(bucket->end);
	union weir_index entry;
	__u32 i;

	for (i = 0; i < WEIR_INDEX_ENTRIES && i < end; i++) {
		entry.word = READ_WORD(bucket->entries[i].word);
		if (index_bears(entry, hash))
			return entry.word;
	}
	return 0;
}

/*
 * Does the entry @word lead to a flow that holds @tuple? This and the next three are not static, so that the
 * verifier looks at them once, and not at each of their calls or for each entry of a bucket.
 */
__noinline int index_leads(__u64 word, const struct weir_tuple *tuple)
{
	union weir_index entry = { .word = word };
	struct weir_flow *flow = record_at(entry.record);
	union weir_flow_control control;

	if (!flow || !tuple)
		return 0;
	control.word = READ_WORD(flow->control.word);
	return index_agrees(entry, flow, control, tuple);
}

/* The entry of the flow that holds @tuple, or 0; looks at all that bear its hash. */
static __always_inline __u64 index_search(const struct weir_index_bucket *bucket, __u32 hash,
					  const struct weir_tuple *tuple)
{
	union weir_index entry;
	__u32 i;

	for (i = 0; i < WEIR_INDEX_ENTRIES; i++) {
		entry.word = READ_WORD(bucket->entries[i].word);
		if (index_bears(entry, hash) && index_leads(entry.word, tuple))
			return entry.word;
	}
	return 0;
}

/* The same, from the tuple alone. */
__noinline __u64 index_find(const struct weir_tuple *tuple)
{
	struct weir_index_bucket *bucket;
	__u32 hash;

	if (!tuple)
		return 0;
	hash = weir_index_hash(index_key, tuple);
	bucket = index_bucket(hash);
	return bucket ? index_search(bucket, hash, tuple) : 0;
}

/* Finds the flow that @packet, whose tuple has the hash @hash, belongs to, live or killed. */
static __always_inline int flow_find(const struct packet *packet, __u32 hash, struct flow_hit *hit)
{
	struct weir_index_bucket *bucket = index_bucket(hash);
	union weir_index entry;

	if (!bucket)
		return 0;
	entry.word = index_candidate(bucket, hash);
	if (!entry.word)
		return 0;
	if (index_follow(entry, &packet->tuple, hit))
		return state_is_found(hit->control.state);
	/* Rare: another tuple with the same bits, or a flow that is just being removed. */
	entry.word = index_find(&packet->tuple);
	return entry.word && index_follow(entry, &packet->tuple, hit) &&
	       state_is_found(hit->control.state);
}

/* Puts @word into the first empty entry. Only for who made @version odd. */
static __always_inline enum index_result index_put(struct weir_index_bucket *bucket, __u64 word)
{
	enum index_result result = INDEX_FULL;
	__u32 end = 0;
	__u32 i;

	for (i = 0; i < WEIR_INDEX_ENTRIES; i++) {
		if (READ_WORD(bucket->entries[i].word)) {
			end = i + 1;
		} else if (result == INDEX_FULL) {
			*(volatile __u64 *)&bucket->entries[i].word = word;
			result = INDEX_DONE;
			end = i + 1;
		}
	}
	*(volatile __u32 *)&bucket->end = end;
	return result;
}

/* One try of index_insert(), of the entry @word. INDEX_BUSY: another CPU was at the same bucket. */
__noinline int index_try(const struct weir_tuple *tuple, __u32 hash, __u64 word)
{
	struct weir_index_bucket *bucket = index_bucket(hash);
	enum index_result result;
	__u32 version;

	if (!bucket || !tuple)
		return INDEX_FULL;
	/* An atomic read: what follows must not be read before it. */
	version = __sync_fetch_and_add(&bucket->version, 0);
	if (version & 1)
		return INDEX_BUSY;
	if (index_search(bucket, hash, tuple))
		return INDEX_EXISTS;
	if (__sync_val_compare_and_swap(&bucket->version, version, version + 1) != version)
		return INDEX_BUSY;
	result = index_put(bucket, word);
	__sync_lock_test_and_set(&bucket->version, version + 2);
	return result;
}

/*
 * Makes @tuple lead to @record, unless another flow holds it already: who gets INDEX_DONE owns it. The record must be complete. Returns an enum index_result.
 */
__noinline int index_insert(const struct weir_tuple *tuple, __u32 record, __u16 generation,
			    __u8 direction)
{
	union weir_index entry = { .record = record, .generation = generation };
	int result = INDEX_BUSY;
	__u32 hash, i;

	if (!tuple)
		return INDEX_FULL;
	hash = weir_index_hash(index_key, tuple);
	entry.mark = index_mark(hash, direction);
	for (i = 0; i < INDEX_TRIES && result == INDEX_BUSY; i++)
		result = index_try(tuple, hash, entry.word);
	return result;
}

/* Takes the entry of this use of @record out. */
__noinline int index_remove(const struct weir_tuple *tuple, __u32 record, __u16 generation,
			    __u8 direction)
{
	union weir_index entry = { .record = record, .generation = generation };
	struct weir_index_bucket *bucket;
	__u32 hash, i;

	if (!tuple)
		return 0;
	hash = weir_index_hash(index_key, tuple);
	bucket = index_bucket(hash);
	if (!bucket)
		return 0;
	entry.mark = index_mark(hash, direction);
	for (i = 0; i < WEIR_INDEX_ENTRIES; i++) {
		if (READ_WORD(bucket->entries[i].word) != entry.word)
			continue;
		__sync_val_compare_and_swap(&bucket->entries[i].word, entry.word, 0);
		return 1;
	}
	return 0;
}
