/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "src/base/error.h"

/*
 * A network namespace of this process' own, with one tap device on the load balancer's link, a route
 * to the clients of each family through a gateway and forwarding on: what bpf_fib_lookup() asks for. Nothing is ever
 * sent there. It goes away with the process.
 */
struct world {
	int tap;
	uint32_t ifindex;
};

#define WORLD_ADDRESS "192.168.178.10"
#define WORLD_GATEWAY "192.168.178.2"

/* In IPv6, each host has its IPv4 address behind this prefix of 96 bits. */
#define WORLD_PREFIX6 "2001:db8::"
#define WORLD_GATEWAY6 WORLD_PREFIX6 WORLD_GATEWAY

int world_open(struct world *ret, struct error *error);
void world_close(struct world *world);
