// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"

#include <errno.h>
#include <string.h>

void gateways_take(struct daemon *daemon, const struct resolver_hop *state)
{
	struct weir_gateway_key key = { .address = state->target, .ifindex = state->ifindex };
	uint16_t id = hops_add(&daemon->hops, &state->target, state->ifindex);
	char address[ENDPOINT_STRING_SIZE];
	int err = -ENOSPC;

	if (id) {
		network_take_hop(daemon, id, state);
		err = datapath_set_gateway(daemon->datapath, &key, id);
	}
	if (err < 0)
		log_error("no room for the gateway %s (%s): clients behind it are not served",
			  address_format(&state->target, address), strerror(-err));
}

/* Flows keep its id, so the id stays: each of them asks its route when it has something to send. */
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
	hop_doubt(&daemon->tables->hops[id]);
	if (daemon->ready)
		log_info("gateway %s: in no route any more", address_format(address, text));
}
