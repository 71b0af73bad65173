// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/daemon/internal.h"
#include "src/model/listen.h"
#include "src/model/listeners.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"

/*
 * What is listened on: the hash table of single ports, and beside it the ranges of each address and protocol,
 * which places of the table point to. So one store publishes both.
 */

/* A run of ports, and whose address it is at. */
struct owned_range {
	struct weir_address address;
	uint8_t protocol;
	struct weir_port_range range;
};

static int compare_owners(const struct owned_range *a, const struct owned_range *b)
{
	const int r = memcmp(&a->address, &b->address, sizeof(a->address));

	return r ? r : (int)a->protocol - b->protocol;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct owned_range *a = left, *b = right;
	const int r = compare_owners(a, b);

	return r ? r : (int)a->range.first - b->range.first;
}

static size_t add_service(const struct service *service, uint32_t id, struct owned_range *ranges)
{
	const struct config_service *config = service->config;
	struct config_ports ports;
	size_t count = 0;

	for (size_t i = 0; i < config->listen_count; i++) {
		const struct config_listen *listen = &config->listens[i];
		uint32_t next = 0;

		while (listen_is_wide(listen) && listen_next_ports(config, listen, &next, &ports))
			ranges[count++] = (struct owned_range){
				listen->endpoint.address,
				listen->protocol,
				{ ports.first, ports.last, id },
			};
	}
	return count;
}

/* Sorted; *ret is the caller's. Returns how many, or -ENOMEM. */
static long collect_ranges(const struct daemon *daemon, struct owned_range **ret)
{
	const struct registry *registry = &daemon->registry;
	const size_t most = registry_count_ranges(daemon->config);
	struct owned_range *ranges = calloc(most + 1, sizeof(*ranges));
	size_t count = 0;

	if (!ranges)
		return -ENOMEM;
	for (uint32_t id = 1; most && id <= registry->last_service; id++)
		if (registry->services[id].used && !registry->services[id].leaving)
			count += add_service(&registry->services[id], id, &ranges[count]);
	qsort(ranges, count, sizeof(*ranges), compare_ranges);
	*ret = ranges;
	return (long)count;
}

static bool ranges_are_live(const struct daemon *daemon, const struct owned_range *ranges,
			    size_t count)
{
	const struct weir_port_range *live =
		&daemon->tables->port_ranges[daemon->port_ranges.offset];

	if (daemon->port_ranges.length != count)
		return false;
	for (size_t i = 0; i < count; i++)
		if (memcmp(&live[i], &ranges[i].range, sizeof(*live)) != 0)
			return false;
	return true;
}

/* Where they lie: the live ones if they are the same, else a new run, which nobody reads yet. */
static int place_ranges(struct daemon *daemon, const struct owned_range *ranges, size_t count,
			union weir_range *ret)
{
	int err;

	if (ranges_are_live(daemon, ranges, count)) {
		*ret = daemon->port_ranges;
		return 0;
	}
	err = ranges_take(&daemon->port_range_ranges, count, &daemon->grace, ret);
	for (size_t i = 0; err == 0 && i < count; i++)
		daemon->tables->port_ranges[ret->offset + i] = ranges[i].range;
	return err;
}

/* A place of the table for each address and protocol that has ranges. Returns how many. */
static size_t add_places(const struct owned_range *ranges, size_t count, uint32_t offset,
			 struct weir_listener *entries)
{
	size_t places = 0;

	for (size_t i = 0; i < count; i++) {
		if (!i || compare_owners(&ranges[i - 1], &ranges[i]))
			entries[places++] = (struct weir_listener){
				.key = { .address = ranges[i].address,
					 .protocol = ranges[i].protocol,
					 .used = 1 },
				.ranges = { .offset = offset + i },
			};
		entries[places - 1].ranges.length++;
	}
	return places;
}

/* The table with its places for @ranges, which lie at @offset; its length, or a negative errno. */
static int build(const struct daemon *daemon, const struct owned_range *ranges, size_t range_count,
		 uint32_t offset, struct weir_listener **ret)
{
	_cleanup_free_ struct weir_listener *entries = NULL;
	size_t count;
	int length;

	entries = registry_listeners(&daemon->registry, &count);
	if (!entries)
		return -ENOMEM;
	count += add_places(ranges, range_count, offset, &entries[count]);
	length = listeners_build(entries, count, ret);
	if (length > 0)
		host_address_mark(daemon, *ret, length);
	return length;
}

static bool is_live(const struct daemon *daemon, const struct weir_listener *table, uint32_t length)
{
	return length && daemon->listeners.length == length &&
	       !memcmp(&daemon->tables->listeners[daemon->listeners.offset], table,
		       length * sizeof(*table));
}

static int publish(struct daemon *daemon, const struct weir_listener *table, uint32_t length,
		   union weir_range ranges)
{
	struct weir_root *root = daemon->tables->root;
	union weir_range range;
	int err;

	err = ranges_take(&daemon->listener_ranges, length, &daemon->grace, &range);
	if (err < 0)
		return err;
	if (length)
		memcpy(&daemon->tables->listeners[range.offset], table, length * sizeof(*table));
	/* Set before the table that needs it is there, and until it is gone. */
	if (ranges.length)
		__atomic_store_n(&root->wide, 1, __ATOMIC_RELEASE);
	datapath_store((void *)&root->listeners.word, range.word);
	/* From here on, sessions are looked up in the new table before they go on. */
	datapath_store((void *)&root->listeners_since, datapath_jiffies(daemon->datapath));
	if (!ranges.length)
		__atomic_store_n(&root->wide, 0, __ATOMIC_RELEASE);
	ranges_retire(&daemon->listener_ranges, daemon->listeners, &daemon->grace);
	daemon->listeners = range;
	if (ranges.word != daemon->port_ranges.word)
		ranges_retire(&daemon->port_range_ranges, daemon->port_ranges, &daemon->grace);
	daemon->port_ranges = ranges;
	return 0;
}

int listen_table_apply(struct daemon *daemon)
{
	_cleanup_free_ struct owned_range *owned = NULL;
	_cleanup_free_ struct weir_listener *table = NULL;
	union weir_range ranges;
	long count;
	int length, err;

	count = collect_ranges(daemon, &owned);
	if (count < 0)
		return (int)count;
	err = place_ranges(daemon, owned, count, &ranges);
	if (err < 0)
		return err;
	length = build(daemon, owned, count, ranges.offset, &table);
	/* Commands come faster than grace periods, and seldom change a listen address. */
	if (length >= 0 && is_live(daemon, table, length))
		return 0;
	err = length < 0 ? length : publish(daemon, table, length, ranges);
	if (err < 0 && ranges.word != daemon->port_ranges.word)
		ranges_give_back(&daemon->port_range_ranges, ranges);
	return err;
}

/* Where the ranges of the live table lie: those of one generation are one run. */
static union weir_range find_ranges(const struct daemon *daemon)
{
	uint32_t first = UINT32_MAX, end = 0;

	for (uint32_t i = 0; i < daemon->listeners.length; i++) {
		const struct weir_listener *place =
			&daemon->tables->listeners[daemon->listeners.offset + i];

		if (!place->key.used || place->key.port || !place->key.protocol)
			continue;
		if (place->ranges.offset < first)
			first = place->ranges.offset;
		if (place->ranges.offset + place->ranges.length > end)
			end = place->ranges.offset + place->ranges.length;
	}
	if (end <= first)
		return (union weir_range){ .word = 0 };
	return (union weir_range){ .offset = first, .length = end - first };
}

void listen_table_adopt(struct daemon *daemon)
{
	daemon->listeners.word = daemon->tables->root->listeners.word;
	if (ranges_adopt(&daemon->listener_ranges, daemon->listeners) < 0)
		daemon->listeners.word = 0;
	daemon->port_ranges = find_ranges(daemon);
	if (ranges_adopt(&daemon->port_range_ranges, daemon->port_ranges) < 0)
		daemon->port_ranges.word = 0;
}

static const struct weir_listener *find_place(const struct daemon *daemon,
					      const struct weir_listener_key *key)
{
	const union weir_range *range = &daemon->listeners;
	const uint32_t home = weir_listener_hash(key);

	for (uint32_t i = 0; range->length && i < WEIR_LISTENER_PROBES; i++) {
		const uint32_t place = range->offset + ((home + i) & (range->length - 1));
		const struct weir_listener *listener = &daemon->tables->listeners[place];

		if (!memcmp(&listener->key, key, sizeof(*key)))
			return listener;
	}
	return NULL;
}

uint32_t listen_table_find(const struct daemon *daemon, const struct weir_address *address,
			   uint16_t port, uint8_t protocol)
{
	struct weir_listener_key key = {
		.address = *address, .port = port, .protocol = protocol, .used = 1
	};
	const struct weir_listener *place = port ? find_place(daemon, &key) : NULL;

	if (place)
		return place->service;
	key.port = 0;
	place = find_place(daemon, &key);
	for (uint32_t i = 0; protocol && place && i < place->ranges.length; i++) {
		const struct weir_port_range *range =
			&daemon->tables->port_ranges[place->ranges.offset + i];

		if (be16toh(port) >= range->first && be16toh(port) <= range->last)
			return range->service;
	}
	return 0;
}
