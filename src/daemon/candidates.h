/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/model/maglev.h"
#include "src/model/slots.h"

/*
 * Which backends of a service may get new flows, and how much. Those that are to serve and can be
 * reached and are healthy; if there is none, the backups among them; if there is none and the service
 * fails open, all that are to serve and can be reached.
 */
struct candidate {
	uint32_t id;
	uint32_t weight;
	uint32_t ramp;  /* slow start, 1 to WEIR_RAMP_FULL */
	bool serves;    /* wanted: ready, with a weight */
	bool reachable; /* its next hop and a source address are known */
	bool healthy;   /* no check says otherwise */
	bool backup;
};

/*
 * For what hashes, whose tables are made of all that are to serve, up or not: those of the same tier
 * that candidates_choose() looks in. Fills @ret, but for the endpoints, and returns how many.
 */
size_t candidates_members(const struct candidate *all, size_t count, bool fail_open,
			  struct maglev_backend *ret);

/* Fills @ret, which has room for @count, and returns how many. @all is in configuration order. */
size_t candidates_choose(const struct candidate *all, size_t count, bool fail_open,
			 struct slot_candidate *ret);

/* The ramp @passed_ms after its begin, of a slow start of @length_ms. */
uint32_t candidates_ramp(uint64_t passed_ms, uint64_t length_ms);
