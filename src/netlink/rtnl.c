// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/netlink/rtnl.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { DUMP_TRIES = 5, REQUEST_SIZE = 256 };

int rtnl_open(struct rtnl *rtnl, int bus, int flags)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC | flags);

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		mnl_socket_close(socket);
		return error;
	}
	*rtnl = (struct rtnl){ .socket = socket };
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	rtnl->socket = NULL;
}

/* What the reception of one answer has come to. */
struct answer {
	uint32_t sequence;
	rtnl_handler handle;
	void *data;
	bool complete;
	bool overtaken;
	int result;
};

static void answer_end(struct answer *answer, int result)
{
	answer->complete = true;
	if (result < 0)
		answer->result = result;
}

static void answer_message(struct answer *answer, const struct nlmsghdr *message)
{
	if (message->nlmsg_seq != answer->sequence)
		return;
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		answer->overtaken = true;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

		answer_end(answer, error->error);
		return;
	}
	if (message->nlmsg_type == NLMSG_DONE) {
		const int *error = mnl_nlmsg_get_payload(message);

		answer_end(answer,
			   mnl_nlmsg_get_payload_len(message) >= sizeof(*error) ? *error : 0);
		return;
	}
	/* After an error the rest is only drained: the kernel refuses a second dump meanwhile. */
	if (answer->handle && answer->result == 0) {
		int error = answer->handle(message, answer->data);

		if (error < 0)
			answer->result = error;
	}
	if (!(message->nlmsg_flags & NLM_F_MULTI))
		answer->complete = true;
}

static int receive_answer(struct rtnl *rtnl, struct answer *answer)
{
	_Alignas(struct nlmsghdr) char buffer[RTNL_BUFFER_SIZE];

	while (!answer->complete) {
		ssize_t received = mnl_socket_recvfrom(rtnl->socket, buffer, sizeof(buffer));
		const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
		int rest = received;

		if (received < 0 && errno == EINTR)
			continue;
		if (received <= 0) {
			rtnl->broken = true;
			return received < 0 ? -errno : -ECONNRESET;
		}
		for (; mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest))
			answer_message(answer, message);
	}
	return answer->result < 0 ? answer->result : answer->overtaken ? -EINTR : 0;
}

int rtnl_request(struct rtnl *rtnl, struct nlmsghdr *request, rtnl_handler handle, void *data)
{
	struct answer answer = { .sequence = ++rtnl->sequence, .handle = handle, .data = data };

	request->nlmsg_seq = answer.sequence;
	request->nlmsg_flags |= NLM_F_REQUEST;
	if (!handle)
		request->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(rtnl->socket, request, request->nlmsg_len) < 0) {
		rtnl->broken = true;
		return -errno;
	}
	return receive_answer(rtnl, &answer);
}

int rtnl_dump(struct rtnl *rtnl, uint16_t type, uint8_t family, rtnl_handler handle, void *data)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	int error = -EINTR;

	for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
		struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
		/* The longest of the headers; each begins with the family. */
		struct ifinfomsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));

		header->ifi_family = family;
		request->nlmsg_type = type;
		request->nlmsg_flags = NLM_F_DUMP;
		error = rtnl_request(rtnl, request, handle, data);
	}
	return error;
}

static uint8_t family_of(const struct weir_address *address)
{
	return address_is_v4(address) ? AF_INET : AF_INET6;
}

static void put_address(struct nlmsghdr *request, uint16_t type, const struct weir_address *address)
{
	if (address_is_v4(address))
		mnl_attr_put_u32(request, type, address_to_v4(address));
	else
		mnl_attr_put(request, type, sizeof(*address), address);
}

struct link_answer {
	struct rtnl_link link;
	bool found;
};

static int take_link(const struct nlmsghdr *message, void *data)
{
	struct link_answer *answer = data;

	answer->found = rtnl_parse_link(message, &answer->link);
	return 0;
}

int rtnl_get_link(struct rtnl *rtnl, uint32_t ifindex, struct rtnl_link *ret)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct link_answer answer = { 0 };
	int error;

	header->ifi_index = ifindex;
	request->nlmsg_type = RTM_GETLINK;
	error = rtnl_request(rtnl, request, take_link, &answer);
	if (error < 0)
		return error;
	if (!answer.found)
		return -ENODEV;
	*ret = answer.link;
	return 0;
}

struct route_answer {
	struct rtnl_route route;
	bool found;
};

static int take_route(const struct nlmsghdr *message, void *data)
{
	struct route_answer *answer = data;

	answer->found = rtnl_parse_route(message, &answer->route);
	return 0;
}

int rtnl_get_route(struct rtnl *rtnl, const struct weir_address *address, struct rtnl_route *ret)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct rtmsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct route_answer answer = { 0 };
	int error;

	request->nlmsg_type = RTM_GETROUTE;
	header->rtm_family = family_of(address);
	header->rtm_dst_len = address_is_v4(address) ? 32 : 128;
	put_address(request, RTA_DST, address);
	error = rtnl_request(rtnl, request, take_route, &answer);
	if (error < 0)
		return error;
	if (!answer.found)
		return -ENETUNREACH;
	*ret = answer.route;
	return 0;
}

static struct nlmsghdr *neighbour_request(char *buffer, uint16_t type, uint16_t flags,
					  const struct weir_address *address, uint32_t ifindex)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));

	request->nlmsg_type = type;
	request->nlmsg_flags = flags;
	header->ndm_family = family_of(address);
	header->ndm_ifindex = ifindex;
	put_address(request, NDA_DST, address);
	return request;
}

struct neighbour_answer {
	struct rtnl_neighbour neighbour;
	bool found;
};

static int take_neighbour(const struct nlmsghdr *message, void *data)
{
	struct neighbour_answer *answer = data;

	answer->found = rtnl_parse_neighbour(message, &answer->neighbour);
	return 0;
}

int rtnl_get_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
		       struct rtnl_neighbour *ret)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = neighbour_request(buffer, RTM_GETNEIGH, 0, address, ifindex);
	struct neighbour_answer answer = { 0 };
	int error = rtnl_request(rtnl, request, take_neighbour, &answer);

	if (error < 0)
		return error;
	if (!answer.found)
		return -ENOENT;
	*ret = answer.neighbour;
	return 0;
}

int rtnl_manage_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
			  bool create)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	uint16_t flags = create ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_REPLACE;
	struct nlmsghdr *request = neighbour_request(buffer, RTM_NEWNEIGH, flags, address, ifindex);
	struct ndmsg *header = mnl_nlmsg_get_payload(request);

	header->ndm_state = NUD_NONE;
	header->ndm_flags = NTF_EXT_LEARNED;
	mnl_attr_put_u32(request, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	mnl_attr_put_u8(request, NDA_PROTOCOL, RTNL_NEIGHBOUR_PROTOCOL);
	return rtnl_request(rtnl, request, NULL, NULL);
}

int rtnl_forget_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = neighbour_request(buffer, RTM_NEWNEIGH, NLM_F_REPLACE, address,
						     ifindex);
	struct ndmsg *header = mnl_nlmsg_get_payload(request);

	/* With NTF_EXT_MANAGED the kernel would ignore the state. */
	header->ndm_state = NUD_NONE;
	header->ndm_flags = NTF_EXT_LEARNED;
	mnl_attr_put_u8(request, NDA_PROTOCOL, RTNL_NEIGHBOUR_PROTOCOL);
	return rtnl_request(rtnl, request, NULL, NULL);
}

int rtnl_delete_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];

	return rtnl_request(rtnl, neighbour_request(buffer, RTM_DELNEIGH, 0, address, ifindex),
			    NULL, NULL);
}

struct netconf_answer {
	struct rtnl_netconf netconf;
	bool found;
};

static int take_netconf(const struct nlmsghdr *message, void *data)
{
	struct netconf_answer *answer = data;

	answer->found = rtnl_parse_netconf(message, &answer->netconf);
	return 0;
}

int rtnl_get_netconf(struct rtnl *rtnl, uint8_t family, uint32_t ifindex, struct rtnl_netconf *ret)
{
	_Alignas(struct nlmsghdr) char buffer[REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct netconfmsg *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	struct netconf_answer answer = { 0 };
	int error;

	request->nlmsg_type = RTM_GETNETCONF;
	header->ncm_family = family;
	mnl_attr_put_u32(request, NETCONFA_IFINDEX, ifindex);
	error = rtnl_request(rtnl, request, take_netconf, &answer);
	if (error < 0)
		return error;
	if (!answer.found)
		return -ENODEV;
	*ret = answer.netconf;
	return 0;
}
