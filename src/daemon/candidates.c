// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/candidates.h"

enum tier { TIER_FIRST, TIER_BACKUP, TIER_FAIL_OPEN };

static bool is_in_tier(const struct candidate *candidate, enum tier tier)
{
	if (!candidate->serves || !candidate->reachable)
		return false;
	switch (tier) {
	case TIER_FIRST:
		return candidate->healthy && !candidate->backup;
	case TIER_BACKUP:
		return candidate->healthy && candidate->backup;
	default:
		return true;
	}
}

/* The first tier that anybody is in, or the last one. */
static enum tier choose_tier(const struct candidate *all, size_t count, bool fail_open)
{
	const enum tier last = fail_open ? TIER_FAIL_OPEN : TIER_BACKUP;

	for (enum tier tier = TIER_FIRST; tier < last; tier++)
		for (size_t i = 0; i < count; i++)
			if (is_in_tier(&all[i], tier))
				return tier;
	return last;
}

static bool is_member(const struct candidate *candidate, enum tier tier)
{
	return candidate->serves &&
	       (tier == TIER_FAIL_OPEN || candidate->backup == (tier == TIER_BACKUP));
}

size_t candidates_members(const struct candidate *all, size_t count, bool fail_open,
			  struct maglev_backend *ret)
{
	const enum tier tier = choose_tier(all, count, fail_open);
	size_t members = 0;

	for (size_t i = 0; i < count; i++)
		if (is_member(&all[i], tier))
			ret[members++] = (struct maglev_backend){
				.id = all[i].id,
				.weight = all[i].weight,
				.usable = is_in_tier(&all[i], tier),
			};
	return members;
}

size_t candidates_choose(const struct candidate *all, size_t count, bool fail_open,
			 struct slot_candidate *ret)
{
	const enum tier tier = choose_tier(all, count, fail_open);
	size_t chosen = 0;

	for (size_t i = 0; i < count; i++)
		if (is_in_tier(&all[i], tier))
			ret[chosen++] = (struct slot_candidate){
				.backend = all[i].id,
				.weight = all[i].weight,
				.ramp = all[i].ramp,
			};
	return chosen;
}

uint32_t candidates_ramp(uint64_t passed_ms, uint64_t length_ms)
{
	uint64_t ramp;

	if (passed_ms >= length_ms)
		return WEIR_RAMP_FULL;
	ramp = passed_ms * WEIR_RAMP_FULL / length_ms;
	return ramp ? ramp : 1;
}
