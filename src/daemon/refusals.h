/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "abi/state.h"

/*
 * How refused connections fade from a backend's load. lc and wlc see a refused connection like one that
 * is held, and take a backend with refusals in its turn only. Refusals fade like held connections do: in
 * each walk by the part of the service's connections that ended, and by some in any case.
 */

/* What fades in any case, per walk of about a second: a single refusal is forgotten after 16. */
#define REFUSALS_FADE_LEAST (1.0 / 16)

/* A service as it was after the last walk. */
struct refusals {
	uint64_t total;
	uint64_t live; /* half-open and established */
	uint64_t failed;
};

/*
 * @sum: the loads of the service's backends, added up. Returns the part of each backend's refusals that
 * fades now. Call refusals_faded() afterwards.
 */
double refusals_fade(const struct refusals *memory, const struct weir_load *sum);

/* How many of @failed go, for the part @fade; what is less than one is kept in @rest. */
uint32_t refusals_take(double *rest, uint32_t failed, double fade);

/* Remembers @sum; @taken is what refusals_take() took from all of its backends. */
void refusals_faded(struct refusals *memory, const struct weir_load *sum, uint64_t taken);
