/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"

/*
 * The largest slot table of wrr and p2c; weights that need more are rounded so that no backend's
 * share is off by 0.1 % of the traffic or more. Where that cannot be had in so few slots, because
 * several hundred light backends with a slot each would crowd out the heavy ones, the table is
 * doubled until it holds; it never exceeds slots_bound().
 */
#define SLOTS_MOST 4096

/* A backend that may get new flows. */
struct slot_candidate {
	uint32_t backend; /* backend id */
	uint32_t weight;  /* 1-256; rr: 1 */
	uint32_t ramp;    /* slow start: 1-WEIR_RAMP_FULL of what it would get; 0: all of it */
};

/*
 * Builds what a scheduler picks from:
 *   rr, lc, wlc   each candidate once, in the given order (wlc: with its weight);
 *   wrr           the smooth weighted order of one period (nginx's: each round current_i += w_i,
 *                 pick the largest, subtract the sum), weights divided by their greatest common
 *                 divisor;
 *   p2c           the same multiset as wrr.
 * What hashes has tables of its own: src/model/maglev.h.
 * While any of them ramps up (lc, wlc: bpf/schedule.h sees to it), rr, wrr and p2c give each of those
 * its ramp's part of its fair share, never more, and none if it is less than one slot; the others
 * share the rest by their weights. Such a table has slots_bound() slots.
 *
 * Every run of wrr slots of one period's length, cyclically, holds each backend exactly as often as
 * its weight says; with more than SLOTS_MOST candidates each stands at least once.
 *
 * On success *ret is an array that the caller frees, and its length is returned (0: no candidate,
 * *ret = NULL). -ENOMEM leaves *ret untouched.
 */
int slots_build(enum weir_scheduler scheduler, const struct slot_candidate *candidates,
		size_t count, struct weir_slot **ret);

/* No table for @count candidates is longer than this, whatever their weights. */
size_t slots_bound(size_t count);
