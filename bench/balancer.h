/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "bench/world.h"
#include "src/datapath/datapath.h"

/*
 * The program under test: weir's datapath, loaded fresh, with a service of each mode and family (TCP and UDP) that turn
 * round over ten backends each, and nothing that would slow it down or speed it up in the bench alone.
 */

#define BALANCER_SERVICE "192.168.178.10"
#define BALANCER_PORT 8000 /* nat */
#define BALANCER_PORT_DSR 8001
#define BALANCER_PORT_IPIP 8002

struct balancer_sizes {
	uint32_t flows;
	uint32_t half_open;
	uint32_t flows_v6;
	uint32_t half_open_v6;
	uint32_t sessions;       /* of both families */
	uint32_t snat_addresses; /* the same */
};

/* @ifindex: where packets come in and go out. Close it with datapath_close(). */
int balancer_open(const struct balancer_sizes *sizes, uint32_t ifindex, struct datapath **ret,
		  struct error *error);

/* weir_slow, which weir_xdp hands all packets to that are not of established flows: an fd or a negative errno. */
int balancer_slow_fd(const struct datapath *datapath);
