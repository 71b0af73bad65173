// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/snat_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int snat_pool_init(struct snat_pool *pool, struct weir_address *table, uint32_t size,
		   const struct grace *grace)
{
	struct snat_place *places = calloc(size ? size : 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	*pool = (struct snat_pool){ .table = table, .places = places, .size = size };
	for (uint32_t i = 0; i < size; i++)
		if (!address_is_zero(&table[i])) {
			places[i].ticket = grace_ticket(grace);
			pool->used = i + 1;
		}
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

static bool row_is(const struct snat_pool *pool, uint32_t first,
		   const struct weir_address *addresses, uint32_t count)
{
	return first + count <= pool->used &&
	       !memcmp(&pool->table[first], addresses, count * sizeof(*addresses));
}

static bool row_is_free(const struct snat_pool *pool, uint32_t first, uint32_t count,
			const struct grace *grace)
{
	for (uint32_t i = first; i < first + count; i++)
		if (pool->places[i].users || !grace_over(grace, pool->places[i].ticket))
			return false;
	return true;
}

int snat_pool_take_row(struct snat_pool *pool, const struct weir_address *addresses, uint32_t count,
		       const struct grace *grace, union weir_range *ret)
{
	uint32_t first = 0;

	if (count > pool->size)
		return -ENOSPC;
	while (first + count <= pool->size && !row_is(pool, first, addresses, count))
		first++;
	if (first + count > pool->size)
		for (first = 0;
		     first + count <= pool->size && !row_is_free(pool, first, count, grace);)
			first++;
	if (first + count > pool->size)
		return -ENOSPC;
	for (uint32_t i = 0; i < count; i++) {
		pool->table[first + i] = addresses[i];
		pool->places[first + i].users++;
	}
	if (pool->used < first + count)
		pool->used = first + count;
	*ret = (union weir_range){ .offset = first, .length = count };
	return 0;
}

void snat_pool_adopt(struct snat_pool *pool, uint32_t place)
{
	pool->places[place].users++;
}

void snat_pool_put(struct snat_pool *pool, uint32_t place, const struct grace *grace)
{
	if (--pool->places[place].users == 0)
		pool->places[place].ticket = grace_ticket(grace);
}

void snat_pool_put_row(struct snat_pool *pool, union weir_range row, const struct grace *grace)
{
	for (uint32_t i = 0; i < row.length; i++)
		snat_pool_put(pool, row.offset + i, grace);
}
