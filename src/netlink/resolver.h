/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/base/address.h"
#include "src/base/error.h"

/*
 * Where packets for an address leave this host, kept true by rtnetlink: route and address events
 * re-resolve every target, a neighbour event counts only if a MAC address appeared, changed or
 * vanished. Neighbours are kept resolved by the kernel (NTF_EXT_MANAGED | NTF_EXT_LEARNED; PERMANENT
 * entries are never touched), and put back when somebody flushes them. Nothing blocks for long, no
 * thread, no timer: the owner polls resolver_fd() and calls resolver_dispatch().
 *
 * Targets are the addresses that the owner adds (backends), and by themselves the gateways of all
 * routes that leave through a watched interface or a VLAN device on one.
 *
 * Every callback may call the resolver, except resolver_free().
 */
struct resolver;

struct resolver_hop {
	struct weir_address target;
	bool gateway;   /* found in a route, not added by the owner */
	bool reachable; /* a route exists, and its neighbour's MAC address is known and not FAILED */
	bool local;     /* the address is this host's own */
	uint8_t mac[6]; /* of the neighbour; kept after a flush until another one is known */
	uint8_t source_mac[6];
	uint32_t ifindex; /* egress of the route; 0: no route */
	uint32_t device;  /* sends the frames: `ifindex`, or what lies below a VLAN device */
	uint16_t vlan;    /* tag of the egress, if that is not `device` itself; 0: none */
	uint32_t mtu;     /* of route or link */
	struct weir_address source; /* RTA_PREFSRC of the route; zero: none, or a gateway */
	char why[96];               /* !reachable: the reason, in words; else empty */
};

struct resolver_events {
	/* Something in @hop differs from what was told last time (the first time always). */
	void (*hop)(const struct resolver_hop *hop, void *user);
	/* A gateway is in no route any more. */
	void (*gateway_gone)(const struct weir_address *address, uint32_t ifindex, void *user);
	/* A watched interface went down, came up, changed its MAC address or vanished (ifindex 0). */
	void (*link)(const char *name, uint32_t ifindex, bool up, void *user);
	/*
	 * net.ipv4.conf.IF.forwarding (@family AF_INET) or that of net.ipv6 (AF_INET6) of a watched
	 * interface was changed by somebody, the owner included (RTM_NEWNETCONF).
	 */
	void (*forwarding)(uint32_t ifindex, uint8_t family, bool on, void *user);
	/*
	 * An address of this host came (true) or went; the first ones from within resolver_new(). One
	 * that is tested for a duplicate comes when that is over.
	 */
	void (*address)(const struct weir_address *address, bool present, void *user);
};

int resolver_new(const struct resolver_events *events, void *user, struct resolver **ret,
		 struct error *error);
/* Removes the neighbour entries that this resolver made. NULL is allowed. */
void resolver_free(struct resolver *resolver);
/* The same, but leaves its neighbour entries: somebody still sends packets by them. */
void resolver_leave(struct resolver *resolver);

/*
 * Interfaces whose gateways, link state and forwarding are of interest. Gateways that exist are told
 * before this returns. -ENODEV: there is no such interface.
 */
int resolver_watch(struct resolver *resolver, uint32_t ifindex);
/*
 * Each address once; added twice is one target and calls back once. The callback runs before this
 * returns; an unreachable address is not an error. Removing an unknown one: -ENOENT.
 */
int resolver_add(struct resolver *resolver, const struct weir_address *address);
int resolver_remove(struct resolver *resolver, const struct weir_address *address);
/*
 * Removes the neighbour entries that a killed process has left and that are of no use to the targets
 * there are now. Another living process makes its own again at once.
 */
int resolver_remove_leftovers(struct resolver *resolver);

/*
 * For a target that seems to have fallen silent: the kernel asks its neighbour at once, and knows after
 * three seconds, not after up to a minute, if it is gone.
 */
void resolver_probe(struct resolver *resolver, const struct weir_address *address);

int resolver_fd(const struct resolver *resolver);
/* Handles all that waits on the socket. Negative errno: the socket is unusable. */
int resolver_dispatch(struct resolver *resolver);
