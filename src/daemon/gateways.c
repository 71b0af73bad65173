// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"

#include <errno.h>
#include <string.h>

/* Gateways whose place @heir took go its way. */
static void write_gone(struct daemon *daemon, uint16_t heir)
{
	for (uint32_t id = 1; heir && id < daemon->hops.used; id++)
		if (daemon->hops.entries[id].gone && daemon->hops.entries[id].heir == heir)
			hop_write(&daemon->tables->hops[id], &daemon->hops.entries[heir].state);
}

/* The heir of those gone gateways of @ifindex that had @before. */
static void set_heir(struct daemon *daemon, uint32_t ifindex, uint16_t before, uint16_t heir)
{
	for (uint32_t id = 1; id < daemon->hops.used; id++) {
		struct hop *hop = &daemon->hops.entries[id];

		if (hop->gone && hop->ifindex == ifindex && hop->heir == before)
			hop->heir = heir;
	}
}

void gateways_take(struct daemon *daemon, const struct resolver_hop *state)
{
	struct weir_gateway_key key = { .address = state->target, .ifindex = state->ifindex };
	uint16_t id = hops_add(&daemon->hops, &state->target, state->ifindex);
	char address[ENDPOINT_STRING_SIZE];
	int err = -ENOSPC;
	struct hop *hop;

	if (id)
		err = datapath_set_gateway(daemon->datapath, &key, id);
	if (err < 0) {
		log_error("no room for the gateway %s (%s): clients behind it are not served",
			  address_format(&state->target, address), strerror(-err));
		return;
	}
	hop = &daemon->hops.entries[id];
	if (!hop->known) {
		hop->came = ++daemon->gateways_seen;
		hop->gone = false;
		set_heir(daemon, hop->ifindex, 0, id);
	}
	network_take_hop(daemon, id, state);
	write_gone(daemon, id);
}

/* The gateway of the same interface that came last, if that was after this one. */
static uint16_t find_heir(const struct daemon *daemon, const struct hop *gone)
{
	const struct hop *entries = daemon->hops.entries;
	uint32_t last = gone->came;
	uint16_t heir = 0;

	for (uint32_t id = 1; id < daemon->hops.used; id++) {
		if (!entries[id].known || entries[id].ifindex != gone->ifindex ||
		    entries[id].came <= last)
			continue;
		last = entries[id].came;
		heir = id;
	}
	return heir;
}

/*
 * Flows keep its id, so the id stays: they go the way of the gateway that took its place, or, as long
 * as there is none, still this one's.
 */
void gateways_gone(struct daemon *daemon, const struct weir_address *address, uint32_t ifindex)
{
	struct weir_gateway_key key = { .address = *address, .ifindex = ifindex };
	uint16_t id = hops_find(&daemon->hops, address, ifindex);
	char text[ENDPOINT_STRING_SIZE];
	struct hop *hop;

	if (!id)
		return;
	datapath_set_gateway(daemon->datapath, &key, 0);
	hop = &daemon->hops.entries[id];
	hop->known = false;
	hop->logged = false;
	hop->gone = true;
	hop->heir = id;
	set_heir(daemon, ifindex, id, find_heir(daemon, hop));
	write_gone(daemon, hop->heir);
	if (daemon->ready)
		log_info("gateway %s: in no route any more", address_format(address, text));
}
