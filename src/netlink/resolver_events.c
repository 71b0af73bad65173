// SPDX-License-Identifier: GPL-2.0-only
#include "src/netlink/resolver_state.h"

#include <errno.h>
#include <linux/rtnetlink.h>

/* The owner's loop has other things to do: what is left makes the socket readable again. */
enum { DATAGRAMS_AT_ONCE = 1024 };

static int on_link(struct resolver *resolver, const struct nlmsghdr *message)
{
	struct rtnl_link link;

	if (!rtnl_parse_link(message, &link))
		return 0;
	if (message->nlmsg_type == RTM_NEWLINK)
		return link_update(resolver, &link);
	link_drop(resolver, link.ifindex);
	return 0;
}

static int on_address(struct resolver *resolver, const struct nlmsghdr *message)
{
	struct rtnl_address address;

	if (!rtnl_parse_address(message, &address))
		return 0;
	if (message->nlmsg_type == RTM_NEWADDR)
		return address_update(resolver, &address);
	address_drop(resolver, &address);
	return 0;
}

static void on_neighbour(struct resolver *resolver, const struct nlmsghdr *message)
{
	struct rtnl_neighbour entry;
	struct neighbour *neighbour;

	if (!rtnl_parse_neighbour(message, &entry))
		return;
	neighbour = neighbour_find(resolver, &entry.address, entry.ifindex);
	if (!neighbour)
		return;
	if (message->nlmsg_type == RTM_DELNEIGH || neighbour_differs(neighbour, &entry))
		list_move(&resolver->dirty_neighbours, &neighbour->dirty);
}

static void on_netconf(struct resolver *resolver, const struct nlmsghdr *message)
{
	struct rtnl_netconf netconf;

	if (rtnl_parse_netconf(message, &netconf))
		link_set_forwarding(resolver, &netconf);
}

static int on_message(struct resolver *resolver, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return on_link(resolver, message);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return on_address(resolver, message);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
	case RTM_NEWRULE:
	case RTM_DELRULE:
		resolver->routes_stale = true;
		return 0;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		on_neighbour(resolver, message);
		return 0;
	case RTM_NEWNETCONF:
		on_netconf(resolver, message);
		return 0;
	default:
		return 0;
	}
}

/* Returns the number of bytes, 0: nothing waits, or a negative errno. */
static int receive(struct resolver *resolver, char *buffer)
{
	ssize_t received = mnl_socket_recvfrom(resolver->notifications.socket, buffer,
					       RTNL_BUFFER_SIZE);

	if (received >= 0)
		return received;
	return errno == EAGAIN ? 0 : -errno;
}

static int receive_all(struct resolver *resolver)
{
	_Alignas(struct nlmsghdr) char buffer[RTNL_BUFFER_SIZE];

	for (int i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		int rest = receive(resolver, buffer);
		const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;

		if (rest == 0)
			return 0;
		if (rest == -EINTR)
			continue;
		/* Messages were lost (the buffer was full), or one was too long for ours. */
		if (rest == -ENOBUFS || rest == -ENOSPC) {
			resolver->everything_stale = true;
			continue;
		}
		if (rest < 0)
			return rest;
		for (; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest))
			if (on_message(resolver, message) < 0)
				resolver->everything_stale = true;
	}
	return 0;
}

int resolver_dispatch(struct resolver *resolver)
{
	int error = receive_all(resolver);
	int settle_error = resolver_settle(resolver);

	if (error < 0)
		return error;
	/* A dump that failed once is repeated at the next event. */
	return settle_error == -EIO ? settle_error : 0;
}
