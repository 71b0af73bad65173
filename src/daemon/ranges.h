/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"
#include "src/daemon/grace.h"

/*
 * Runs of places in a table of the datapath. A new table is built in a run that nobody reads and
 * published by one store; the run before is retired, and free again after a grace period.
 *
 * I1  no place is in two runs that were taken, or in one that was and in a free one
 */
struct ranges {
	union weir_range *free; /* sorted, none touches the next */
	size_t free_count;
	size_t free_room;
	struct ranges_retired {
		union weir_range range;
		uint64_t ticket;
	} * retired; /* oldest first */
	size_t retired_count;
	size_t retired_room;
	size_t taken; /* runs, retired ones included */
};

/* All @length places are free. -ENOMEM leaves @ranges zeroed. */
int ranges_init(struct ranges *ranges, uint32_t length);
void ranges_free(struct ranges *ranges); /* a zeroed one too */

/*
 * Takes the first free run of @length places (0: none is needed). -ENOSPC: there is none now; some may
 * come back after a grace period. -ENOMEM.
 */
int ranges_take(struct ranges *ranges, uint32_t length, const struct grace *grace,
		union weir_range *ret);
/* Takes this very run, which an earlier daemon has left. -EINVAL: some of it is taken, or beyond the end. */
int ranges_adopt(struct ranges *ranges, union weir_range range);
/* Nobody new reads it any more. */
void ranges_retire(struct ranges *ranges, union weir_range range, const struct grace *grace);
/* Nobody has read it yet. */
void ranges_give_back(struct ranges *ranges, union weir_range range);
