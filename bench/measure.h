/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "abi/reasons.h"
#include "bench/balancer.h"
#include "bench/traffic.h"
#include "bench/world.h"

#define LOADS_MOST 64

/* One line of the table: a program, and the packets it gets. */
struct row {
	const char *path;
	enum bench_target target;
	enum traffic_kind kind;
	uint32_t group;
	enum weir_reason reason; /* BENCH_WEIR: what each packet must meet */
	bool flood;              /* each SYN pushes another half-open flow out */
	double goal;             /* times bare, of IPv6: times the same row of IPv4; 0: none */
	bool floor;              /* counts for the gate */
	/* Output, one value for each load: ns per packet with and without the wrapper. */
	double raw[LOADS_MOST];
	double net[LOADS_MOST];
};

/* What is loaded together: tables of one size, groups of flows, and the rows that need them. */
struct plan {
	struct balancer_sizes sizes;
	uint32_t group_size[TRAFFIC_GROUPS];
	uint32_t group_count;
	bool all; /* flows of all kinds, not of nat in IPv4/TCP alone */
	struct row *rows;
	size_t row_count;
};

/*
 * Loads weir and the yardsticks @loads times afresh, measures all rows of @plan in turn, several
 * times in each load, and keeps the least: whatever else the machine does only adds.
 */
int measure_plan(struct plan *plan, uint32_t loads, const struct world *world,
		 struct balancer_programs *programs, struct error *error);

/* The row of the bare yardstick that @row is compared with. */
const struct row *measure_bare(const struct plan *plan, const struct row *row);

/* The row of IPv4 that @row of IPv6 is compared with. NULL: it is of IPv4 itself. */
const struct row *measure_ipv4(const struct plan *plan, const struct row *row);
