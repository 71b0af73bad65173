/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Picking the backend of a new flow. Each scheduler is one pick function over the service's slots;
 * what the slots hold is built by user space (src/model/slots.h).
 */

#include "abi/hash.h"
#include "maps.h"
#include "packet.h"

/* The next number of the service's turn; 64 bits do not wrap. */
static __always_inline __u64 schedule_turn(__u32 service_id)
{
	struct weir_service_state *state = array_at(&service_state, service_id);

	return state ? __sync_fetch_and_add(&state->turn, 1) : 0;
}

/* rr, wrr: slots in turn, exact over all CPUs. */
static __always_inline __u32 pick_turn(union weir_range range, __u32 service_id)
{
	return schedule_turn(service_id) % range.length;
}

/* hash: by the 5-tuple. */
static __always_inline __u32 pick_hash(union weir_range range, const struct packet *packet)
{
	return weir_hash_scale(weir_hash_tuple4(&packet->tuple), range.length);
}

/* (a + 1) / weight_a < (b + 1) / weight_b, without a division. */
static __always_inline int load_less(__u64 a, __u32 weight_a, __u64 b, __u32 weight_b)
{
	return (a + 1) * weight_b < (b + 1) * weight_a;
}

struct least_search {
	union weir_range range;
	__u32 start; /* first place looked at: ties go round */
	__u32 weighted;
	__u32 best;
	__u32 best_weight;
	__u32 best_suspect;
	__u64 best_load;
	__u64 weights; /* of all */
	/* Whose turn it is, at `start`. */
	__u32 turn_weight;
	__u32 turn_suspect;
	__u64 turn_load;
};

static long least_step(__u32 step, struct least_search *search)
{
	__u32 place = search->start + step;
	struct weir_slot *slot;
	struct weir_load *load;
	__u32 weight;
	__u32 suspect;
	__u64 total;

	if (place >= search->range.length)
		place -= search->range.length;
	slot = array_at(&slots, search->range.offset + place);
	if (!slot)
		return 1;
	load = array_at(&loads, slot->backend);
	if (!load)
		return 1;
	weight = search->weighted ? slot->weight : 1;
	total = (__u64)load->half_open + load->established + load->failed;
	suspect = load->failed != 0;
	search->weights += weight;
	if (!step) {
		search->turn_weight = weight;
		search->turn_suspect = suspect;
		search->turn_load = total;
	}
	if (!search->best_weight || suspect < search->best_suspect ||
	    (suspect == search->best_suspect &&
	     load_less(total, weight, search->best_load, search->best_weight))) {
		search->best = place;
		search->best_suspect = suspect;
		search->best_weight = weight;
		search->best_load = total;
	}
	return 0;
}

/*
 * Is it the turn of one who lately refused, and may it have it? Turns come alike: of two, one with a
 * tenth of the weight has only a fifth of its own.
 */
static __always_inline int least_takes_turn(const struct least_search *search)
{
	return search->turn_suspect && !search->best_suspect &&
	       !load_less(search->best_load, search->best_weight, search->turn_load,
			  search->turn_weight) &&
	       weir_hash_scale(bpf_get_prandom_u32(), search->weights) <
		       search->turn_weight * search->range.length;
}

/*
 * lc, wlc: the least (load + 1) / weight; load = half-open + established + lately failed. Who lately
 * refused is taken in its turn only: its lack of load may be its illness. So it gets its fair share at
 * most. Not inlined: its stack would be added to all that a new flow needs.
 */
static __noinline __u32 pick_least(__u64 range_word, __u32 service_id, int weighted)
{
	union weir_range range = { .word = range_word };
	struct least_search search = {
		.range = range,
		.start = schedule_turn(service_id) % range.length,
		.weighted = weighted,
	};

	/* A 64-bit count: the helper compares all of its argument. */
	bpf_loop((__u64)range.length, least_step, &search, 0);
	return least_takes_turn(&search) ? search.start : search.best;
}

/* The backend id for a new flow of @packet, or 0: there is none. */
static __always_inline __u32 schedule(const struct weir_service *service, __u32 service_id,
				      const struct packet *packet)
{
	union weir_range range = { .word = *(volatile __u64 *)&service->slots.word };
	struct weir_slot *slot;
	__u32 place;

	if (!range.length)
		return 0;
	switch (service->scheduler) {
	case WEIR_SCHEDULER_HASH:
		place = pick_hash(range, packet);
		break;
	case WEIR_SCHEDULER_LC:
	case WEIR_SCHEDULER_WLC:
		place = pick_least(range.word, service_id,
				   service->scheduler == WEIR_SCHEDULER_WLC);
		break;
	default:
		place = pick_turn(range, service_id);
		break;
	}
	slot = array_at(&slots, range.offset + place);
	return slot ? slot->backend : 0;
}
