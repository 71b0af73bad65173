// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/netlink/rtnl.h"

#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Attributes above this are unknown to us and skipped. */
enum { ATTRIBUTES = 64 };

struct attributes {
	const struct nlattr *of[ATTRIBUTES];
};

static void keep_attribute(struct attributes *attributes, const struct nlattr *attribute)
{
	uint16_t type = mnl_attr_get_type(attribute);

	if (type < ATTRIBUTES)
		attributes->of[type] = attribute;
}

/* False if the message is shorter than its own header. */
static bool read_attributes(const struct nlmsghdr *message, size_t header,
			    struct attributes *attributes)
{
	const struct nlattr *attribute;

	*attributes = (struct attributes){ 0 };
	if (mnl_nlmsg_get_payload_len(message) < header)
		return false;
	mnl_attr_for_each(attribute, message, header)
		keep_attribute(attributes, attribute);
	return true;
}

static bool get_u32(const struct nlattr *attribute, uint32_t *ret)
{
	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(*ret))
		return false;
	*ret = mnl_attr_get_u32(attribute);
	return true;
}

static bool get_mac(const struct nlattr *attribute, uint8_t mac[static 6])
{
	if (!attribute || mnl_attr_get_payload_len(attribute) != 6)
		return false;
	memcpy(mac, mnl_attr_get_payload(attribute), 6);
	return true;
}

static bool get_bytes_address(const void *bytes, size_t length, struct weir_address *ret)
{
	uint32_t v4;

	if (length == sizeof(*ret)) {
		memcpy(ret, bytes, sizeof(*ret));
		return true;
	}
	if (length != sizeof(v4))
		return false;
	memcpy(&v4, bytes, sizeof(v4));
	*ret = address_from_v4(v4);
	return true;
}

static bool get_address(const struct nlattr *attribute, struct weir_address *ret)
{
	return attribute && get_bytes_address(mnl_attr_get_payload(attribute),
					      mnl_attr_get_payload_len(attribute), ret);
}

/* Its device may live in another network namespace, where the number means something else. */
static void get_vlan(const struct attributes *attributes, struct rtnl_link *link)
{
	const struct nlattr *information = attributes->of[IFLA_LINKINFO], *attribute;
	const struct nlattr *kind = NULL, *data = NULL;

	if (!information || attributes->of[IFLA_LINK_NETNSID])
		return;
	mnl_attr_for_each_nested(attribute, information) {
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			kind = attribute;
		if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA)
			data = attribute;
	}
	if (!kind || !data || strcmp(mnl_attr_get_str(kind), "vlan") != 0)
		return;
	mnl_attr_for_each_nested(attribute, data)
		if (mnl_attr_get_type(attribute) == IFLA_VLAN_ID &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(link->vlan))
			link->vlan = mnl_attr_get_u16(attribute);
	get_u32(attributes->of[IFLA_LINK], &link->lower);
}

bool rtnl_parse_link(const struct nlmsghdr *message, struct rtnl_link *ret)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	struct rtnl_link link = { 0 };

	if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
		return false;
	if (!read_attributes(message, sizeof(*header), &attributes))
		return false;
	/* AF_BRIDGE: a port joined or left its bridge, the interface itself lives on. */
	if (header->ifi_family != AF_UNSPEC)
		return false;
	link.ifindex = header->ifi_index;
	link.admin_up = header->ifi_flags & IFF_UP;
	link.running = link.admin_up && (header->ifi_flags & IFF_RUNNING);
	link.ethernet = get_mac(attributes.of[IFLA_ADDRESS], link.mac) &&
			header->ifi_type == ARPHRD_ETHER && !(header->ifi_flags & IFF_NOARP);
	get_u32(attributes.of[IFLA_MTU], &link.mtu);
	get_vlan(&attributes, &link);
	if (attributes.of[IFLA_IFNAME])
		strncpy(link.name, mnl_attr_get_str(attributes.of[IFLA_IFNAME]),
			sizeof(link.name) - 1);
	*ret = link;
	return true;
}

/* A gateway of the route's own family, or (RTA_VIA) of another one. */
static bool get_gateway(const struct attributes *attributes, struct weir_address *ret)
{
	const struct nlattr *via = attributes->of[RTA_VIA];
	const size_t family = offsetof(struct rtvia, rtvia_addr);

	if (get_address(attributes->of[RTA_GATEWAY], ret))
		return true;
	if (!via || mnl_attr_get_payload_len(via) <= family)
		return false;
	return get_bytes_address((const char *)mnl_attr_get_payload(via) + family,
				 mnl_attr_get_payload_len(via) - family, ret);
}

static uint32_t get_route_mtu(const struct nlattr *metrics)
{
	const struct nlattr *attribute;
	uint32_t mtu = 0;

	if (!metrics)
		return 0;
	mnl_attr_for_each_nested(attribute, metrics)
		if (mnl_attr_get_type(attribute) == RTAX_MTU)
			get_u32(attribute, &mtu);
	return mtu;
}

bool rtnl_parse_route(const struct nlmsghdr *message, struct rtnl_route *ret)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	struct rtnl_route route = { 0 };

	if (message->nlmsg_type != RTM_NEWROUTE)
		return false;
	if (!read_attributes(message, sizeof(*header), &attributes))
		return false;
	route.type = header->rtm_type;
	route.mtu = get_route_mtu(attributes.of[RTA_METRICS]);
	get_u32(attributes.of[RTA_OIF], &route.ifindex);
	get_gateway(&attributes, &route.gateway);
	get_address(attributes.of[RTA_PREFSRC], &route.source);
	*ret = route;
	return true;
}

static int parse_multipath(const struct nlattr *multipath, rtnl_gateway_handler handle, void *data)
{
	const char *place = mnl_attr_get_payload(multipath);
	size_t rest = mnl_attr_get_payload_len(multipath);

	while (rest >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const struct rtnexthop *)place;
		struct attributes attributes = { 0 };
		struct weir_address gateway;
		const struct nlattr *attr; /* the macro insists on this name */
		size_t length = MNL_ALIGN(hop->rtnh_len);
		int error = 0;

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > rest)
			break;
		mnl_attr_for_each_payload((void *)(hop + 1), hop->rtnh_len - sizeof(*hop))
			keep_attribute(&attributes, attr);
		if (get_gateway(&attributes, &gateway))
			error = handle(&gateway, hop->rtnh_ifindex, data);
		if (error < 0)
			return error;
		place += length;
		rest -= length < rest ? length : rest;
	}
	return 0;
}

int rtnl_parse_gateways(const struct nlmsghdr *message, rtnl_gateway_handler handle, void *data)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	struct weir_address gateway;
	uint32_t ifindex;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return 0;
	if (!read_attributes(message, sizeof(*header), &attributes))
		return 0;
	if (header->rtm_type != RTN_UNICAST)
		return 0;
	if (attributes.of[RTA_MULTIPATH])
		return parse_multipath(attributes.of[RTA_MULTIPATH], handle, data);
	if (!get_u32(attributes.of[RTA_OIF], &ifindex) || !get_gateway(&attributes, &gateway))
		return 0;
	return handle(&gateway, ifindex, data);
}

bool rtnl_parse_neighbour(const struct nlmsghdr *message, struct rtnl_neighbour *ret)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	struct rtnl_neighbour neighbour = { 0 };
	uint32_t extended = 0;

	if (message->nlmsg_type != RTM_NEWNEIGH && message->nlmsg_type != RTM_DELNEIGH)
		return false;
	if (!read_attributes(message, sizeof(*header), &attributes))
		return false;
	/* AF_BRIDGE: an entry of a bridge's forwarding table. */
	if (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)
		return false;
	if (!get_address(attributes.of[NDA_DST], &neighbour.address))
		return false;
	get_u32(attributes.of[NDA_FLAGS_EXT], &extended);
	neighbour.ifindex = header->ndm_ifindex;
	neighbour.state = header->ndm_state;
	neighbour.has_mac = get_mac(attributes.of[NDA_LLADDR], neighbour.mac);
	neighbour.learned = header->ndm_flags & NTF_EXT_LEARNED;
	neighbour.managed = extended & NTF_EXT_MANAGED;
	if (attributes.of[NDA_PROTOCOL])
		neighbour.protocol = mnl_attr_get_u8(attributes.of[NDA_PROTOCOL]);
	*ret = neighbour;
	return true;
}

bool rtnl_parse_address(const struct nlmsghdr *message, struct rtnl_address *ret)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	struct rtnl_address address = { 0 };
	uint32_t flags;

	if (message->nlmsg_type != RTM_NEWADDR && message->nlmsg_type != RTM_DELADDR)
		return false;
	if (!read_attributes(message, sizeof(*header), &attributes))
		return false;
	/* On a point-to-point link IFA_ADDRESS is the peer's, IFA_LOCAL ours. */
	if (!get_address(attributes.of[IFA_LOCAL], &address.address) &&
	    !get_address(attributes.of[IFA_ADDRESS], &address.address))
		return false;
	if (!get_u32(attributes.of[IFA_FLAGS], &flags))
		flags = header->ifa_flags;
	address.ifindex = header->ifa_index;
	address.prefix = header->ifa_prefixlen;
	address.valid = !(flags & IFA_F_DADFAILED) &&
			(!(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC));
	address.deprecated = flags & IFA_F_DEPRECATED;
	*ret = address;
	return true;
}

bool rtnl_parse_netconf(const struct nlmsghdr *message, struct rtnl_netconf *ret)
{
	const struct netconfmsg *header = mnl_nlmsg_get_payload(message);
	struct attributes attributes;
	uint32_t ifindex, forwarding;

	if (message->nlmsg_type != RTM_NEWNETCONF)
		return false;
	if (!read_attributes(message, MNL_ALIGN(sizeof(*header)), &attributes))
		return false;
	if (!get_u32(attributes.of[NETCONFA_IFINDEX], &ifindex) ||
	    !get_u32(attributes.of[NETCONFA_FORWARDING], &forwarding))
		return false;
	*ret = (struct rtnl_netconf){ .family = header->ncm_family,
				      .ifindex = ifindex,
				      .forwarding = forwarding };
	return true;
}
