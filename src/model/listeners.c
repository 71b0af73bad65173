// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/listeners.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"
#include "src/base/cleanup.h"

#define LISTENERS_MOST (1u << 24)

static int compare_addresses(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct weir_address));
}

/* Sorts @addresses and removes doubles. Returns how many remain. */
static size_t unique(struct weir_address *addresses, size_t count)
{
	size_t kept = 0;

	qsort(addresses, count, sizeof(*addresses), compare_addresses);
	for (size_t i = 0; i < count; i++)
		if (!i || compare_addresses(&addresses[kept - 1], &addresses[i]))
			addresses[kept++] = addresses[i];
	return kept;
}

static uint32_t distance(const struct weir_listener *entry, uint32_t place, uint32_t mask)
{
	return (place - weir_listener_hash(&entry->key)) & mask;
}

/*
 * Robin Hood insertion: who is farther from home keeps the place. That evens the distances out, so
 * that the table need not be grown much to keep all of them below WEIR_LISTENER_PROBES.
 * Returns whether all entries on the way found a place near enough.
 */
static bool insert(struct weir_listener *table, uint32_t mask, struct weir_listener entry)
{
	uint32_t place = weir_listener_hash(&entry.key) & mask, away = 0;

	for (; away < WEIR_LISTENER_PROBES; away++, place = (place + 1) & mask) {
		struct weir_listener resident = table[place];

		if (!resident.key.used) {
			table[place] = entry;
			return true;
		}
		if (distance(&resident, place, mask) >= away)
			continue;
		table[place] = entry;
		entry = resident;
		away = distance(&entry, place, mask);
	}
	return false;
}

static bool fill(struct weir_listener *table, uint32_t length, const struct weir_listener *entries,
		 size_t count, const struct weir_address *addresses, size_t address_count)
{
	for (size_t i = 0; i < count; i++) {
		const struct weir_listener_key *key = &entries[i].key;
		struct weir_listener entry = { .key = { .address = key->address,
							.port = key->port,
							.protocol = key->protocol,
							.used = 1 },
					       .service = entries[i].service };

		if (!key->port)
			entry.ranges = entries[i].ranges;
		if (!insert(table, length - 1, entry))
			return false;
	}
	for (size_t i = 0; i < address_count; i++) {
		const struct weir_listener entry = { .key = { .address = addresses[i],
							      .used = 1 } };

		if (!insert(table, length - 1, entry))
			return false;
	}
	return true;
}

int listeners_build(const struct weir_listener *entries, size_t count, struct weir_listener **ret)
{
	_cleanup_free_ struct weir_address *addresses = NULL;
	size_t address_count;
	uint32_t length = 1;

	if (!count) {
		*ret = NULL;
		return 0;
	}
	if (count > LISTENERS_MOST / 2)
		return -E2BIG;
	addresses = calloc(count, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		addresses[i] = entries[i].key.address;
	address_count = unique(addresses, count);
	while (length < 2 * (count + address_count))
		length *= 2;
	for (; length <= LISTENERS_MOST; length *= 2) {
		_cleanup_free_ struct weir_listener *table = calloc(length, sizeof(*table));

		if (!table)
			return -ENOMEM;
		if (!fill(table, length, entries, count, addresses, address_count))
			continue;
		*ret = TAKE(table);
		return (int)length;
	}
	return -E2BIG;
}
