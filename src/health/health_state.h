/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/health/health.h"

/* What results make of a state: arithmetic alone, without clock and loop. */
struct health_result {
	const char *error; /* NULL: it was good */
	uint32_t duration_ms;
};

void health_state_init(struct health_report *report, enum health_state initial);

/*
 * Takes one more result. The first one decides alone where nothing was known, else a change takes
 * @rise good or @fall bad ones in a row. True: the state changed, or this was the first result.
 */
bool health_state_take(struct health_report *report, uint32_t rise, uint32_t fall,
		       const struct health_result *result, uint64_t now);
