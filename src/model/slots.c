// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/slots.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "src/base/arithmetic.h"
#include "src/base/cleanup.h"

/* Rounding is good enough below one part in this many of the whole traffic. */
#define SHARE_PRECISION 1000

/* A candidate while its number of slots is worked out. */
struct share {
	size_t candidate; /* index in the caller's array */
	uint64_t weight;
	uint64_t slots;
	uint64_t remainder; /* of weight * free slots / free weight */
};

/* Candidates with equally many slots stand next to each other once the shares are sorted. */
struct group {
	size_t first;
	size_t count;
	uint64_t slots;  /* of each member */
	uint64_t rounds; /* times that every member was picked */
	size_t next;     /* member whose turn comes next */
};

static uint32_t ramp_of(const struct slot_candidate *candidate)
{
	return candidate->ramp ? candidate->ramp : WEIR_RAMP_FULL;
}

static struct weir_slot slot_of(const struct slot_candidate *candidate)
{
	return (struct weir_slot){
		.backend = candidate->backend,
		.weight = (uint16_t)candidate->weight,
		.ramp = (uint16_t)ramp_of(candidate),
	};
}

static int compare_remainders(const void *left, const void *right)
{
	const struct share *a = left, *b = right;

	if (a->remainder != b->remainder)
		return a->remainder > b->remainder ? -1 : 1;
	return a->candidate < b->candidate ? -1 : a->candidate > b->candidate;
}

static int compare_slots(const void *left, const void *right)
{
	const struct share *a = left, *b = right;

	if (a->slots != b->slots)
		return a->slots > b->slots ? -1 : 1;
	return a->candidate < b->candidate ? -1 : a->candidate > b->candidate;
}

/*
 * Spreads @length slots (at least @count) by largest remainder. Whoever would get less than one
 * slot gets one; the others share what is left by their weights, until nobody falls below one any
 * more.
 */
static void spread(struct share *shares, size_t count, uint64_t length)
{
	uint64_t free_slots = length, free_weight = 0, floors = 0;
	bool changed = true;

	for (size_t i = 0; i < count; i++) {
		shares[i].slots = 0;
		shares[i].remainder = 0;
		free_weight += shares[i].weight;
	}
	while (changed) {
		const uint64_t slots = free_slots, weight = free_weight;

		changed = false;
		for (size_t i = 0; i < count; i++) {
			if (shares[i].slots || shares[i].weight * slots >= weight)
				continue;
			shares[i].slots = 1;
			free_slots--;
			free_weight -= shares[i].weight;
			changed = true;
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (shares[i].slots)
			continue;
		shares[i].slots = shares[i].weight * free_slots / free_weight;
		shares[i].remainder = shares[i].weight * free_slots % free_weight;
		floors += shares[i].slots;
	}
	qsort(shares, count, sizeof(*shares), compare_remainders);
	for (size_t i = 0; i < free_slots - floors; i++)
		shares[i].slots++;
}

static bool precise(const struct share *shares, size_t count, uint64_t length, uint64_t total)
{
	for (size_t i = 0; i < count; i++) {
		const uint64_t is = shares[i].slots * total, should = shares[i].weight * length;
		const uint64_t off = is > should ? is - should : should - is;

		if (off * SHARE_PRECISION >= length * total)
			return false;
	}
	return true;
}

/* Works out how many slots each candidate gets; returns their sum. */
static uint64_t share_out(struct share *shares, const struct slot_candidate *candidates,
			  size_t count)
{
	uint64_t divisor = 0, total = 0, length;

	for (size_t i = 0; i < count; i++)
		divisor = greatest_common_divisor(candidates[i].weight, divisor);
	for (size_t i = 0; i < count; i++) {
		shares[i].candidate = i;
		shares[i].weight = candidates[i].weight / divisor;
		shares[i].slots = shares[i].weight;
		total += shares[i].weight;
	}
	for (length = SLOTS_MOST; length < total; length *= 2) {
		if (length < count)
			continue;
		spread(shares, count, length);
		if (precise(shares, count, length, total))
			return length;
	}
	for (size_t i = 0; i < count; i++)
		shares[i].slots = shares[i].weight;
	return total;
}

/*
 * The slots of ramping ones in a table of @length: of each its fair share times its ramp, rounded down,
 * @most in all. Returns how many they are.
 */
static uint64_t share_out_ramping(struct share *shares, size_t count, uint64_t length,
				  uint64_t total_weight, uint64_t most)
{
	uint64_t wanted = 0, used = 0;

	for (size_t i = 0; i < count; i++) {
		shares[i].slots = length * shares[i].weight / (total_weight * WEIR_RAMP_FULL);
		wanted += shares[i].slots;
	}
	for (size_t i = 0; i < count; i++) {
		if (wanted > most)
			shares[i].slots = shares[i].slots * most / wanted;
		used += shares[i].slots;
	}
	return used;
}

/*
 * As share_out(), while some of the candidates ramp up: these get what their ramp says of their fair
 * share, which may be nothing yet; the others share what is left, each a slot at least. If all of them
 * ramp up, they share by weight times ramp.
 */
static uint64_t share_out_ramped(struct share *shares, const struct slot_candidate *candidates,
				 size_t count)
{
	const uint64_t length = slots_bound(count);
	size_t full = 0, ramping = count;
	uint64_t total = 0, used;

	for (size_t i = 0; i < count; i++) {
		bool ramps = ramp_of(&candidates[i]) < WEIR_RAMP_FULL;
		struct share *share = &shares[ramps ? --ramping : full++];

		share->candidate = i;
		share->weight = candidates[i].weight * (ramps ? ramp_of(&candidates[i]) : 1);
		total += candidates[i].weight;
	}
	if (!full) {
		spread(shares, count, length);
		return length;
	}
	used = share_out_ramping(shares + full, count - full, length, total, length - full);
	spread(shares, full, length - used);
	return length;
}

static size_t make_groups(const struct share *shares, size_t count, struct group *groups)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (!i || shares[i].slots != shares[i - 1].slots)
			groups[found++] = (struct group){ .first = i, .slots = shares[i].slots };
		groups[found - 1].count++;
	}
	return found;
}

/*
 * nginx's smooth order. A member's current weight before round t is t * slots - length * picks, so
 * members with equally many slots simply take turns and only the next of each group must be looked
 * at: rounds * different weights steps instead of rounds * candidates. On a tie the first candidate
 * wins, as there.
 */
static void smooth_order(const struct share *shares, struct group *groups, size_t group_count,
			 const struct slot_candidate *candidates, uint64_t length,
			 struct weir_slot *slots)
{
	for (uint64_t round = 0; round < length; round++) {
		int64_t most = INT64_MIN;
		struct group *best = NULL;
		size_t picked = 0;

		for (size_t i = 0; i < group_count; i++) {
			struct group *group = &groups[i];
			const int64_t current = (int64_t)((round + 1) * group->slots) -
						(int64_t)(length * group->rounds);
			const size_t candidate = shares[group->first + group->next].candidate;

			if (current < most || (current == most && candidate > picked))
				continue;
			most = current;
			best = group;
			picked = candidate;
		}
		slots[round] = slot_of(&candidates[picked]);
		if (++best->next == best->count) {
			best->next = 0;
			best->rounds++;
		}
	}
}

static int build_each_once(const struct slot_candidate *candidates, size_t count,
			   struct weir_slot **ret)
{
	struct weir_slot *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		slots[i] = slot_of(&candidates[i]);
	*ret = slots;
	return (int)count;
}

typedef uint64_t (*share_fn)(struct share *shares, const struct slot_candidate *candidates,
			     size_t count);

static int build_weighted(share_fn share, const struct slot_candidate *candidates, size_t count,
			  struct weir_slot **ret)
{
	_cleanup_free_ struct share *shares = calloc(count, sizeof(*shares));
	_cleanup_free_ struct group *groups = calloc(count, sizeof(*groups));
	struct weir_slot *slots;
	uint64_t length;

	if (!shares || !groups)
		return -ENOMEM;
	length = share(shares, candidates, count);
	slots = calloc(length, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	qsort(shares, count, sizeof(*shares), compare_slots);
	smooth_order(shares, groups, make_groups(shares, count, groups), candidates, length, slots);
	*ret = slots;
	return (int)length;
}

static bool any_ramps(const struct slot_candidate *candidates, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ramp_of(&candidates[i]) < WEIR_RAMP_FULL)
			return true;
	return false;
}

int slots_build(enum weir_scheduler scheduler, const struct slot_candidate *candidates,
		size_t count, struct weir_slot **ret)
{
	const bool weighted = scheduler == WEIR_SCHEDULER_WRR || scheduler == WEIR_SCHEDULER_P2C;

	if (!count) {
		*ret = NULL;
		return 0;
	}
	if ((weighted || scheduler == WEIR_SCHEDULER_RR) && any_ramps(candidates, count))
		return build_weighted(share_out_ramped, candidates, count, ret);
	if (weighted)
		return build_weighted(share_out, candidates, count, ret);
	return build_each_once(candidates, count, ret);
}

/*
 * Rounding a table of L slots, fewer than the sum W of the weights, leaves each of at most n light
 * candidates too much, together n * (1 - L / W) slots at most. A heavy one bears its share of that,
 * at most 256 / W of n * (1 - L / W) / (L - n). The worst W is 2 L, which makes 64 n / L (L - n);
 * one more slot may go by largest remainder.
 */
size_t slots_bound(size_t count)
{
	size_t length = SLOTS_MOST;

	while (length <= count ||
	       64 * SHARE_PRECISION * count >= (length - count) * (length - SHARE_PRECISION))
		length *= 2;
	return length;
}
