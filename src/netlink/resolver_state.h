/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/netlink/resolver.h"
#include "src/netlink/rtnl.h"
#include "src/netlink/table.h"

/*
 * What the files of the resolver share. Messages only change tables and put what they touched on a
 * list; resolver_settle() then asks the kernel for the truth and tells the owner. Its callbacks run
 * last, from lists that are popped, so that they may call the resolver again.
 */

/* AF_INET and AF_INET6. */
#define FAMILIES 2

struct link {
	struct table_node node;
	struct list all;
	struct list changed;
	struct rtnl_link now;
	struct rtnl_link told;
	bool watched;
	bool seen;
	int forwarding[FAMILIES]; /* -1: not known */
	int told_forwarding[FAMILIES];
};

struct neighbour {
	struct table_node node;
	struct list all; /* or the idle ones: nobody resolves through it */
	struct list dirty;
	struct list targets;
	struct weir_address address;
	uint32_t ifindex;
	int error;    /* of the last attempt to look at it or to add it */
	bool foreign; /* somebody else's entry (PERMANENT, NOARP, learned): followed, not touched */
	bool failed;
	bool probe; /* its interface came up: do not wait for the kernel's next attempt */
	bool mac_known;
	uint8_t mac[6];
};

struct target {
	struct table_node node;
	struct list all;
	struct list changed;
	struct list of_neighbour;
	struct neighbour *neighbour; /* NULL: none is needed or possible */
	struct weir_address address;
	uint32_t gateway_ifindex; /* 0: added by the owner */
	struct rtnl_route route;
	int error; /* of the route */
	bool seen;
	bool told_once;
	struct resolver_hop told;
};

struct host_address {
	struct table_node node;
	struct list all;
	struct rtnl_address now;
	bool told; /* of all that have this address, the one that the owner was told for */
	bool seen;
};

struct resolver {
	struct resolver_events events;
	void *user;
	bool leaves; /* its neighbour entries are not removed with it */
	struct rtnl requests;
	struct rtnl notifications;
	struct table links, neighbours, targets, addresses;
	struct list all_links, changed_links, gone_links;
	struct list all_neighbours, dirty_neighbours, idle_neighbours;
	struct list all_targets, all_gateways, changed_targets, gone_gateways;
	struct list all_addresses, fresh_addresses, gone_addresses;
	bool routes_stale;
	bool everything_stale;
};

extern const uint8_t resolver_families[FAMILIES];

/* resolver.c */
/* Brings everything that is stale up to date and tells the owner. */
int resolver_settle(struct resolver *resolver);
struct target *resolver_find_target(const struct resolver *resolver,
				    const struct weir_address *address, uint32_t gateway_ifindex);
int resolver_new_target(struct resolver *resolver, const struct weir_address *address,
			uint32_t gateway_ifindex, struct target **ret);

/* resolver_gateways.c */
/* Finds the gateways of all routes through watched interfaces; does not resolve them. */
int gateways_refresh(struct resolver *resolver);

/* resolver_neighbours.c */
struct neighbour *neighbour_find(const struct resolver *resolver,
				 const struct weir_address *address, uint32_t ifindex);
/* Makes @target use the neighbour, which is created and managed if it is new. */
int neighbour_acquire(struct resolver *resolver, struct target *target,
		      const struct weir_address *address, uint32_t ifindex);
void neighbour_release(struct resolver *resolver, struct target *target);
/* Asks a resolved neighbour of ours now. */
void neighbour_probe(struct resolver *resolver, const struct neighbour *neighbour);
/* Does @entry tell something that is not known of @neighbour yet? */
bool neighbour_differs(const struct neighbour *neighbour, const struct rtnl_neighbour *entry);
void neighbours_inspect_dirty(struct resolver *resolver);
/* Finds entries that look like ours but belong to no neighbour here: nobody uses them. */
int neighbours_find_leftovers(struct resolver *resolver);
/* Removes the entries of neighbours that nobody uses any more. */
void neighbours_purge(struct resolver *resolver);

/* resolver_host.c: the links and the addresses of this host. */
struct link *link_lookup(const struct resolver *resolver, uint32_t ifindex);
/* The same, but asks the kernel for one that is not known yet. NULL: there is none. */
struct link *link_find(struct resolver *resolver, uint32_t ifindex);
int link_update(struct resolver *resolver, const struct rtnl_link *now);
/* Starts to follow an interface; -ENODEV: there is none. */
int link_watch(struct resolver *resolver, uint32_t ifindex);
void link_drop(struct resolver *resolver, uint32_t ifindex);
void link_set_forwarding(struct resolver *resolver, const struct rtnl_netconf *now);
/*
 * What sends the frames of @link: of the devices that it lies on as a VLAN device, itself included,
 * the lowest one that is watched; if none is, the lowest one.
 */
const struct link *link_device(const struct resolver *resolver, const struct link *link);
int address_update(struct resolver *resolver, const struct rtnl_address *now);
void address_drop(struct resolver *resolver, const struct rtnl_address *gone);
/* Reads links, addresses and forwarding anew. */
int host_refresh(struct resolver *resolver);
void host_tell(struct resolver *resolver);
void host_free(struct resolver *resolver);
