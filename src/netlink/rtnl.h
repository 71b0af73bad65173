/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "abi/address.h"

/* Netlink messages as typed structs: sockets, requests, and the parsers of what comes back. */

/* Marks our neighbour entries (`ip neigh` shows "proto 119"), so that a later run knows them. */
#define RTNL_NEIGHBOUR_PROTOCOL 119

/* Enough for every notification and for one piece of a dump. */
#define RTNL_BUFFER_SIZE 32768

struct rtnl {
	struct mnl_socket *socket;
	uint32_t sequence;
	bool broken; /* the socket itself failed, not one request */
};

struct rtnl_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t lower; /* of a VLAN device: the one that its frames leave by; 0: none here */
	uint16_t vlan;  /* the tag that it puts on */
	bool ethernet;  /* has MAC addresses and resolves them */
	bool admin_up;
	bool running; /* up, with a carrier */
};

struct rtnl_route {
	uint8_t type;                /* RTN_* */
	uint32_t ifindex;            /* egress, 0: none */
	struct weir_address gateway; /* zero: none */
	struct weir_address source;  /* zero: none */
	uint32_t mtu;                /* 0: that of the link */
};

struct rtnl_neighbour {
	struct weir_address address;
	uint32_t ifindex;
	uint16_t state; /* NUD_* */
	bool has_mac;
	uint8_t mac[6];
	uint8_t protocol;
	bool managed;
	bool learned;
};

struct rtnl_address {
	struct weir_address address;
	uint32_t ifindex;
	uint8_t prefix;
	bool valid; /* not being tested for a duplicate, and none was found */
	bool deprecated;
};

struct rtnl_netconf {
	uint8_t family; /* AF_INET, AF_INET6 */
	uint32_t ifindex;
	bool forwarding;
};

/* Called for each message of an answer. Negative errno ends up in the result of the request. */
typedef int (*rtnl_handler)(const struct nlmsghdr *message, void *data);
typedef int (*rtnl_gateway_handler)(const struct weir_address *gateway, uint32_t ifindex,
				    void *data);

/* Opens a socket of NETLINK_* @bus with SOCK_* @flags. Close also one that was never opened. */
int rtnl_open(struct rtnl *rtnl, int bus, int flags);
void rtnl_close(struct rtnl *rtnl);

/*
 * Sends @request and hands each message of the answer to @handle (NULL: none is expected but an
 * acknowledgement). Returns 0, the kernel's answer as a negative errno, or -EINTR: a dump was
 * overtaken by a change.
 */
int rtnl_request(struct rtnl *rtnl, struct nlmsghdr *request, rtnl_handler handle, void *data);

/* Dumps all objects of a type (RTM_GET*) and family (AF_*); repeats a dump that was overtaken. */
int rtnl_dump(struct rtnl *rtnl, uint16_t type, uint8_t family, rtnl_handler handle, void *data);

int rtnl_get_link(struct rtnl *rtnl, uint32_t ifindex, struct rtnl_link *ret);
/* Asks where a packet to @address would go; unreachable routes answer as negative errno. */
int rtnl_get_route(struct rtnl *rtnl, const struct weir_address *address, struct rtnl_route *ret);
/* -ENOENT: there is none. */
int rtnl_get_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
		       struct rtnl_neighbour *ret);
int rtnl_get_netconf(struct rtnl *rtnl, uint8_t family, uint32_t ifindex, struct rtnl_netconf *ret);

/*
 * Lets the kernel keep a neighbour resolved. @create: make the entry (-EEXIST if there is one);
 * else take over the existing one with the MAC address it has (-ENOENT if there is none).
 */
int rtnl_manage_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex,
			  bool create);
/* Makes the kernel forget the MAC address of a neighbour; the entry is no longer managed afterwards. */
int rtnl_forget_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex);
int rtnl_delete_neighbour(struct rtnl *rtnl, const struct weir_address *address, uint32_t ifindex);

/* Parsers: false if the message is not about such an object. */
bool rtnl_parse_link(const struct nlmsghdr *message, struct rtnl_link *ret);
bool rtnl_parse_route(const struct nlmsghdr *message, struct rtnl_route *ret);
bool rtnl_parse_neighbour(const struct nlmsghdr *message, struct rtnl_neighbour *ret);
bool rtnl_parse_address(const struct nlmsghdr *message, struct rtnl_address *ret);
bool rtnl_parse_netconf(const struct nlmsghdr *message, struct rtnl_netconf *ret);
/* Each gateway of a unicast route and the interface it is reached through. */
int rtnl_parse_gateways(const struct nlmsghdr *message, rtnl_gateway_handler handle, void *data);
