// SPDX-License-Identifier: GPL-2.0-only
#include "abi/hash.h"
#include "src/base/address.h"
#include "src/daemon/internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* What addresses this host has, and who answers the pings of service addresses: it or weir. */

static struct weir_address *find(const struct daemon *daemon, const struct weir_address *address)
{
	for (size_t i = 0; i < daemon->host_address_count; i++)
		if (address_equal(&daemon->host_addresses[i], address))
			return &daemon->host_addresses[i];
	return NULL;
}

bool host_address_has(const struct daemon *daemon, const struct weir_address *address)
{
	return find(daemon, address) != NULL;
}

/* Services listen on it. Backends may have it, too: they would answer themselves. */
static bool is_service(const struct daemon *daemon, const struct weir_address *address)
{
	const union weir_range live = daemon->listeners;
	const struct weir_listener_key key = { .address = *address, .used = 1 };
	uint32_t home = weir_listener_hash(&key);

	for (uint32_t i = 0; live.length && i < WEIR_LISTENER_PROBES; i++) {
		uint32_t place = live.offset + ((home + i) & (live.length - 1));

		if (!memcmp(&daemon->tables->listeners[place].key, &key, sizeof(key)))
			return true;
	}
	return false;
}

/* Only this host, or its link, knows it. */
static bool is_local(const struct weir_address *address)
{
	uint32_t first = ntohl(address->word[0]);

	if (address_is_v4(address))
		return ntohl(address_to_v4(address)) >> 24 == 127 ||
		       ntohl(address_to_v4(address)) >> 16 == 0xa9fe;
	return first >> 22 == 0xfe80 >> 6 || (!first && !address->word[1] && !address->word[2]);
}

static unsigned int common_bits(const struct weir_address *a, const struct weir_address *b)
{
	for (unsigned int i = 0; i < 4; i++) {
		uint32_t differ = ntohl(a->word[i] ^ b->word[i]);

		if (differ)
			return 32 * i + (unsigned int)__builtin_clz(differ);
	}
	return 128;
}

struct weir_address host_address_near(const struct daemon *daemon,
				      const struct weir_address *address)
{
	struct weir_address best = {};

	for (size_t i = 0; i < daemon->host_address_count; i++) {
		const struct weir_address *own = &daemon->host_addresses[i];

		if (address_is_v4(own) != address_is_v4(address) || address_equal(own, address) ||
		    is_local(own) || is_service(daemon, own))
			continue;
		if (address_is_zero(&best) ||
		    common_bits(own, address) > common_bits(&best, address))
			best = *own;
	}
	return best;
}

/* Without memory an address is missing: a warning too many, and weir answers its pings. */
void host_address_event(struct daemon *daemon, const struct weir_address *address, bool present)
{
	struct weir_address *known = find(daemon, address), *grown;

	daemon->echo_stale = true;
	if (known && !present)
		*known = daemon->host_addresses[--daemon->host_address_count];
	if (known || !present)
		return;
	grown = reallocarray(daemon->host_addresses, daemon->host_address_count + 1,
			     sizeof(*grown));
	if (!grown)
		return;
	daemon->host_addresses = grown;
	grown[daemon->host_address_count++] = *address;
}

void host_address_mark(const struct daemon *daemon, struct weir_listener *table, uint32_t length)
{
	for (uint32_t i = 0; daemon->addresses_known && i < length; i++) {
		const struct weir_listener_key *key = &table[i].key;
		uint32_t flags;

		if (!key->used || key->port || key->protocol)
			continue;
		flags = find(daemon, &key->address) ? 0 : WEIR_LISTENER_ECHO;
		if (table[i].flags != flags)
			__atomic_store_n(&table[i].flags, flags, __ATOMIC_RELAXED);
	}
}

/* In the live table itself: nobody but the answer to a ping looks at these flags. */
void host_address_follow(struct daemon *daemon)
{
	if (!daemon->echo_stale)
		return;
	daemon->echo_stale = false;
	host_address_mark(daemon, &daemon->tables->listeners[daemon->listeners.offset],
			  daemon->listeners.length);
}
