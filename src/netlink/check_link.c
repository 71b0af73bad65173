// SPDX-License-Identifier: GPL-2.0-only
#include "src/netlink/check_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/check.h"
#include "src/base/cleanup.h"
#include "src/netlink/rtnl.h"

#define RANGE_V4 0xc6120000 /* 198.18.0.0/15 */
#define RANGE_V6                                                                                   \
	{                                                                                          \
		htonl(0x20010002), 0, 0, 0                                                         \
	}
/* As many parts of WEIR_CHECK_PLACES addresses as a /15 has. */
#define PARTS (1 << (32 - 15 - WEIR_CHECK_BITS))

/*
 * What a check sends fits through any path with an outer header in front. What it gets may be as large
 * as the backend's interface takes.
 */
#define ROUTE_MTU 1280
#define LINK_MTU 65535

enum { REQUEST_SIZE = 512 };

static const uint8_t mac[6] = WEIR_CHECK_MAC;

static void cleanup_rtnl(struct rtnl *rtnl)
{
	rtnl_close(rtnl);
}

/* "weir-check-peer" */
static void name_peer(const char *name, char peer[static IFNAMSIZ])
{
	snprintf(peer, IFNAMSIZ, "%.*s-peer", CHECK_LINK_NAME_MOST, name);
}

static int make_pair(struct rtnl *rtnl, const char *name)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct nlattr *info, *data, *peer;
	char peer_name[IFNAMSIZ];

	name_peer(name, peer_name);
	request->nlmsg_type = RTM_NEWLINK;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	header->ifi_flags = header->ifi_change = IFF_NOARP;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	mnl_attr_put_u32(request, IFLA_MTU, LINK_MTU);
	mnl_attr_put(request, IFLA_ADDRESS, sizeof(mac), mac);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(request, VETH_INFO_PEER);
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->ifi_flags = header->ifi_change = IFF_NOARP;
	mnl_attr_put_strz(request, IFLA_IFNAME, peer_name);
	mnl_attr_nest_end(request, peer);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return rtnl_request(rtnl, request, NULL, NULL);
}

static int set_up(struct rtnl *rtnl, const char *name)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));

	request->nlmsg_type = RTM_NEWLINK;
	header->ifi_flags = header->ifi_change = IFF_UP;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return rtnl_request(rtnl, request, NULL, NULL);
}

static int delete (struct rtnl *rtnl, const char *name)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);

	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	request->nlmsg_type = RTM_DELLINK;
	mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return rtnl_request(rtnl, request, NULL, NULL);
}

/* -EEXIST: somebody else has a route for this part. */
static int add_route(struct rtnl *rtnl, const struct weir_address *part, uint32_t ifindex)
{
	bool v4 = address_is_v4(part);
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct nlattr *metrics;

	request->nlmsg_type = RTM_NEWROUTE;
	request->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	header->rtm_family = v4 ? AF_INET : AF_INET6;
	header->rtm_dst_len = v4 ? 32 - WEIR_CHECK_BITS : 64;
	header->rtm_table = RT_TABLE_MAIN;
	header->rtm_protocol = RTNL_NEIGHBOUR_PROTOCOL;
	header->rtm_scope = v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	header->rtm_type = RTN_UNICAST;
	if (v4)
		mnl_attr_put_u32(request, RTA_DST, address_to_v4(part));
	else
		mnl_attr_put(request, RTA_DST, sizeof(*part), part);
	mnl_attr_put_u32(request, RTA_OIF, ifindex);
	metrics = mnl_attr_nest_start(request, RTA_METRICS);
	mnl_attr_put_u32(request, RTAX_MTU, ROUTE_MTU);
	mnl_attr_nest_end(request, metrics);
	return rtnl_request(rtnl, request, NULL, NULL);
}

struct weir_address check_link_address(const struct check_link *link, uint32_t place,
				       const struct weir_address *service)
{
	struct weir_address address = { .word = RANGE_V6 };

	if (address_is_v4(service))
		return address_from_v4(htonl(RANGE_V4 | link->part << WEIR_CHECK_BITS | place));
	address.word[1] = htonl(link->part);
	address.word[3] = htonl(place);
	return address;
}

/* Takes the first part of the range that nobody has. */
static int take_part(struct rtnl *rtnl, struct check_link *link)
{
	const struct weir_address any_v4 = address_from_v4(0), any_v6 = {};
	struct weir_address part;
	int err;

	for (link->part = 0; link->part < PARTS; link->part++) {
		part = check_link_address(link, 0, &any_v4);
		err = add_route(rtnl, &part, link->ifindex);
		if (err == -EEXIST)
			continue;
		if (err < 0)
			return err;
		part = check_link_address(link, 0, &any_v6);
		link->has_v6 = add_route(rtnl, &part, link->ifindex) == 0;
		return 0;
	}
	return -EEXIST;
}

/* An end can only be up when both are there. */
static int make_up(struct rtnl *rtnl, const char *name)
{
	char peer[IFNAMSIZ];
	int err = make_pair(rtnl, name);

	if (err == -EEXIST) {
		delete (rtnl, name);
		err = make_pair(rtnl, name);
	}
	name_peer(name, peer);
	if (err == 0)
		err = set_up(rtnl, peer);
	return err == 0 ? set_up(rtnl, name) : err;
}

int check_link_make(const char *name, struct check_link *ret, struct error *error)
{
	_cleanup_(cleanup_rtnl) struct rtnl rtnl = {};
	struct check_link link = {};
	int err = rtnl_open(&rtnl, NETLINK_ROUTE, 0);

	if (err < 0)
		return error_set(error, err, "cannot open an rtnetlink socket: %s", strerror(-err));
	err = make_up(&rtnl, name);
	if (err < 0)
		return error_set(error, err, "cannot make the interface %s (veth): %s", name,
				 strerror(-err));
	link.ifindex = if_nametoindex(name);
	err = link.ifindex ? take_part(&rtnl, &link) : -errno;
	if (err < 0) {
		delete (&rtnl, name);
		return error_set(error, err,
				 "cannot route a part of 198.18.0.0/15 to the interface %s: %s",
				 name, strerror(-err));
	}
	*ret = link;
	return 0;
}

bool check_link_stands(const struct check_link *link)
{
	const struct weir_address families[] = { address_from_v4(0), {} };
	_cleanup_(cleanup_rtnl) struct rtnl rtnl = {};
	bool stands = true;

	/* What cannot be told is no reason to change anything. */
	if (rtnl_open(&rtnl, NETLINK_ROUTE, 0) < 0)
		return true;
	for (size_t i = 0; i < (link->has_v6 ? 2 : 1); i++) {
		struct weir_address address = check_link_address(link, 1, &families[i]);
		struct rtnl_route route;

		stands &= rtnl_get_route(&rtnl, &address, &route) == 0 &&
			  route.ifindex == link->ifindex;
	}
	return stands;
}

int check_link_remove(const char *name)
{
	_cleanup_(cleanup_rtnl) struct rtnl rtnl = {};
	int err;

	if (!if_nametoindex(name))
		return 0;
	err = rtnl_open(&rtnl, NETLINK_ROUTE, 0);
	if (err == 0)
		err = delete (&rtnl, name);
	return err == -ENODEV ? 0 : err < 0 ? err : 1;
}
