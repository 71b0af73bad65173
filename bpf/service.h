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

/*
 * The service that packets of @tuple are for: its id, or 0. Not inlined, nor is the next one: their keys would
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
	return place ? place->service : 0;
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
	key.address = packet->tuple.destination;
	if (packet->has_ports) {
		key.port = packet->tuple.destination_port;
		key.protocol = packet->tuple.protocol;
	}
	return listener_find(&key) != NULL;
}
