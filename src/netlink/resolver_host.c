// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/netlink/resolver_state.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { LINKS_STACKED = 8 };

static const struct weir_address no_address;

struct link *link_lookup(const struct resolver *resolver, uint32_t ifindex)
{
	struct table_node *node = table_first(&resolver->links, table_hash(&no_address, ifindex));

	for (; node; node = table_next(node)) {
		struct link *link = CONTAINER_OF(node, struct link, node);

		if (link->now.ifindex == ifindex)
			return link;
	}
	return NULL;
}

struct link *link_find(struct resolver *resolver, uint32_t ifindex)
{
	struct link *link = link_lookup(resolver, ifindex);
	struct rtnl_link now;

	/* Newer than the last event that was read. */
	if (!link && rtnl_get_link(&resolver->requests, ifindex, &now) == 0 &&
	    link_update(resolver, &now) == 0)
		link = link_lookup(resolver, ifindex);
	return link;
}

static int link_new(struct resolver *resolver, const struct rtnl_link *now)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	*link = (struct link){ .now = *now, .told = *now, .seen = true };
	for (int i = 0; i < FAMILIES; i++)
		link->forwarding[i] = link->told_forwarding[i] = -1;
	list_init(&link->all);
	list_init(&link->changed);
	if (table_insert(&resolver->links, &link->node, table_hash(&no_address, now->ifindex)) <
	    0) {
		free(link);
		return -ENOMEM;
	}
	list_move(&resolver->all_links, &link->all);
	resolver->routes_stale = true;
	return 0;
}

static bool link_same(const struct rtnl_link *a, const struct rtnl_link *b)
{
	return a->mtu == b->mtu && a->lower == b->lower && a->vlan == b->vlan &&
	       a->ethernet == b->ethernet && a->admin_up == b->admin_up &&
	       a->running == b->running && !memcmp(a->mac, b->mac, sizeof(a->mac)) &&
	       !strcmp(a->name, b->name);
}

int link_update(struct resolver *resolver, const struct rtnl_link *now)
{
	struct link *link = link_lookup(resolver, now->ifindex);
	bool came_up;

	if (!link)
		return link_new(resolver, now);
	link->seen = true;
	if (link_same(&link->now, now))
		return 0;
	came_up = now->running && !link->now.running;
	link->now = *now;
	list_move(&resolver->changed_links, &link->changed);
	resolver->routes_stale = true;
	if (!came_up)
		return 0;
	LIST_FOR_EACH(node, &resolver->all_neighbours) {
		struct neighbour *neighbour = CONTAINER_OF(node, struct neighbour, all);

		if (neighbour->ifindex == now->ifindex) {
			neighbour->probe = true;
			list_move(&resolver->dirty_neighbours, &neighbour->dirty);
		}
	}
	return 0;
}

static void link_gone(struct resolver *resolver, struct link *link)
{
	table_remove(&resolver->links, &link->node);
	list_remove(&link->changed);
	list_move(&resolver->gone_links, &link->all);
	resolver->routes_stale = true;
}

void link_drop(struct resolver *resolver, uint32_t ifindex)
{
	struct link *link = link_lookup(resolver, ifindex);

	if (link)
		link_gone(resolver, link);
}

const struct link *link_device(const struct resolver *resolver, const struct link *link)
{
	const struct link *device = link;
	bool watched = false;

	/* The kernel does not let them lie on each other in a circle, but events come one by one. */
	for (int i = 0; link && i < LINKS_STACKED; i++) {
		if (link->watched || !watched)
			device = link;
		watched |= link->watched;
		link = link->now.lower ? link_lookup(resolver, link->now.lower) : NULL;
	}
	return device;
}

void link_set_forwarding(struct resolver *resolver, const struct rtnl_netconf *now)
{
	struct link *link = link_lookup(resolver, now->ifindex);
	int family = 0;

	while (family < FAMILIES && resolver_families[family] != now->family)
		family++;
	if (!link || family == FAMILIES || link->forwarding[family] == now->forwarding)
		return;
	link->forwarding[family] = now->forwarding;
	list_move(&resolver->changed_links, &link->changed);
}

static int link_refresh_forwarding(struct resolver *resolver, struct link *link)
{
	struct rtnl_netconf netconf;

	for (int i = 0; i < FAMILIES; i++) {
		int error = rtnl_get_netconf(&resolver->requests, resolver_families[i],
					     link->now.ifindex, &netconf);

		if (error == 0)
			link_set_forwarding(resolver, &netconf);
		/* A kernel or an interface may be without IPv6. */
		else if (resolver_families[i] == AF_INET)
			return error;
	}
	return 0;
}

int link_watch(struct resolver *resolver, uint32_t ifindex)
{
	struct link *link = link_find(resolver, ifindex);
	int error;

	if (!link)
		return -ENODEV;
	if (link->watched)
		return 0;
	error = link_refresh_forwarding(resolver, link);
	if (error < 0)
		return error;
	memcpy(link->told_forwarding, link->forwarding, sizeof(link->forwarding));
	link->watched = true;
	resolver->routes_stale = true;
	return 0;
}

static struct host_address *address_next(struct table_node *node,
					 const struct weir_address *address)
{
	for (; node; node = table_next(node)) {
		struct host_address *candidate = CONTAINER_OF(node, struct host_address, node);

		if (address_equal(&candidate->now.address, address))
			return candidate;
	}
	return NULL;
}

static struct host_address *address_first(const struct resolver *resolver,
					  const struct weir_address *address)
{
	return address_next(table_first(&resolver->addresses, table_hash(address, 0)), address);
}

#define ADDRESS_FOR_EACH(entry, resolver, address)                                                 \
	for (struct host_address *entry = address_first(resolver, address); entry;                 \
	     entry = address_next(table_next(&entry->node), address))

static struct host_address *address_lookup(const struct resolver *resolver,
					   const struct rtnl_address *now)
{
	ADDRESS_FOR_EACH(entry, resolver, &now->address)
		if (entry->now.ifindex == now->ifindex && entry->now.prefix == now->prefix)
			return entry;
	return NULL;
}

static void address_gone(struct resolver *resolver, struct host_address *entry)
{
	table_remove(&resolver->addresses, &entry->node);
	list_move(&resolver->gone_addresses, &entry->all);
	resolver->routes_stale = true;
}

void address_drop(struct resolver *resolver, const struct rtnl_address *gone)
{
	struct host_address *entry = address_lookup(resolver, gone);

	if (entry)
		address_gone(resolver, entry);
}

int address_update(struct resolver *resolver, const struct rtnl_address *now)
{
	struct host_address *entry = address_lookup(resolver, now);

	if (!now->valid) {
		address_drop(resolver, now);
		return 0;
	}
	if (entry) {
		entry->seen = true;
		/* The kernel prefers others as sources now. */
		if (entry->now.deprecated != now->deprecated)
			resolver->routes_stale = true;
		entry->now = *now;
		return 0;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->now = *now;
	entry->seen = true;
	list_init(&entry->all);
	if (table_insert(&resolver->addresses, &entry->node, table_hash(&now->address, 0)) < 0) {
		free(entry);
		return -ENOMEM;
	}
	list_move(&resolver->fresh_addresses, &entry->all);
	resolver->routes_stale = true;
	return 0;
}

static int take_link(const struct nlmsghdr *message, void *data)
{
	struct rtnl_link link;

	return rtnl_parse_link(message, &link) ? link_update(data, &link) : 0;
}

static int take_address(const struct nlmsghdr *message, void *data)
{
	struct rtnl_address address;

	return rtnl_parse_address(message, &address) ? address_update(data, &address) : 0;
}

static int links_refresh(struct resolver *resolver)
{
	int error;

	LIST_FOR_EACH(node, &resolver->all_links)
		CONTAINER_OF(node, struct link, all)->seen = false;
	error = rtnl_dump(&resolver->requests, RTM_GETLINK, AF_UNSPEC, take_link, resolver);
	if (error < 0)
		return error;
	LIST_FOR_EACH(node, &resolver->all_links)
		if (!CONTAINER_OF(node, struct link, all)->seen)
			link_gone(resolver, CONTAINER_OF(node, struct link, all));
	return 0;
}

static int addresses_refresh(struct resolver *resolver)
{
	int error;

	LIST_FOR_EACH(node, &resolver->all_addresses)
		CONTAINER_OF(node, struct host_address, all)->seen = false;
	for (int i = 0; i < FAMILIES; i++) {
		error = rtnl_dump(&resolver->requests, RTM_GETADDR, resolver_families[i],
				  take_address, resolver);
		if (error < 0)
			return error;
	}
	LIST_FOR_EACH(node, &resolver->all_addresses)
		if (!CONTAINER_OF(node, struct host_address, all)->seen)
			address_gone(resolver, CONTAINER_OF(node, struct host_address, all));
	return 0;
}

int host_refresh(struct resolver *resolver)
{
	int error = links_refresh(resolver);

	if (error == 0)
		error = addresses_refresh(resolver);
	if (error < 0)
		return error;
	LIST_FOR_EACH(node, &resolver->all_links) {
		struct link *link = CONTAINER_OF(node, struct link, all);

		/* One that just vanished is not an error: its event will tell. */
		if (link->watched)
			link_refresh_forwarding(resolver, link);
	}
	return 0;
}

static void tell_link(struct resolver *resolver, struct link *link)
{
	const struct resolver_events *events = &resolver->events;
	struct rtnl_link now = link->now;
	bool link_differs = now.running != link->told.running ||
			    memcmp(now.mac, link->told.mac, sizeof(now.mac)) != 0;
	int forwarding[FAMILIES];
	bool differs[FAMILIES];

	memcpy(forwarding, link->forwarding, sizeof(forwarding));
	for (int i = 0; i < FAMILIES; i++)
		differs[i] = forwarding[i] != link->told_forwarding[i];
	link->told = now;
	memcpy(link->told_forwarding, forwarding, sizeof(forwarding));
	if (!link->watched)
		return;
	if (link_differs && events->link)
		events->link(now.name, now.ifindex, now.running, resolver->user);
	for (int i = 0; i < FAMILIES && events->forwarding; i++)
		if (differs[i])
			events->forwarding(now.ifindex, resolver_families[i], forwarding[i],
					   resolver->user);
}

static void tell_links(struct resolver *resolver)
{
	struct list *node;

	while ((node = list_pop(&resolver->gone_links))) {
		struct link *link = CONTAINER_OF(node, struct link, all);

		if (link->watched && resolver->events.link)
			resolver->events.link(link->told.name, 0, false, resolver->user);
		free(link);
	}
	while ((node = list_pop(&resolver->changed_links)))
		tell_link(resolver, CONTAINER_OF(node, struct link, changed));
}

static void tell_gone_address(struct resolver *resolver, const struct host_address *gone)
{
	struct host_address *other = address_first(resolver, &gone->now.address);

	if (!gone->told)
		return;
	if (other)
		other->told = true;
	else if (resolver->events.address)
		resolver->events.address(&gone->now.address, false, resolver->user);
}

static void tell_fresh_address(struct resolver *resolver, struct host_address *fresh)
{
	ADDRESS_FOR_EACH(entry, resolver, &fresh->now.address)
		if (entry->told)
			return;
	fresh->told = true;
	if (resolver->events.address)
		resolver->events.address(&fresh->now.address, true, resolver->user);
}

/* What is gone goes first: an address that only moved to another interface stays told. */
static void tell_addresses(struct resolver *resolver)
{
	struct list *node;

	while ((node = list_pop(&resolver->gone_addresses))) {
		struct host_address *entry = CONTAINER_OF(node, struct host_address, all);

		tell_gone_address(resolver, entry);
		free(entry);
	}
	while ((node = list_pop(&resolver->fresh_addresses))) {
		list_move(&resolver->all_addresses, node);
		tell_fresh_address(resolver, CONTAINER_OF(node, struct host_address, all));
	}
}

void host_tell(struct resolver *resolver)
{
	tell_links(resolver);
	tell_addresses(resolver);
}

static void free_links(struct list *head)
{
	struct list *node;

	while ((node = list_pop(head)))
		free(CONTAINER_OF(node, struct link, all));
}

static void free_addresses(struct list *head)
{
	struct list *node;

	while ((node = list_pop(head)))
		free(CONTAINER_OF(node, struct host_address, all));
}

void host_free(struct resolver *resolver)
{
	free_links(&resolver->all_links);
	free_links(&resolver->gone_links);
	free_addresses(&resolver->all_addresses);
	free_addresses(&resolver->fresh_addresses);
	free_addresses(&resolver->gone_addresses);
	table_free(&resolver->links);
	table_free(&resolver->addresses);
}
