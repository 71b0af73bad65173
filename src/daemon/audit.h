/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/state.h"

/*
 * Counts of a backend against what a walk over all records has counted. A walk is no snapshot, so a
 * difference proves something only if it is seen twice the same and nothing moved in between.
 */
struct audit_memory {
	uint64_t total;
	uint32_t half_open;
	uint32_t established;
	int32_t half_open_off; /* counted by the walk minus the load's number */
	int32_t established_off;
};

struct audit_correction {
	int32_t half_open; /* to be added */
	int32_t established;
};

/*
 * Takes in the end of one walk. True: *ret must be added to the load (and @memory expects that it
 * will be). False: nothing is proven, *ret is untouched.
 */
bool audit_step(struct audit_memory *memory, const struct weir_load *load,
		const struct weir_audit *audit, struct audit_correction *ret);
