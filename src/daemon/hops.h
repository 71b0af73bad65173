/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/config.h"
#include "src/netlink/resolver.h"

/*
 * Ids of next hops. A backend's hop is keyed by its address alone: when its route moves to another
 * interface, the hop moves in place and its flows with it. A gateway's hop is keyed by address and
 * interface. A gateway's id is never given to another key, because flows hold it for as long as they
 * live; that of a backend is when all its backends and their flows are gone.
 */
struct hop {
	struct weir_address address;
	uint32_t ifindex; /* of a gateway's key; 0: backend */
	uint16_t next;    /* in the same bucket */
	bool known;       /* `state` was told */
	bool logged;      /* as follows */
	bool logged_usable;
	uint8_t logged_mac[6];
	uint32_t first_backend; /* id; the list goes on in struct backend */
	struct hop_path {
		uint32_t mtu;        /* as a router told (path_mtu.h); 0: none did */
		unsigned int silent; /* so often it was asked for since */
		bool asked;          /* in this minute */
	} path;
	struct resolver_hop state;
};

struct hops {
	struct hop *entries; /* indexed by id; 0 is never used */
	uint16_t *buckets;
	uint32_t mask;
	uint16_t free; /* ids that were removed, a list by `next` */
	uint32_t used;
	uint32_t size;
};

/* @size: ids, the unused 0 included, at most 65536. -ENOMEM leaves @hops zeroed. */
int hops_init(struct hops *hops, uint32_t size);
void hops_free(struct hops *hops); /* zeroed ones too */

uint16_t hops_find(const struct hops *hops, const struct weir_address *address, uint32_t ifindex);
/* Finds or makes one; 0: all ids are taken. */
uint16_t hops_add(struct hops *hops, const struct weir_address *address, uint32_t ifindex);

/* The key that an earlier daemon has given @id to. -EINVAL: no such id, or another's. */
int hops_adopt(struct hops *hops, uint16_t id, const struct weir_address *address,
	       uint32_t ifindex);
/* Ids below @used are not given to anybody: flows may hold them. */
void hops_reserve(struct hops *hops, uint32_t used);
/* But no flow holds this one, and it is given away, unless it was adopted. Once at most. */
void hops_offer(struct hops *hops, uint16_t id);
/* No flow holds it any more. */
void hops_remove(struct hops *hops, uint16_t id);

/* A backend behind it may get new flows. If not, *why (borrowed) tells the reason. */
bool hop_usable(const struct hop *hop, bool need_source, const char **why);

/* Are both the route and the MAC address known? */
bool hop_has_way(const struct resolver_hop *hop);

/*
 * Writes what is known into the datapath's entry. Without a way the entry keeps what it has: the last good
 * one is better than none.
 */
void hop_write(struct weir_hop *entry, const struct resolver_hop *hop);

/* Flows through this gateway are to ask their route again; those that find no other go on with it. */
void hop_doubt(struct weir_hop *entry);

/* The on-link hop of an interface: its own address, the client's MAC. */
void hop_write_on_link(struct weir_hop *entry, const uint8_t mac[6], uint32_t ifindex,
		       uint32_t mtu);
