// SPDX-License-Identifier: GPL-2.0-only
#include "src/netlink/resolver.h"
#include "src/netlink/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "src/base/address.h"
#include "tests/unit/unit.h"

/*
 * Which device sends the frames of a VLAN device: the resolver over a kernel of a few links, for the
 * kernel that runs the tests may have no VLAN devices. test_vlan.py asks one that has.
 */
enum { LO = 1, ETH0, TAGGED, STACKED, ELSEWHERE, MACVLAN, LINKS };

static const struct fake_link {
	const char *name;
	const char *kind; /* NULL: none */
	uint32_t lower;
	uint16_t vlan;
	bool other_namespace;
} links[LINKS] = {
	[LO] = { .name = "lo" },
	[ETH0] = { .name = "eth0" },
	[TAGGED] = { "eth0.100", "vlan", ETH0, 100, false },
	[STACKED] = { "eth0.100.7", "vlan", TAGGED, 7, false },
	[ELSEWHERE] = { "moved", "vlan", ETH0, 200, true },
	[MACVLAN] = { "macvlan0", "macvlan", ETH0, 0, false },
};

static struct resolver *resolver;
static struct resolver_hop told[LINKS], gateway;

static struct weir_address on(uint32_t ifindex)
{
	return address_from_v4(htonl(0x0a000000 + ifindex));
}

static struct nlmsghdr *put_link(char *buffer, uint32_t ifindex)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const struct fake_link *link = &links[ifindex];
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	struct nlattr *information, *data;

	message->nlmsg_type = RTM_NEWLINK;
	*header = (struct ifinfomsg){ .ifi_type = ARPHRD_ETHER,
				      .ifi_index = (int)ifindex,
				      .ifi_flags = IFF_UP | IFF_RUNNING };
	mnl_attr_put_strz(message, IFLA_IFNAME, link->name);
	mnl_attr_put(message, IFLA_ADDRESS, sizeof(mac), mac);
	mnl_attr_put_u32(message, IFLA_MTU, 1500 - 4 * ifindex);
	if (link->lower)
		mnl_attr_put_u32(message, IFLA_LINK, link->lower);
	if (link->other_namespace)
		mnl_attr_put_u32(message, IFLA_LINK_NETNSID, 0);
	if (!link->kind)
		return message;
	information = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, link->kind);
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	mnl_attr_put_u16(message, IFLA_VLAN_ID, link->vlan);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, information);
	return message;
}

/* One gateway: that of a route by the VLAN device. */
static struct nlmsghdr *put_route(char *buffer)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	message->nlmsg_type = RTM_NEWROUTE;
	*header = (struct rtmsg){ .rtm_family = AF_INET, .rtm_type = RTN_UNICAST };
	mnl_attr_put_u32(message, RTA_OIF, TAGGED);
	mnl_attr_put_u32(message, RTA_GATEWAY, htonl(0x0a0000fe));
	return message;
}

/* The sockets are real ones; nobody asks them anything. */
int rtnl_open(struct rtnl *rtnl, int bus, int flags)
{
	*rtnl = (struct rtnl){ .socket = mnl_socket_open2(bus, SOCK_CLOEXEC | flags) };
	return rtnl->socket ? 0 : -errno;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
}

int rtnl_dump(struct rtnl *rtnl, uint16_t type, uint8_t family, rtnl_handler handle, void *data)
{
	char buffer[1024] = "";
	int error = 0;

	for (uint32_t ifindex = LO; type == RTM_GETLINK && ifindex < LINKS && error == 0; ifindex++)
		error = handle(put_link(buffer, ifindex), data);
	return type == RTM_GETROUTE && family == AF_INET ? handle(put_route(buffer), data) : error;
}

int rtnl_get_link(struct rtnl *rtnl, uint32_t ifindex, struct rtnl_link *ret)
{
	char buffer[1024] = "";

	return rtnl_parse_link(put_link(buffer, ifindex), ret) ? 0 : -ENODEV;
}

int rtnl_get_route(struct rtnl *rtnl, const struct weir_address *address, struct rtnl_route *ret)
{
	*ret = (struct rtnl_route){ .type = RTN_UNICAST,
				    .ifindex = ntohl(address_to_v4(address)) & 0xff };
	return 0;
}

int rtnl_get_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
		       struct rtnl_neighbour *ret)
{
	*ret = (struct rtnl_neighbour){ .address = *address,
					.ifindex = ifindex,
					.state = NUD_PERMANENT,
					.has_mac = true,
					.mac = { 2, 0, 0, 0, 0, (uint8_t)ifindex } };
	return 0;
}

int rtnl_get_netconf(struct rtnl *rtnl, uint8_t family, uint32_t ifindex, struct rtnl_netconf *ret)
{
	*ret = (struct rtnl_netconf){ .family = family, .ifindex = ifindex };
	return 0;
}

/* Permanent neighbours are left alone. */
int rtnl_manage_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
			  bool create)
{
	fail_msg("a neighbour entry was made or taken");
	return -EPERM;
}

int rtnl_forget_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex)
{
	fail_msg("a neighbour entry was changed");
	return -EPERM;
}

int rtnl_delete_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex)
{
	fail_msg("a neighbour entry was removed");
	return -EPERM;
}

static void on_hop(const struct resolver_hop *hop, void *user)
{
	if (hop->gateway)
		gateway = *hop;
	else
		told[hop->ifindex] = *hop;
}

static int set_up(void **state)
{
	static const struct resolver_events events = { .hop = on_hop };
	struct error error = { "" };

	memset(told, 0, sizeof(told));
	memset(&gateway, 0, sizeof(gateway));
	if (resolver_new(&events, NULL, &resolver, &error) < 0)
		fail_msg("%s", error.text);
	for (uint32_t ifindex = ETH0; ifindex < LINKS; ifindex++) {
		struct weir_address address = on(ifindex);

		assert_int_equal(resolver_add(resolver, &address), 0);
		assert_true(told[ifindex].reachable);
		assert_int_equal(told[ifindex].mac[5], ifindex);
		assert_int_equal(told[ifindex].mtu, 1500 - 4 * ifindex);
	}
	return 0;
}

static int tear_down(void **state)
{
	resolver_free(resolver);
	return 0;
}

static void expect(uint32_t ifindex, uint32_t device, uint16_t vlan)
{
	if (told[ifindex].device != device || told[ifindex].vlan != vlan)
		fail_msg("%s sends from %s with tag %u, not from %s with tag %u",
			 links[ifindex].name, links[told[ifindex].device].name, told[ifindex].vlan,
			 links[device].name, vlan);
}

static void watch(uint32_t ifindex)
{
	assert_int_equal(resolver_watch(resolver, ifindex), 0);
}

static void test_lowest_device_sends(void **state)
{
	for (int i = 0; i < 2; i++) {
		expect(ETH0, ETH0, 0);
		expect(TAGGED, ETH0, 100);
		expect(STACKED, ETH0, 7);
		watch(ETH0);
	}
}

/* Their lower devices have other numbers, or do not see their frames. */
static void test_other_devices_send_themselves(void **state)
{
	expect(ELSEWHERE, ELSEWHERE, 0);
	expect(MACVLAN, MACVLAN, 0);
}

/* There the tag is off already; on both, the lower one sees the frames first. */
static void test_lowest_watched_device_sends(void **state)
{
	watch(TAGGED);
	expect(TAGGED, TAGGED, 0);
	expect(STACKED, TAGGED, 7);
	expect(ETH0, ETH0, 0);
	watch(ETH0);
	expect(TAGGED, ETH0, 100);
	expect(STACKED, ETH0, 7);
}

static void test_gateway_on_a_vlan_device(void **state)
{
	watch(MACVLAN);
	assert_int_equal(gateway.ifindex, 0);
	watch(ETH0);
	assert_int_equal(gateway.ifindex, TAGGED);
	assert_int_equal(gateway.device, ETH0);
	assert_int_equal(gateway.vlan, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lowest_device_sends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_devices_send_themselves, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_lowest_watched_device_sends, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_gateway_on_a_vlan_device, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
