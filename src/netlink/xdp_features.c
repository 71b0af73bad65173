// SPDX-License-Identifier: GPL-2.0-only
#include "src/netlink/host.h"
#include "src/netlink/rtnl.h"

#include <errno.h>
#include <linux/genetlink.h>

/* Of linux/netdev.h, which Linux 6.1 does not have yet. */
#define NETDEV_FAMILY "netdev"
enum { NETDEV_CMD_DEV_GET = 1, NETDEV_A_DEV_IFINDEX = 1, NETDEV_A_DEV_XDP_FEATURES = 3 };
enum { NETDEV_XDP_ACT_NDO_XMIT = 4 };

static struct nlmsghdr *put_headers(char *buffer, uint16_t family, uint8_t command)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));

	request->nlmsg_type = family;
	header->cmd = command;
	header->version = 1;
	return request;
}

static int take_family(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attribute;
	uint16_t *family = data;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*family))
			*family = mnl_attr_get_u16(attribute);
	return 0;
}

static int take_features(const struct nlmsghdr *message, void *data)
{
	const struct nlattr *attribute;
	uint64_t *features = data;

	mnl_attr_for_each(attribute, message, sizeof(struct genlmsghdr))
		if (mnl_attr_get_type(attribute) == NETDEV_A_DEV_XDP_FEATURES &&
		    mnl_attr_get_payload_len(attribute) >= sizeof(*features))
			*features = mnl_attr_get_u64(attribute);
	return 0;
}

static int find_family(struct rtnl *generic, uint16_t *ret)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *request = put_headers(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);

	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	return rtnl_request(generic, request, take_family, ret);
}

static int get_features(struct rtnl *generic, uint32_t ifindex, uint64_t *ret)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *request;
	uint16_t family = 0;
	int error = find_family(generic, &family);

	if (error < 0 || !family)
		return -EOPNOTSUPP;
	request = put_headers(buffer, family, NETDEV_CMD_DEV_GET);
	mnl_attr_put_u32(request, NETDEV_A_DEV_IFINDEX, ifindex);
	return rtnl_request(generic, request, take_features, ret);
}

int host_takes_redirects(uint32_t ifindex)
{
	struct rtnl generic = { 0 };
	uint64_t features = 0;
	int error = rtnl_open(&generic, NETLINK_GENERIC, 0);

	if (error == 0)
		error = get_features(&generic, ifindex, &features);
	rtnl_close(&generic);
	return error < 0 ? error : (features & NETDEV_XDP_ACT_NDO_XMIT) != 0;
}
