/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "bench/world.h"
#include "src/datapath/datapath.h"

/*
 * The program under test: weir's datapath, loaded fresh, with four services (TCP and UDP) that turn
 * round over ten backends each, and nothing that would slow it down or speed it up in the bench alone.
 */

#define BALANCER_SERVICE "192.168.178.10"
#define BALANCER_PORT 8000 /* nat, both families */
#define BALANCER_PORT_DSR 8001
#define BALANCER_PORT_IPIP 8002

struct balancer_sizes {
	uint32_t flows;
	uint32_t half_open;
	uint32_t flows_v6;
	uint32_t half_open_v6;
	uint32_t sessions;
	uint32_t snat_addresses;
};

/* @ifindex: where packets come in and go out. Close it with datapath_close(). */
int balancer_open(const struct balancer_sizes *sizes, uint32_t ifindex, struct datapath **ret,
		  struct error *error);

/* What the kernel says about a program. */
struct balancer_program {
	uint32_t verified_instructions;
	uint32_t jited_bytes;
};

struct balancer_programs {
	struct balancer_program xdp;  /* weir_xdp, the way of established flows */
	struct balancer_program slow; /* weir_slow, which it hands all other packets to */
};

int balancer_programs(const struct datapath *datapath, struct balancer_programs *ret);
