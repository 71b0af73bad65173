/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "abi/reasons.h"
#include "bench/balancer.h"
#include "bench/profile.h"
#include "bench/traffic.h"
#include "bench/world.h"

#define LOADS_MOST 64

/* What the kernel says about a program. */
struct program_size {
	uint32_t verified_instructions;
	uint32_t jited_bytes;
};

struct program_sizes {
	struct program_size xdp;  /* weir_xdp, the way of established flows */
	struct program_size slow; /* weir_slow, which it hands all other packets to */
	struct program_size pass;
	struct program_size bare;
};

/* A program, and the packets that it gets. */
struct path {
	const char *name;
	enum bench_target target;
	enum traffic_kind kind;
	enum weir_reason reason; /* BENCH_WEIR: what each packet must meet */
	bool flood;              /* each SYN pushes another half-open flow out */
	bool profiled;           /* in the last load of a plan that is profiled */
};

/* A path with a number of flows. */
struct row {
	const struct path *path;
	uint32_t group;
	double ns[LOADS_MOST];  /* per packet, the wrapper included; the least of each load */
	struct profile profile; /* where its time goes, if the path is profiled */
};

/* What is loaded together: tables of one size, groups of flows, and the paths that they go. */
struct plan {
	struct balancer_sizes sizes;
	uint32_t group_size[TRAFFIC_GROUPS];
	uint32_t group_count;
	bool families[WEIR_FAMILIES];
	bool udp;
	bool profiled;
	uint32_t loads;
	struct row *rows; /* made by measure_plan() */
	size_t row_count;
};

/*
 * Loads weir and the yardsticks afresh plan->loads times, measures all rows in turn, several times in each load, and
 * keeps the least: whatever else the machine does only adds.
 */
int measure_plan(struct plan *plan, const struct path *paths, size_t path_count,
		 const struct world *world, struct program_sizes *sizes, struct error *error);
/* Frees the rows. */
void measure_clear(struct plan *plan);
