// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/netlink/resolver.h"
#include "src/netlink/resolver_state.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { NOTIFICATION_BUFFER = 4 << 20, LOOPBACK = 1 };

const uint8_t resolver_families[FAMILIES] = { AF_INET, AF_INET6 };

struct target *resolver_find_target(const struct resolver *resolver,
				    const struct weir_address *address, uint32_t gateway_ifindex)
{
	struct table_node *node = table_first(&resolver->targets,
					      table_hash(address, gateway_ifindex));

	for (; node; node = table_next(node)) {
		struct target *target = CONTAINER_OF(node, struct target, node);

		if (target->gateway_ifindex == gateway_ifindex &&
		    address_equal(&target->address, address))
			return target;
	}
	return NULL;
}

int resolver_new_target(struct resolver *resolver, const struct weir_address *address,
			uint32_t gateway_ifindex, struct target **ret)
{
	struct target *target = calloc(1, sizeof(*target));
	int error;

	if (!target)
		return -ENOMEM;
	target->address = *address;
	target->gateway_ifindex = gateway_ifindex;
	list_init(&target->all);
	list_init(&target->changed);
	list_init(&target->of_neighbour);
	error = table_insert(&resolver->targets, &target->node,
			     table_hash(address, gateway_ifindex));
	if (error < 0) {
		free(target);
		return error;
	}
	list_move(gateway_ifindex ? &resolver->all_gateways : &resolver->all_targets, &target->all);
	*ret = target;
	return 0;
}

/* The neighbour's MAC address stays until neighbours_purge(). */
static void free_target(struct resolver *resolver, struct target *target)
{
	neighbour_release(resolver, target);
	list_remove(&target->all);
	list_remove(&target->changed);
	table_remove(&resolver->targets, &target->node);
	free(target);
}

static void resolve_target(struct resolver *resolver, struct target *target)
{
	struct rtnl_route *route = &target->route;
	const struct weir_address *neighbour = &target->address;
	const struct link *link = NULL;

	*route = (struct rtnl_route){ 0 };
	target->error = 0;
	if (target->gateway_ifindex)
		*route = (struct rtnl_route){ .type = RTN_UNICAST,
					      .ifindex = target->gateway_ifindex };
	else
		target->error = rtnl_get_route(&resolver->requests, &target->address, route);
	if (target->error == 0 && route->type == RTN_UNICAST)
		link = link_find(resolver, route->ifindex);
	if (!address_is_zero(&route->gateway)) {
		neighbour = &route->gateway;
		/* No gateway forwards what comes from such a source. */
		if (address_is_link_local(&route->source))
			route->source = (struct weir_address){};
	}
	if (link && link->now.ethernet)
		target->error = neighbour_acquire(resolver, target, neighbour, route->ifindex);
	else
		neighbour_release(resolver, target);
	list_move(&resolver->changed_targets, &target->changed);
}

__attribute__((format(printf, 2, 3))) static void because(struct resolver_hop *hop,
							  const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(hop->why, sizeof(hop->why), format, arguments);
	va_end(arguments);
}

static void because_no_route(struct resolver_hop *hop, int error, const char *address)
{
	switch (-error) {
	case EHOSTUNREACH:
		because(hop, "unreachable route to %s", address);
		break;
	case EINVAL:
		because(hop, "blackhole route to %s", address);
		break;
	case EACCES:
		because(hop, "prohibit route to %s", address);
		break;
	case ENETUNREACH:
		because(hop, "no route to %s", address);
		break;
	default:
		because(hop, "cannot resolve %s: %s", address, strerror(-error));
	}
}

static void fill_neighbour(const struct neighbour *neighbour, const struct link *link,
			   struct resolver_hop *hop)
{
	char text[ENDPOINT_STRING_SIZE];
	const char *protocol = address_is_v4(&neighbour->address) ? "ARP" : "NDP";

	address_format(&neighbour->address, text);
	if (neighbour->mac_known)
		memcpy(hop->mac, neighbour->mac, sizeof(hop->mac));
	if (!link->now.admin_up)
		because(hop, "%s is down", link->now.name);
	else if (!link->now.running)
		because(hop, "%s has no carrier", link->now.name);
	else if (neighbour->error < 0)
		because(hop, "no neighbour entry for %s on %s: %s", text, link->now.name,
			strerror(-neighbour->error));
	else if (neighbour->failed)
		because(hop, "%s does not answer %s on %s", text, protocol, link->now.name);
	else if (!neighbour->mac_known)
		because(hop, "%s has not answered %s on %s yet", text, protocol, link->now.name);
	else
		hop->reachable = true;
}

static void fill_link(const struct resolver *resolver, const struct link *link,
		      struct resolver_hop *hop)
{
	hop->device = link_device(resolver, link)->now.ifindex;
	if (hop->device != hop->ifindex)
		hop->vlan = link->now.vlan;
	if (hop->mtu == 0 || hop->mtu > link->now.mtu)
		hop->mtu = link->now.mtu;
	if (link->now.ethernet)
		memcpy(hop->source_mac, link->now.mac, sizeof(hop->source_mac));
}

static void fill_hop(struct resolver *resolver, const struct target *target,
		     struct resolver_hop *hop)
{
	const struct rtnl_route *route = &target->route;
	const struct link *link = link_lookup(resolver, route->ifindex);
	char text[ENDPOINT_STRING_SIZE];

	*hop = (struct resolver_hop){ .target = target->address,
				      .gateway = target->gateway_ifindex != 0 };
	address_format(&target->address, text);
	if (target->error < 0) {
		because_no_route(hop, target->error, text);
		return;
	}
	hop->ifindex = hop->device = route->ifindex;
	hop->source = route->source;
	hop->mtu = route->mtu;
	if (link)
		fill_link(resolver, link, hop);
	hop->local = route->type == RTN_LOCAL || route->type == RTN_ANYCAST;
	if (hop->local)
		because(hop, "%s is an address of this host", text);
	else if (route->type != RTN_UNICAST)
		because(hop, "%s is a broadcast or multicast address", text);
	else if (!link)
		because(hop, "the interface that leads to %s is gone", text);
	else if (!target->neighbour)
		because(hop, "%s is no Ethernet interface with ARP", link->now.name);
	else
		fill_neighbour(target->neighbour, link, hop);
}

static bool hop_same(const struct resolver_hop *a, const struct resolver_hop *b)
{
	return a->reachable == b->reachable && a->local == b->local && a->ifindex == b->ifindex &&
	       a->device == b->device && a->vlan == b->vlan && a->mtu == b->mtu &&
	       !memcmp(a->mac, b->mac, sizeof(a->mac)) &&
	       !memcmp(a->source_mac, b->source_mac, sizeof(a->source_mac)) &&
	       address_equal(&a->source, &b->source) && !strcmp(a->why, b->why);
}

static void tell_target(struct resolver *resolver, struct target *target)
{
	struct resolver_hop hop;

	list_remove(&target->changed);
	fill_hop(resolver, target, &hop);
	if (target->told_once && hop_same(&hop, &target->told))
		return;
	target->told_once = true;
	target->told = hop;
	if (resolver->events.hop)
		resolver->events.hop(&hop, resolver->user);
}

static void tell_gone_gateway(struct resolver *resolver, struct target *gateway)
{
	struct weir_address address = gateway->address;
	uint32_t ifindex = gateway->gateway_ifindex;

	free_target(resolver, gateway);
	if (resolver->events.gateway_gone)
		resolver->events.gateway_gone(&address, ifindex, resolver->user);
}

static void tell_all(struct resolver *resolver)
{
	struct list *node;

	host_tell(resolver);
	while ((node = list_pop(&resolver->changed_targets)))
		tell_target(resolver, CONTAINER_OF(node, struct target, changed));
	while ((node = list_pop(&resolver->gone_gateways)))
		tell_gone_gateway(resolver, CONTAINER_OF(node, struct target, all));
	neighbours_purge(resolver);
}

/*
 * The kernel announces a change of a link or an address before its routes follow, and their removal
 * with the link is silent. A request for a link waits for the lock that the change is made under.
 */
static void wait_for_changes_under_way(struct resolver *resolver)
{
	struct rtnl_link link;

	rtnl_get_link(&resolver->requests, LOOPBACK, &link);
}

static int resolve_all(struct resolver *resolver)
{
	int error;

	wait_for_changes_under_way(resolver);
	error = gateways_refresh(resolver);
	resolver->routes_stale = error < 0;
	LIST_FOR_EACH(node, &resolver->all_gateways)
		resolve_target(resolver, CONTAINER_OF(node, struct target, all));
	LIST_FOR_EACH(node, &resolver->all_targets)
		resolve_target(resolver, CONTAINER_OF(node, struct target, all));
	return error;
}

int resolver_settle(struct resolver *resolver)
{
	int error = 0;

	if (resolver->everything_stale) {
		error = host_refresh(resolver);
		resolver->everything_stale = error < 0;
		resolver->routes_stale = true;
		LIST_FOR_EACH(node, &resolver->all_neighbours)
			list_move(&resolver->dirty_neighbours,
				  &CONTAINER_OF(node, struct neighbour, all)->dirty);
	}
	neighbours_inspect_dirty(resolver);
	if (resolver->routes_stale) {
		int routes_error = resolve_all(resolver);

		error = error < 0 ? error : routes_error;
	}
	neighbours_inspect_dirty(resolver);
	tell_all(resolver);
	if (resolver->requests.broken)
		return -EIO;
	/* A dump overtaken by changes again and again: their events repeat it. */
	return error == -EINTR ? 0 : error;
}

static int listen_to_changes(struct resolver *resolver, struct error *error)
{
	static const int groups[] = {
		RTNLGRP_LINK,      RTNLGRP_NEIGH,        RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV4_RULE, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,
		RTNLGRP_IPV6_RULE, RTNLGRP_IPV6_NETCONF,
	};
	struct mnl_socket *socket = resolver->notifications.socket;
	int size = NOTIFICATION_BUFFER;

	/* A hint: without CAP_NET_ADMIN the buffer stays small and ENOBUFS comes sooner. */
	setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
		    0)
			return error_set(error, -errno,
					 "cannot follow rtnetlink group %d: %s (a kernel without "
					 "CONFIG_IP_MULTIPLE_TABLES or CONFIG_INET?)",
					 group, strerror(errno));
	}
	return 0;
}

static void init_lists(struct resolver *resolver)
{
	list_init(&resolver->all_links);
	list_init(&resolver->changed_links);
	list_init(&resolver->gone_links);
	list_init(&resolver->all_neighbours);
	list_init(&resolver->dirty_neighbours);
	list_init(&resolver->idle_neighbours);
	list_init(&resolver->all_targets);
	list_init(&resolver->all_gateways);
	list_init(&resolver->changed_targets);
	list_init(&resolver->gone_gateways);
	list_init(&resolver->all_addresses);
	list_init(&resolver->fresh_addresses);
	list_init(&resolver->gone_addresses);
}

static int start(struct resolver *resolver, struct error *error)
{
	int result = rtnl_open(&resolver->requests, NETLINK_ROUTE, 0);

	if (result == 0)
		result = rtnl_open(&resolver->notifications, NETLINK_ROUTE, SOCK_NONBLOCK);
	if (result < 0)
		return error_set(error, result, "cannot open an rtnetlink socket: %s",
				 strerror(-result));
	result = listen_to_changes(resolver, error);
	if (result < 0)
		return result;
	/* Only now, so that nothing is missed between the dump and the first event. */
	result = host_refresh(resolver);
	if (result < 0)
		return error_set(error, result, "cannot read links and addresses by rtnetlink: %s",
				 strerror(-result));
	host_tell(resolver);
	return 0;
}

int resolver_new(const struct resolver_events *events, void *user, struct resolver **ret,
		 struct error *error)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int result;

	if (!resolver)
		return error_set(error, -ENOMEM, "out of memory for the resolver");
	resolver->events = *events;
	resolver->user = user;
	init_lists(resolver);
	result = start(resolver, error);
	if (result < 0) {
		resolver_free(resolver);
		return result;
	}
	*ret = resolver;
	return 0;
}

static void free_targets(struct resolver *resolver, struct list *head)
{
	struct list *node;

	while ((node = list_pop(head)))
		free_target(resolver, CONTAINER_OF(node, struct target, all));
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	free_targets(resolver, &resolver->all_targets);
	free_targets(resolver, &resolver->all_gateways);
	free_targets(resolver, &resolver->gone_gateways);
	neighbours_purge(resolver);
	host_free(resolver);
	table_free(&resolver->targets);
	table_free(&resolver->neighbours);
	rtnl_close(&resolver->requests);
	rtnl_close(&resolver->notifications);
	free(resolver);
}

void resolver_leave(struct resolver *resolver)
{
	if (resolver)
		resolver->leaves = true;
	resolver_free(resolver);
}

int resolver_watch(struct resolver *resolver, uint32_t ifindex)
{
	int error = link_watch(resolver, ifindex);

	return error < 0 ? error : resolver_settle(resolver);
}

int resolver_add(struct resolver *resolver, const struct weir_address *address)
{
	struct target *target;
	int error;

	if (address_is_zero(address))
		return -EINVAL;
	if (resolver_find_target(resolver, address, 0))
		return 0;
	error = resolver_new_target(resolver, address, 0, &target);
	if (error < 0)
		return error;
	resolve_target(resolver, target);
	tell_target(resolver, target);
	return resolver->requests.broken ? -EIO : 0;
}

int resolver_remove(struct resolver *resolver, const struct weir_address *address)
{
	struct target *target = resolver_find_target(resolver, address, 0);

	if (!target)
		return -ENOENT;
	free_target(resolver, target);
	neighbours_purge(resolver);
	return 0;
}

int resolver_remove_leftovers(struct resolver *resolver)
{
	int error = neighbours_find_leftovers(resolver);

	neighbours_purge(resolver);
	return error;
}

void resolver_probe(struct resolver *resolver, const struct weir_address *address)
{
	const struct target *target = resolver_find_target(resolver, address, 0);

	if (target && target->neighbour)
		neighbour_probe(resolver, target->neighbour);
}

int resolver_fd(const struct resolver *resolver)
{
	return mnl_socket_get_fd(resolver->notifications.socket);
}
