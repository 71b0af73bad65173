// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/netlink/resolver_state.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	RACES = 4,
	STATES_FIXED = NUD_PERMANENT | NUD_NOARP,
	STATES_VALID = STATES_FIXED | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY,
};

static bool entry_is_foreign(const struct rtnl_neighbour *entry)
{
	if (entry->state & STATES_FIXED)
		return true;
	return (entry->learned || entry->managed) && entry->protocol != RTNL_NEIGHBOUR_PROTOCOL;
}

static bool entry_is_ours(const struct rtnl_neighbour *entry)
{
	return entry->learned && entry->managed && !entry_is_foreign(entry);
}

static bool entry_is_valid(const struct rtnl_neighbour *entry)
{
	return entry->has_mac && (entry->state & STATES_VALID);
}

struct neighbour *neighbour_find(const struct resolver *resolver,
				 const struct weir_address *address, uint32_t ifindex)
{
	struct table_node *node = table_first(&resolver->neighbours, table_hash(address, ifindex));

	for (; node; node = table_next(node)) {
		struct neighbour *neighbour = CONTAINER_OF(node, struct neighbour, node);

		if (neighbour->ifindex == ifindex && address_equal(&neighbour->address, address))
			return neighbour;
	}
	return NULL;
}

bool neighbour_differs(const struct neighbour *neighbour, const struct rtnl_neighbour *entry)
{
	bool foreign = entry_is_foreign(entry);

	/*
	 * A deletion announces FAILED first, without the flags. Somebody's plain entry instead of
	 * ours looks alike. Both are mended by making the entry ours again.
	 */
	if (!foreign && !entry_is_ours(entry))
		return true;
	if (foreign != neighbour->foreign)
		return true;
	if (entry_is_valid(entry))
		return neighbour->failed || !neighbour->mac_known ||
		       memcmp(neighbour->mac, entry->mac, sizeof(entry->mac)) != 0;
	return (entry->state & NUD_FAILED) && !neighbour->failed;
}

static void take_entry(struct neighbour *neighbour, const struct rtnl_neighbour *entry)
{
	neighbour->foreign = entry_is_foreign(entry);
	if (entry_is_valid(entry)) {
		memcpy(neighbour->mac, entry->mac, sizeof(neighbour->mac));
		neighbour->mac_known = true;
		neighbour->failed = false;
	} else if ((entry->state & NUD_FAILED) && (neighbour->foreign || entry_is_ours(entry))) {
		neighbour->failed = true;
	}
}

/* Returns -EAGAIN if somebody else made or removed the entry in between. */
static int inspect_once(struct rtnl *requests, struct neighbour *neighbour)
{
	const struct weir_address *address = &neighbour->address;
	uint32_t ifindex = neighbour->ifindex;
	struct rtnl_neighbour entry;
	bool manage;
	int error = rtnl_get_neighbour(requests, address, ifindex, &entry);

	if (error == -ENOENT) {
		neighbour->foreign = false;
		error = rtnl_manage_neighbour(requests, address, ifindex, true);
		return error == -EEXIST ? -EAGAIN : error;
	}
	if (error < 0)
		return error;
	manage = !entry_is_foreign(&entry) &&
		 (!entry_is_ours(&entry) || (neighbour->probe && !entry_is_valid(&entry)));
	if (manage)
		error = rtnl_manage_neighbour(requests, address, ifindex, false);
	if (error == -ENOENT)
		return -EAGAIN;
	take_entry(neighbour, &entry);
	return error;
}

static void inspect(struct resolver *resolver, struct neighbour *neighbour)
{
	const struct link *link = link_find(resolver, neighbour->ifindex);

	/* The kernel forgets the entries of an interface that is down; its coming up leads here. */
	if (!link || !link->now.running)
		return;
	neighbour->error = -EAGAIN;
	for (int i = 0; i < RACES && neighbour->error == -EAGAIN; i++)
		neighbour->error = inspect_once(&resolver->requests, neighbour);
	neighbour->probe = false;
}

void neighbours_inspect_dirty(struct resolver *resolver)
{
	struct list *node;

	while ((node = list_pop(&resolver->dirty_neighbours))) {
		struct neighbour *neighbour = CONTAINER_OF(node, struct neighbour, dirty);
		bool had_failed = neighbour->failed;

		inspect(resolver, neighbour);
		LIST_FOR_EACH(place, &neighbour->targets) {
			struct target *target = CONTAINER_OF(place, struct target, of_neighbour);

			list_move(&resolver->changed_targets, &target->changed);
			/* The route may have another next hop (net.ipv4.fib_multipath_use_neigh). */
			if (neighbour->failed && !had_failed &&
			    !address_is_zero(&target->route.gateway))
				resolver->routes_stale = true;
		}
	}
}

static struct neighbour *neighbour_make(struct resolver *resolver,
					const struct weir_address *address, uint32_t ifindex)
{
	struct neighbour *neighbour = calloc(1, sizeof(*neighbour));

	if (!neighbour)
		return NULL;
	neighbour->address = *address;
	neighbour->ifindex = ifindex;
	list_init(&neighbour->all);
	list_init(&neighbour->dirty);
	list_init(&neighbour->targets);
	if (table_insert(&resolver->neighbours, &neighbour->node, table_hash(address, ifindex)) <
	    0) {
		free(neighbour);
		return NULL;
	}
	return neighbour;
}

int neighbour_acquire(struct resolver *resolver, struct target *target,
		      const struct weir_address *address, uint32_t ifindex)
{
	struct neighbour *neighbour = neighbour_find(resolver, address, ifindex);

	if (neighbour && neighbour == target->neighbour)
		return 0;
	if (!neighbour) {
		neighbour = neighbour_make(resolver, address, ifindex);
		if (neighbour)
			inspect(resolver, neighbour);
	}
	neighbour_release(resolver, target);
	if (!neighbour)
		return -ENOMEM;
	list_move(&resolver->all_neighbours, &neighbour->all);
	list_move(&neighbour->targets, &target->of_neighbour);
	target->neighbour = neighbour;
	return 0;
}

void neighbour_release(struct resolver *resolver, struct target *target)
{
	struct neighbour *neighbour = target->neighbour;

	if (!neighbour)
		return;
	target->neighbour = NULL;
	list_remove(&target->of_neighbour);
	/* It stays a little, and its MAC address with it: the next target may come to use it. */
	if (list_empty(&neighbour->targets))
		list_move(&resolver->idle_neighbours, &neighbour->all);
}

void neighbour_probe(struct resolver *resolver, const struct neighbour *neighbour)
{
	struct rtnl_neighbour entry;

	if (rtnl_get_neighbour(&resolver->requests, &neighbour->address, neighbour->ifindex,
			       &entry) < 0 ||
	    !entry_is_ours(&entry) || !entry_is_valid(&entry))
		return;
	/* NUD_PROBE would ask for seconds at the old MAC address only, before it asks everybody. */
	rtnl_forget_neighbour(&resolver->requests, &neighbour->address, neighbour->ifindex);
	/* If this fails, the event of the probe leads to another attempt. */
	rtnl_manage_neighbour(&resolver->requests, &neighbour->address, neighbour->ifindex, false);
}

static int take_leftover(const struct nlmsghdr *message, void *data)
{
	struct resolver *resolver = data;
	struct rtnl_neighbour entry;
	struct neighbour *neighbour;

	if (!rtnl_parse_neighbour(message, &entry) || !entry_is_ours(&entry) ||
	    neighbour_find(resolver, &entry.address, entry.ifindex))
		return 0;
	neighbour = neighbour_make(resolver, &entry.address, entry.ifindex);
	if (!neighbour)
		return -ENOMEM;
	list_move(&resolver->idle_neighbours, &neighbour->all);
	return 0;
}

int neighbours_find_leftovers(struct resolver *resolver)
{
	int error = 0;

	for (int i = 0; i < FAMILIES && error == 0; i++)
		error = rtnl_dump(&resolver->requests, RTM_GETNEIGH, resolver_families[i],
				  take_leftover, resolver);
	return error;
}

static void remove_entry(struct rtnl *requests, const struct neighbour *neighbour)
{
	struct rtnl_neighbour entry;

	if (rtnl_get_neighbour(requests, &neighbour->address, neighbour->ifindex, &entry) < 0)
		return;
	if (entry_is_ours(&entry))
		rtnl_delete_neighbour(requests, &neighbour->address, neighbour->ifindex);
}

void neighbours_purge(struct resolver *resolver)
{
	struct list *node;

	while ((node = list_pop(&resolver->idle_neighbours))) {
		struct neighbour *neighbour = CONTAINER_OF(node, struct neighbour, all);

		if (!resolver->leaves)
			remove_entry(&resolver->requests, neighbour);
		list_remove(&neighbour->dirty);
		table_remove(&resolver->neighbours, &neighbour->node);
		free(neighbour);
	}
}
