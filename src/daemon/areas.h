/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/config.h"
#include "src/model/config.h"

/*
 * Where a service's slot table lies: two areas of equal size in `slots`. A new table is built in the
 * one that nobody reads and published by one store; the old one is free after a grace period.
 *
 * I1  the area `live` is the one that weir_service.slots points into (if its length is not 0)
 * I2  the other area is read by nobody unless `busy`
 */
struct areas {
	uint32_t first; /* of the first area; the second follows it */
	uint32_t capacity;
	uint8_t live;
	bool busy;  /* the grace period after the last publication runs */
	bool dirty; /* a change came meanwhile */
};

/* Places that the largest table of @service can need. */
uint32_t areas_capacity(const struct config_service *service);

/* The offset of the area to build in: true. While it is busy: false, and `dirty` is remembered. */
bool areas_claim(struct areas *areas, uint32_t *ret);

/* The claimed area was published: it is live, and the other one busy. */
void areas_published(struct areas *areas);

/* The grace period is over. Returns whether the table must be built again. */
bool areas_released(struct areas *areas);
