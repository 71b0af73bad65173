/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/model/config.h"

/*
 * The slot tables of the schedulers that hash: Maglev's (Eisenbud et al., NSDI 2016). Every node of a
 * row must build the same one, by any version of weir: the order of the backends, the hashes and the
 * sizes are frozen, and nothing but the configuration goes into it. What goes on at run time, a
 * backend that is down, changes its own slots alone.
 */
struct maglev_backend {
	struct endpoint endpoint;
	uint32_t id;     /* what a slot of it holds */
	uint32_t weight; /* 1-256 */
	bool usable;     /* else each of its slots goes to that slot's second choice */
};

/*
 * Slots of the table of @service, a prime: at least 100 for each of its backends, so that shares are
 * exact, and enough for each weight to be seen. Of a table of n slots about 1 / sqrt(n) moves for
 * nothing when a backend leaves the configuration, so there are many more as long as there are
 * few services that hash, @services of them in the configuration. Memory stays bounded: with 10,000 of
 * them, a table for 10 backends has 1,021 slots.
 */
size_t maglev_size(const struct config_service *service, size_t services);
/* How many services of @config hash. */
size_t maglev_services(const struct config *config);

/*
 * Builds the table of @size slots, a value of maglev_size(), for backends in any order. On success
 * *ret is an array that the caller frees, and its length is returned (0: none of them is usable, *ret =
 * NULL). -ENOMEM leaves *ret untouched.
 */
int maglev_build(const struct maglev_backend *backends, size_t count, size_t size,
		 struct weir_slot **ret);

/* Two calls of maglev_build() with the same fingerprint give the same table; never 0. */
uint64_t maglev_fingerprint(const struct maglev_backend *backends, size_t count, size_t size);
