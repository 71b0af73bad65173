// SPDX-License-Identifier: GPL-2.0-only
#include "bench/measure.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/yardstick.h"

/* How often each row is measured in one load, and how long each time. */
#define BATCHES 5
#define BATCH_NS 20e6

/* Packets sent before the clock runs: at least until the branch predictors know the way. */
#define WARM_LEAST 2000
#define WARM_MOST 60000

#define FLOOD_BATCH 20000

/* UDP flows are promoted by a packet more than a second after the first (design: promotion). */
#define PROMOTION_NS 1100000000L

struct load {
	struct plan *plan;
	struct wrapper *wrapper;
	struct yardstick *yardstick;
	struct datapath *datapath;
	struct traffic traffic;
	uint32_t number;
};

/* Did @packets packets meet the fate that @row is about? Else its number would say nothing. */
static int check_fate(const struct row *row, uint32_t packets, uint32_t verdict,
		      const struct weir_counters *before, const struct weir_counters *after,
		      struct error *error)
{
	uint64_t seen = after->reasons[row->reason] - before->reasons[row->reason];

	if (row->target == BENCH_WEIR && seen < packets - packets / 1000)
		return error_set(error, -EPROTO, "%s: only %lu of %u packets went this way",
				 row->path, (unsigned long)seen, packets);
	if (row->target == BENCH_BARE && verdict != XDP_TX)
		return error_set(error, -EPROTO, "%s: the tuple was not found", row->path);
	return 0;
}

/* Runs @warm packets, then those that count: as many as fit in BATCH_NS, but @most at most. */
static int run_batch(struct load *load, struct row *row, uint32_t warm, uint32_t most,
		     struct error *error)
{
	struct weir_counters before, after;
	uint32_t packets, verdict;
	double ns;
	int r;

	r = datapath_read_counters(load->datapath, &before);
	if (!r)
		r = traffic_run(&load->traffic, row->kind, row->group, row->target, warm, &ns,
				NULL);
	if (r)
		return error_set(error, r, "%s: cannot run: %s", row->path, strerror(-r));
	packets = BATCH_NS / ns < most ? (uint32_t)(BATCH_NS / ns) : most;
	r = traffic_run(&load->traffic, row->kind, row->group, row->target, packets, &ns, &verdict);
	if (!r)
		r = datapath_read_counters(load->datapath, &after);
	if (r)
		return error_set(error, r, "%s: cannot run: %s", row->path, strerror(-r));
	if (!row->raw[load->number] || ns < row->raw[load->number])
		row->raw[load->number] = ns;
	return check_fate(row, warm + packets, verdict, &before, &after, error);
}

static bool makes_flows(const struct row *row)
{
	return row->target == BENCH_WEIR && row->kind == TRAFFIC_NEW_FLOW;
}

/* Everything that leaves the tables as they are, in turn. */
static int measure_steady(struct load *load, struct error *error)
{
	int r = 0;

	for (int batch = 0; batch < BATCHES && !r; batch++)
		for (size_t i = 0; i < load->plan->row_count && !r; i++) {
			struct row *row = &load->plan->rows[i];
			uint32_t warm = load->traffic.group_size[row->group];

			if (makes_flows(row))
				continue;
			if (warm < WARM_LEAST)
				warm = WARM_LEAST;
			if (warm > WARM_MOST)
				warm = WARM_MOST;
			r = run_batch(load, row, warm, INT32_MAX, error);
		}
	return r;
}

/* New flows: before the ring of half-open flows has come round once, and after. */
static int measure_growth(struct load *load, struct error *error)
{
	uint32_t ring = load->plan->sizes.half_open;
	uint32_t share = ring / (BATCHES + 1);
	int r = 0;

	for (size_t i = 0; i < load->plan->row_count && !r; i++) {
		struct row *row = &load->plan->rows[i];

		if (!makes_flows(row))
			continue;
		if (row->flood)
			r = traffic_run(&load->traffic, row->kind, 0, BENCH_WEIR, ring, NULL, NULL);
		for (int batch = 0; batch < BATCHES && !r; batch++)
			r = run_batch(load, row, share / 10,
				      row->flood ? FLOOD_BATCH : share * 9 / 10, error);
	}
	return r;
}

static int set_targets(struct load *load, struct error *error)
{
	int r = wrapper_set_target(load->wrapper, BENCH_PASS, yardstick_pass(load->yardstick));

	if (!r)
		r = wrapper_set_target(load->wrapper, BENCH_BARE, yardstick_bare(load->yardstick));
	if (!r)
		r = wrapper_set_target(load->wrapper, BENCH_WEIR, datapath_xdp_fd(load->datapath));
	if (r)
		error_set(error, r, "cannot put the programs under test in place: %s",
			  strerror(-r));
	return r;
}

static int open_flows(struct load *load, struct error *error)
{
	struct timespec pause = { PROMOTION_NS / 1000000000, PROMOTION_NS % 1000000000 };
	int r;

	r = traffic_open_flows(&load->traffic, load->datapath, load->plan->all, error);
	for (uint32_t i = 0; i < load->traffic.flows && !r; i++) {
		struct bench_tuple tuple = traffic_client(i);

		r = yardstick_add(load->yardstick, &tuple);
		if (r)
			error_set(error, r, "cannot fill the yardstick: %s", strerror(-r));
	}
	if (r || !load->plan->all)
		return r;
	nanosleep(&pause, NULL);
	return traffic_promote_udp(&load->traffic, load->datapath, error);
}

/* The frames of IPv6, of traffic that resizes them, and of new flows, take the wrapper longer. */
static enum traffic_kind wrapper_kind(enum traffic_kind kind)
{
	switch (kind) {
	case TRAFFIC_NO_FLOW:
	case TRAFFIC_NEW_FLOW:
	case TRAFFIC_IPIP:
		return kind;
	case TRAFFIC_TCP6_TO_BACKEND:
	case TRAFFIC_TCP6_TO_CLIENT:
	case TRAFFIC_NOT_OURS6:
	case TRAFFIC_YARDSTICK6:
		return TRAFFIC_YARDSTICK6;
	default:
		return TRAFFIC_YARDSTICK;
	}
}

/* NULL: there is no such row. */
static const struct row *find_row(const struct plan *plan, enum bench_target target,
				  enum traffic_kind kind, uint32_t group)
{
	for (size_t i = 0; i < plan->row_count; i++)
		if (plan->rows[i].target == target && plan->rows[i].kind == kind &&
		    plan->rows[i].group == group)
			return &plan->rows[i];
	return NULL;
}

static const struct row *wrapper_of(const struct plan *plan, const struct row *row)
{
	const struct row *found = find_row(plan, BENCH_NOTHING, wrapper_kind(row->kind),
					   row->group);

	if (!found)
		abort(); /* a table of rows without its wrapper */
	return found;
}

static int measure_load(struct load *load, const struct world *world,
			struct balancer_programs *programs, struct error *error)
{
	struct plan *plan = load->plan;
	int r;

	r = balancer_open(&plan->sizes, world->ifindex, &load->datapath, error);
	if (r)
		return r;
	r = balancer_programs(load->datapath, programs);
	if (r)
		return error_set(error, r, "cannot ask about the programs: %s", strerror(-r));
	r = yardstick_open(2 * datapath_tables(load->datapath)->records[WEIR_IPV4],
			   &load->yardstick, error);
	if (r)
		return r;
	r = set_targets(load, error);
	if (r)
		return r;
	traffic_init(&load->traffic, load->wrapper, plan->group_size, plan->group_count);
	r = open_flows(load, error);
	if (!r)
		r = measure_steady(load, error);
	if (!r)
		r = measure_growth(load, error);
	for (size_t i = 0; i < plan->row_count; i++) {
		struct row *row = &plan->rows[i];

		row->net[load->number] = row->raw[load->number] -
					 wrapper_of(plan, row)->raw[load->number];
	}
	return r;
}

int measure_plan(struct plan *plan, uint32_t loads, const struct world *world,
		 struct balancer_programs *programs, struct error *error)
{
	struct wrapper *wrapper = NULL;
	uint32_t flows = 0;
	int r;

	for (uint32_t i = 0; i < plan->group_count; i++)
		flows += plan->group_size[i];
	r = wrapper_open(traffic_tuples(flows), world->ifindex, &wrapper, error);
	for (uint32_t i = 0; i < loads && !r; i++) {
		struct load load = { .plan = plan, .wrapper = wrapper, .number = i };

		r = measure_load(&load, world, programs, error);
		yardstick_close(load.yardstick);
		datapath_close(load.datapath);
	}
	wrapper_close(wrapper);
	return r;
}

const struct row *measure_bare(const struct plan *plan, const struct row *row)
{
	const struct row *found = find_row(plan, BENCH_BARE, TRAFFIC_YARDSTICK, row->group);

	if (!found)
		abort(); /* a table of rows without its yardstick */
	return found;
}

const struct row *measure_ipv4(const struct plan *plan, const struct row *row)
{
	switch (row->kind) {
	case TRAFFIC_TCP6_TO_BACKEND:
		return find_row(plan, row->target, TRAFFIC_TCP_TO_BACKEND, row->group);
	case TRAFFIC_TCP6_TO_CLIENT:
		return find_row(plan, row->target, TRAFFIC_TCP_TO_CLIENT, row->group);
	case TRAFFIC_NOT_OURS6:
		return find_row(plan, row->target, TRAFFIC_NOT_OURS, row->group);
	default:
		return NULL;
	}
}
