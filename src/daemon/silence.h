/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/state.h"

/*
 * Notices that a backend gets packets but sends none: it may be gone, and the kernel alone would take
 * up to a minute to see that its neighbour entry is stale.
 */
struct silence {
	uint64_t in_packets;
	uint64_t out_packets;
	uint64_t asked_ms; /* when it was last found silent */
};

/* Not more often than this, as UDP services may be silent by nature. */
#define SILENCE_PAUSE_MS 10000

/* Takes in the traffic up to now. True: packets went in and none came out since the last call. */
bool silence_step(struct silence *memory, const struct weir_traffic *traffic, uint64_t now_ms);
