/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <bpf/bpf_endian.h>

#include "abi/hash.h"
#include "maps.h"
#include "packet.h"

static __always_inline struct weir_address address_from_v4(__be32 v4)
{
	return (struct weir_address){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline int listener_matches(const struct weir_listener_key *a,
					    const struct weir_listener_key *b)
{
	return a->address.word[3] == b->address.word[3] && a->port == b->port &&
	       a->protocol == b->protocol && a->address.word[2] == b->address.word[2] &&
	       a->address.word[1] == b->address.word[1] && a->address.word[0] == b->address.word[0];
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
 * The service that @packet is for: its id, or 0. Not inlined, nor is the next one: their keys would
 * lie on the stack below all that a new flow needs, and 512 bytes are all there is.
 */
static __noinline __u32 service_find(const struct packet *packet)
{
	struct weir_listener_key key = {
		.address = address_from_v4(packet->tuple.destination),
		.port = packet->tuple.destination_port,
		.protocol = packet->tuple.protocol,
	};
	struct weir_listener *place = listener_find(&key);

	return place ? place->service : 0;
}

/* Is @address a service's that this host does not have, so that weir is to answer its pings? */
static __noinline int address_echoes(__be32 address)
{
	struct weir_listener_key key = { .address = address_from_v4(address) };
	struct weir_listener *place = listener_find(&key);

	return place && (place->flags & WEIR_LISTENER_ECHO);
}

/*
 * Does a malformed packet concern a service? If its ports could be read, the service itself counts,
 * else its address.
 */
static __noinline int service_concerned(const struct packet *packet)
{
	struct weir_listener_key key = { .address = address_from_v4(packet->tuple.destination) };

	if (packet->has_ports) {
		key.port = packet->tuple.destination_port;
		key.protocol = packet->tuple.protocol;
	}
	return listener_find(&key) != NULL;
}
