/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/datapath/datapath.h"

/*
 * The program under test: weir's datapath, loaded fresh, with one service (TCP and UDP) that turns
 * round over ten backends, and nothing that would slow it down or speed it up in the bench alone.
 */

#define BALANCER_SERVICE "192.168.178.10"
#define BALANCER_PORT 8000

struct balancer_sizes {
	uint32_t flows;
	uint32_t half_open;
	uint32_t snat_addresses;
};

/* @ifindex: where packets come in and go out. Close it with datapath_close(). */
int balancer_open(const struct balancer_sizes *sizes, uint32_t ifindex, struct datapath **ret,
		  struct error *error);

/* What the kernel says about the XDP program. */
struct balancer_program {
	uint32_t verified_instructions;
	uint32_t jited_bytes;
};

int balancer_program(const struct datapath *datapath, struct balancer_program *ret);
