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

/* What an earlier daemon has left in @table stays until a grace period has passed. */
int snat_pool_init(struct snat_pool *pool, struct weir_address *table, uint32_t size,
		   const struct grace *grace);
void snat_pool_free(struct snat_pool *pool);

/* The place of @address, with one user more. -ENOSPC: every place is in use. */
int snat_pool_take(struct snat_pool *pool, const struct weir_address *address,
		   const struct grace *grace, uint32_t *ret);
/* The same for @count addresses in a row; the same row again if there is one. */
int snat_pool_take_row(struct snat_pool *pool, const struct weir_address *addresses, uint32_t count,
		       const struct grace *grace, union weir_range *ret);
/* One user more of a place in use, as an earlier daemon has left it. */
void snat_pool_adopt(struct snat_pool *pool, uint32_t place);
void snat_pool_put(struct snat_pool *pool, uint32_t place, const struct grace *grace);
void snat_pool_put_row(struct snat_pool *pool, union weir_range row, const struct grace *grace);
