// SPDX-License-Identifier: GPL-2.0-only
#include "src/netlink/resolver_state.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

static int take_gateway(const struct weir_address *address, uint32_t ifindex, void *data)
{
	struct resolver *resolver = data;
	const struct link *link = link_lookup(resolver, ifindex);
	struct target *gateway;
	int error;

	if (!link || !link_device(resolver, link)->watched)
		return 0;
	gateway = resolver_find_target(resolver, address, ifindex);
	if (!gateway) {
		error = resolver_new_target(resolver, address, ifindex, &gateway);
		if (error < 0)
			return error;
	}
	gateway->seen = true;
	/* It may already wait for its farewell. */
	list_move(&resolver->all_gateways, &gateway->all);
	return 0;
}

static int take_route(const struct nlmsghdr *message, void *data)
{
	return rtnl_parse_gateways(message, take_gateway, data);
}

static bool any_link_watched(const struct resolver *resolver)
{
	LIST_FOR_EACH(node, &resolver->all_links)
		if (CONTAINER_OF(node, struct link, all)->watched)
			return true;
	return false;
}

int gateways_refresh(struct resolver *resolver)
{
	int error = 0;

	LIST_FOR_EACH(node, &resolver->all_gateways)
		CONTAINER_OF(node, struct target, all)->seen = false;
	for (int i = 0; i < FAMILIES && error == 0 && any_link_watched(resolver); i++)
		error = rtnl_dump(&resolver->requests, RTM_GETROUTE, resolver_families[i],
				  take_route, resolver);
	/* After an incomplete dump nothing is known to be gone. */
	if (error < 0)
		return error;
	LIST_FOR_EACH(node, &resolver->all_gateways)
		if (!CONTAINER_OF(node, struct target, all)->seen)
			list_move(&resolver->gone_gateways, node);
	return 0;
}
