// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/snat_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int snat_pool_init(struct snat_pool *pool, struct weir_address *table, uint32_t size)
{
	struct snat_place *places = calloc(size ? size : 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	*pool = (struct snat_pool){ .table = table, .places = places, .size = size };
	return 0;
}

void snat_pool_free(struct snat_pool *pool)
{
	free(pool->places);
	memset(pool, 0, sizeof(*pool));
}

int snat_pool_take(struct snat_pool *pool, const struct weir_address *address,
		   const struct grace *grace, uint32_t *ret)
{
	uint32_t free_place = pool->used;

	for (uint32_t i = 0; i < pool->used; i++) {
		const struct snat_place *place = &pool->places[i];

		if (address_equal(&pool->table[i], address)) {
			pool->places[i].users++;
			*ret = i;
			return 0;
		}
		if (!place->users && grace_over(grace, place->ticket))
			free_place = i;
	}
	if (free_place == pool->used) {
		if (pool->used == pool->size)
			return -ENOSPC;
		pool->used++;
	}
	pool->table[free_place] = *address;
	pool->places[free_place].users = 1;
	*ret = free_place;
	return 0;
}

int snat_pool_take_row(struct snat_pool *pool, const struct weir_address *addresses, uint32_t count,
		       union weir_range *ret)
{
	if (count > pool->size - pool->used)
		return -ENOSPC;
	ret->offset = pool->used;
	ret->length = count;
	for (uint32_t i = 0; i < count; i++) {
		pool->table[pool->used] = addresses[i];
		pool->places[pool->used++].users = 1;
	}
	return 0;
}

void snat_pool_put(struct snat_pool *pool, uint32_t place, const struct grace *grace)
{
	if (--pool->places[place].users == 0)
		pool->places[place].ticket = grace_ticket(grace);
}
