/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <bpf/bpf_endian.h>

#include "abi/hash.h"
#include "maps.h"
#include "packet.h"

static __always_inline int listener_matches(const struct weir_listener_key *a,
					    const struct weir_listener_key *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       address_is_same(&a->address, &b->address);
}

/* The place of @key in the live generation, or NULL. */
static __always_inline struct weir_listener *listener_find(const struct weir_listener_key *key)
{
	struct weir_root *root_ = WEIR_ONLY(root);
	union weir_range range;
	__u32 home, i;

	if (!root_)
		return NULL;
	range.word = *(volatile __u64 *)&root_->listeners.word;
	if (!range.length)
		return NULL;
	home = weir_listener_hash(key);
	for (i = 0; i < WEIR_LISTENER_PROBES; i++) {
		__u32 offset = (home + i) & (range.length - 1);
		struct weir_listener *place = array_at(&listeners, range.offset + offset);

		if (!place || !place->key.used)
			return NULL;
		if (listener_matches(&place->key, key))
			return place;
	}
	return NULL;
}

/* There may be as many as ports. */
#define PORT_RANGE_STEPS 17

/*
 * The service of the run of ports that @port is in, among those of the union weir_range @word; or 0. Not
 * static, so that the verifier looks at it once, and not again for each way that leads here.
 */
__noinline __u32 port_range_find(__u64 word, __u16 port)
{
	union weir_range ranges = { .word = word };
	__u32 low = 0, high = ranges.length, step;

	for (step = 0; step < PORT_RANGE_STEPS && low < high; step++) {
		__u32 middle = (low + high) / 2;
		struct weir_port_range *range = array_at(&port_ranges, ranges.offset + middle);

		if (!range)
			return 0;
		if (port < range->first)
			high = middle;
		else if (port > range->last)
			low = middle + 1;
		else
			return range->service;
	}
	return 0;
}

/* The ranges of ports at the packet's address, length 0: none. @key is of the packet; its port is lost. */
static __always_inline __u64 ranges_find(struct weir_listener_key *key)
{
	struct weir_root *root_ = WEIR_ONLY(root);
	struct weir_listener *place;

	/* Protocol 0: the place of the address. */
	if (!root_ || !*(volatile __u32 *)&root_->wide || !key->protocol)
		return 0;
	key->port = 0;
	place = listener_find(key);
	return place ? place->ranges.word : 0;
}

/*
 * The service that packets of @tuple are for: its id, or 0. Not inlined, nor are the next ones: their keys would
 * lie on the stack below all that a new flow needs, and 512 bytes are all there is.
 */
__noinline __u32 service_of(const struct weir_tuple *tuple)
{
	struct weir_listener_key key = {};
	struct weir_listener *place;

	if (!tuple)
		return 0;
	key.address = tuple->destination;
	key.port = tuple->destination_port;
	key.protocol = tuple->protocol;
	place = listener_find(&key);
	if (place && key.port)
		return place->service;
	return port_range_find(ranges_find(&key), bpf_ntohs(tuple->destination_port));
}

/* The service that has all ports of this address and protocol, so that none must be known; or 0. */
__noinline __u32 service_of_all_ports(const struct weir_tuple *tuple)
{
	struct weir_listener_key key = {};
	struct weir_port_range *range;
	union weir_range ranges;

	if (!tuple)
		return 0;
	key.address = tuple->destination;
	key.protocol = tuple->protocol;
	ranges.word = ranges_find(&key);
	range = array_at(&port_ranges, ranges.offset);
	if (ranges.length != 1 || !range || range->first != 1 || range->last != 0xffff)
		return 0;
	return range->service;
}

/* Do the service's rules leave the client of @packet out? */
__noinline int access_denies(__u32 list, const struct packet *packet)
{
	struct weir_access_key key = { .length = 8 * (sizeof(key) - sizeof(key.length)) };
	__u32 *rule;

	if (!packet)
		return 1;
	key.list = list;
	key.network = packet->tuple.source;
	rule = bpf_map_lookup_elem(&access_rules, &key);
	return !rule || *rule != WEIR_ACCESS_ALLOW;
}

static __always_inline int service_denies(const struct weir_service *service,
					  const struct packet *packet)
{
	__u32 list = *(volatile __u32 *)&service->access;

	return list && access_denies(list, packet);
}

/* Do its backends answer their clients themselves? */
static __always_inline int service_is_direct(__u32 service_id)
{
	struct weir_service *service = array_at(&services, service_id);

	return service_id && service && service->mode != WEIR_MODE_NAT;
}

/* Is @address a service's that this host does not have, so that weir is to answer its pings? */
__noinline int address_echoes(const struct weir_address *address)
{
	struct weir_listener_key key = {};
	struct weir_listener *place;

	if (!address)
		return 0;
	key.address = *address;
	place = listener_find(&key);
	return place && (place->flags & WEIR_LISTENER_ECHO);
}

/*
 * Does a malformed packet concern a service? If its ports could be read, the service itself counts,
 * else its address.
 */
__noinline int service_concerned(const struct packet *packet)
{
	struct weir_listener_key key = {};

	if (!packet)
		return 0;
	if (packet->has_ports)
		return service_of(&packet->tuple) != 0;
	key.address = packet->tuple.destination;
	return listener_find(&key) != NULL;
}
