/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "abi/config.h"
#include "src/daemon/grace.h"

/*
 * Places of the table `snat_addresses`, one for each source address that some backend uses. A place
 * that nobody uses any more gets another address only after a grace period.
 */
struct snat_place {
	uint32_t users;
	uint64_t ticket; /* of the grace period after the last user left; 0: never used */
};

struct snat_pool {
	struct weir_address *table; /* the datapath's */
	struct snat_place *places;
	uint32_t size;
	uint32_t used; /* places that were ever used */
};

int snat_pool_init(struct snat_pool *pool, struct weir_address *table, uint32_t size);
void snat_pool_free(struct snat_pool *pool);

/* The place of @address, with one user more. -ENOSPC: every place is in use. */
int snat_pool_take(struct snat_pool *pool, const struct weir_address *address,
		   const struct grace *grace, uint32_t *ret);
/* A row of places for @count addresses that stay for ever; only before any snat_pool_take(). */
int snat_pool_take_row(struct snat_pool *pool, const struct weir_address *addresses, uint32_t count,
		       union weir_range *ret);
void snat_pool_put(struct snat_pool *pool, uint32_t place, const struct grace *grace);
