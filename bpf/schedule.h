/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Picking the backend of a new flow. Each scheduler is one pick function over the service's slots;
 * what the slots hold is built by user space (src/model/slots.h).
 */

#include "abi/hash.h"
#include "index.h"
#include "maps.h"
#include "packet.h"

/* What a pick function returns where nobody can take the flow. */
#define NO_PLACE 0xffffffff

/* Does the backend have all the connections that it may have? */
static __always_inline int backend_is_full(__u32 backend_id)
{
	struct weir_backend *backend = array_at(&backends, backend_id);
	struct weir_load *load = array_at(&loads, backend_id);

	return backend && load && backend->max_connections &&
	       (__u64)READ_HALF(load->half_open) + READ_HALF(load->established) >=
		       backend->max_connections;
}

/* The next number of the service's turn; 64 bits do not wrap. */
static __always_inline __u64 schedule_turn(__u32 service_id)
{
	struct weir_service_state *state = array_at(&service_state, service_id);

	return state ? __sync_fetch_and_add(&state->turn, 1) : 0;
}

/* Does the packet alone decide? Then there are no turns. */
static __always_inline int schedule_hashes(const struct weir_service *service)
{
	return service->scheduler == WEIR_SCHEDULER_HASH ||
	       service->scheduler == WEIR_SCHEDULER_SOURCE ||
	       service->scheduler == WEIR_SCHEDULER_MAGLEV;
}

/* The turn was in vain: another flow gets it. */
static __always_inline void schedule_return_turn(const struct weir_service *service,
						 __u32 service_id)
{
	struct weir_service_state *state = array_at(&service_state, service_id);

	if (state && !schedule_hashes(service))
		__sync_fetch_and_add(&state->turn, -1);
}

/* rr, wrr: slots in turn, exact over all CPUs. */
static __always_inline __u32 pick_turn(union weir_range range, __u32 service_id)
{
	return schedule_turn(service_id) % range.length;
}

/* hash, maglev: by the 5-tuple. */
static __always_inline __u32 pick_hash(union weir_range range, const struct packet *packet)
{
	return weir_hash_scale(weir_hash_tuple(&packet->tuple), range.length);
}

/* source: by the client's address. */
static __always_inline __u32 pick_source(union weir_range range, const struct packet *packet)
{
	return weir_hash_scale(weir_hash_source(&packet->tuple), range.length);
}

struct room_search {
	union weir_range range;
	__u32 place;
	__u32 found;
};

static long room_step(__u32 step, struct room_search *search)
{
	struct weir_slot *slot;

	if (++search->place >= search->range.length)
		search->place = 0;
	slot = array_at(&slots, search->range.offset + search->place);
	search->found = slot && !backend_is_full(slot->backend);
	return search->found;
}

/* The first slot behind @place whose backend has room. */
__noinline __u32 pick_with_room(__u64 range_word, __u32 place)
{
	union weir_range range = { .word = range_word };
	struct room_search search = { .range = range, .place = place, .found = unknown_zero() };

	bpf_loop((__u64)range.length, room_step, &search, 0);
	return search.found ? search.place : NO_PLACE;
}

/* (a + 1) / weight_a < (b + 1) / weight_b, without a division. */
static __always_inline int load_less(__u64 a, __u32 weight_a, __u64 b, __u32 weight_b)
{
	return (a + 1) * weight_b < (b + 1) * weight_a;
}

/*
 * Whose lack of load proves nothing: it lately refused, so that may be its illness; or it ramps up. The
 * latter comes last: its share is a promise, while a refusal may be chance.
 */
enum least_rank { RANK_SOUND, RANK_SUSPECT, RANK_RAMPING };

struct least_candidate {
	__u32 weight; /* 0: none */
	__u32 rank;   /* enum least_rank */
	__u64 load;
};

struct least_search {
	union weir_range range;
	__u32 start; /* first place looked at: ties go round */
	__u32 weighted;
	__u32 place; /* of the best */
	__u32 turn_ramp;
	struct least_candidate best;
	struct least_candidate turn; /* whose turn it is, at `start` */
	__u64 weights;               /* of all */
	__u64 zero;                  /* unknown_zero(), or the verifier follows each rank */
};

static __always_inline __u32 rank_of(const struct weir_slot *slot, const struct weir_load *load)
{
	if (slot->ramp < WEIR_RAMP_FULL)
		return RANK_RAMPING;
	return load->failed ? RANK_SUSPECT : RANK_SOUND;
}

static __always_inline int least_better(const struct least_candidate *a,
					const struct least_candidate *b)
{
	if (!b->weight || a->rank != b->rank)
		return !b->weight || a->rank < b->rank;
	return load_less(a->load, a->weight, b->load, b->weight);
}

static long least_step(__u32 step, struct least_search *search)
{
	__u32 place = search->start + step;
	struct least_candidate candidate;
	struct weir_slot *slot;
	struct weir_load *load;

	if (place >= search->range.length)
		place -= search->range.length;
	slot = array_at(&slots, search->range.offset + place);
	if (!slot)
		return 1;
	load = array_at(&loads, slot->backend);
	if (!load)
		return 1;
	if (backend_is_full(slot->backend))
		return 0;
	candidate.weight = search->weighted ? slot->weight : 1;
	candidate.load = (__u64)load->half_open + load->established + load->failed;
	candidate.rank = rank_of(slot, load) + search->zero;
	search->weights += candidate.weight;
	if (!step) {
		search->turn = candidate;
		search->turn_ramp = slot->ramp;
	}
	if (least_better(&candidate, &search->best)) {
		search->best = candidate;
		search->place = place;
	}
	return 0;
}

/*
 * Is it the turn of one who is not to be judged by its load, and may it have it? Turns come alike: of two,
 * one with a tenth of the weight has only a fifth of its own, and while it ramps up only its ramp's
 * part of that.
 */
static __always_inline int least_takes_turn(const struct least_search *search)
{
	return search->turn.rank > search->best.rank &&
	       !load_less(search->best.load, search->best.weight, search->turn.load,
			  search->turn.weight) &&
	       weir_hash_scale(bpf_get_prandom_u32(), search->weights * WEIR_RAMP_FULL) <
		       (__u64)search->turn.weight * search->range.length * search->turn_ramp;
}

static __always_inline struct least_candidate no_candidate(void)
{
	return (struct least_candidate){
		.weight = unknown_zero(),
		.rank = unknown_zero(),
		.load = unknown_zero(),
	};
}

/*
 * lc, wlc: the least (load + 1) / weight; load = half-open + established + lately failed. Who is not to
 * be judged by it is taken in its turn only, so that it gets its fair share at most. Not inlined: its
 * stack would be added to all that a new flow needs.
 */
__noinline __u32 pick_least(__u64 range_word, __u32 service_id, int weighted)
{
	union weir_range range = { .word = range_word };
	struct least_search search = {
		.range = range,
		.start = schedule_turn(service_id) % range.length,
		.weighted = weighted,
		.place = unknown_zero(),
		.turn_ramp = unknown_zero(),
		.best = no_candidate(),
		.turn = no_candidate(),
		.weights = unknown_zero(),
		.zero = unknown_zero(),
	};

	/* A 64-bit count: the helper compares all of its argument. */
	bpf_loop((__u64)range.length, least_step, &search, 0);
	if (!search.best.weight)
		return NO_PLACE;
	return least_takes_turn(&search) ? search.start : search.place;
}

static __always_inline int candidate_read(struct least_candidate *candidate, __u32 place)
{
	struct weir_slot *slot = array_at(&slots, place);
	struct weir_load *load = slot ? array_at(&loads, slot->backend) : NULL;

	if (!load || backend_is_full(slot->backend))
		return 0;
	candidate->weight = slot->weight;
	candidate->load = (__u64)load->half_open + load->established + load->failed;
	candidate->rank = rank_of(slot, load);
	return 1;
}

/*
 * p2c: of two slots of the weighted order, drawn by the client and the turn, the one whose backend has
 * less (load + 1) / weight. Who is not to be judged by that is taken only if it was drawn first, as often
 * as its slots say. Not inlined: its stack would be added to all that a new flow needs.
 */
__noinline __u32 pick_two(__u64 range_word, __u32 service_id, __u32 hash)
{
	union weir_range range = { .word = range_word };
	__u64 lot = weir_hash_mix((__u64)hash << 32 ^ schedule_turn(service_id));
	__u32 first = weir_hash_scale(lot >> 32, range.length);
	__u32 second = weir_hash_scale(lot, range.length);
	struct least_candidate a = {}, b = {};

	if (!candidate_read(&b, range.offset + second))
		return first;
	if (!candidate_read(&a, range.offset + first))
		return second;
	if (a.rank < b.rank)
		return first;
	return load_less(b.load, b.weight, a.load, a.weight) ? second : first;
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
	case WEIR_SCHEDULER_MAGLEV:
		place = pick_hash(range, packet);
		break;
	case WEIR_SCHEDULER_SOURCE:
		place = pick_source(range, packet);
		break;
	case WEIR_SCHEDULER_P2C:
		place = pick_two(range.word, service_id, weir_hash_tuple(&packet->tuple));
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
	if (slot && place != NO_PLACE && backend_is_full(slot->backend)) {
		place = pick_with_room(range.word, place);
		slot = array_at(&slots, range.offset + place);
	}
	return slot && place != NO_PLACE ? slot->backend : 0;
}
