// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/internal.h"

#include <stdlib.h>

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
