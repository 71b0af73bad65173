// SPDX-License-Identifier: GPL-2.0-only
#include "bench/measure.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/primitives.h"
#include "bench/yardstick.h"
#include "src/base/cleanup.h"

/* How often each row is measured in one load, and how long each time. */
#define BATCHES 4
#define BATCH_NS 15e6

/* Packets sent before the clock runs: at least until the branch predictors know the way. */
#define WARM_LEAST 2000
#define WARM_MOST 60000

#define FLOOD_BATCH 20000

/* Long enough for some thousand samples. */
#define PROFILE_NS 0.5e9
#define PROFILE_WARM 20000

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
	uint64_t seen = after->reasons[row->path->reason] - before->reasons[row->path->reason];

	if (row->path->target == BENCH_WEIR && seen < packets - packets / 1000)
		return error_set(error, -EPROTO, "%s: only %lu of %u packets went this way",
				 row->path->name, (unsigned long)seen, packets);
	if ((row->path->target == BENCH_BARE || row->path->target == BENCH_LINE) &&
	    verdict != XDP_TX)
		return error_set(error, -EPROTO, "%s: the tuple was not found", row->path->name);
	return 0;
}

/* Runs @warm packets, then those that count: as many as fit in BATCH_NS, but @most at most. */
static int run_batch(struct load *load, struct row *row, uint32_t warm, uint32_t most,
		     struct error *error)
{
	const struct path *path = row->path;
	struct weir_counters before, after;
	uint32_t packets, verdict;
	double ns;
	int r;

	r = datapath_read_counters(load->datapath, &before);
	if (!r)
		r = traffic_run(&load->traffic, path->kind, row->group, path->target, warm, &ns,
				NULL);
	if (r)
		return error_set(error, r, "%s: cannot run: %s", path->name, strerror(-r));
	packets = BATCH_NS / ns < most ? (uint32_t)(BATCH_NS / ns) : most;
	r = traffic_run(&load->traffic, path->kind, row->group, path->target, packets, &ns,
			&verdict);
	if (!r)
		r = datapath_read_counters(load->datapath, &after);
	if (r)
		return error_set(error, r, "%s: cannot run: %s", path->name, strerror(-r));
	if (!row->ns[load->number] || ns < row->ns[load->number])
		row->ns[load->number] = ns;
	return check_fate(row, warm + packets, verdict, &before, &after, error);
}

static bool makes_flows(const struct path *path)
{
	return path->target == BENCH_WEIR &&
	       (path->kind == TRAFFIC_NEW_FLOW || path->kind == TRAFFIC_NEW_FLOW6);
}

/* Each flow once, where that is likely to bring something into the cache that stays there. */
static uint32_t warm_up(uint32_t flows)
{
	if (flows < WARM_LEAST)
		return WARM_LEAST;
	return flows <= WARM_MOST ? flows : WARM_LEAST;
}

/* Everything that leaves the tables as they are, in turn. */
static int measure_steady(struct load *load, struct error *error)
{
	int r = 0;

	for (int batch = 0; batch < BATCHES && !r; batch++)
		for (size_t i = 0; i < load->plan->row_count && !r; i++) {
			struct row *row = &load->plan->rows[i];

			if (!makes_flows(row->path))
				r = run_batch(load, row,
					      warm_up(load->traffic.group_size[row->group]),
					      INT32_MAX, error);
		}
	return r;
}

/* New flows: before the ring of half-open flows has come round once, and after. */
static int measure_growth(struct load *load, struct error *error)
{
	const struct balancer_sizes *sizes = &load->plan->sizes;
	int r = 0;

	for (size_t i = 0; i < load->plan->row_count && !r; i++) {
		struct row *row = &load->plan->rows[i];
		const struct path *path = row->path;
		uint32_t ring, share;

		if (!makes_flows(path))
			continue;
		ring = traffic_is_ipv6(path->kind) ? sizes->half_open_v6 : sizes->half_open;
		share = ring / (BATCHES + 1);
		if (path->flood)
			r = traffic_run(&load->traffic, path->kind, 0, BENCH_WEIR, ring, NULL,
					NULL);
		for (int batch = 0; batch < BATCHES && !r; batch++)
			r = run_batch(load, row, share / 10,
				      path->flood ? FLOOD_BATCH : share * 9 / 10, error);
	}
	return r;
}

static int profile_row(struct load *load, struct profiler *profiler, struct row *row)
{
	const struct path *path = row->path;
	uint32_t verdict;
	double ns;
	int r;

	r = traffic_run(&load->traffic, path->kind, row->group, path->target, PROFILE_WARM, &ns,
			NULL);
	if (!r)
		r = profiler_start(profiler);
	if (r)
		return r;
	r = traffic_run(&load->traffic, path->kind, row->group, path->target,
			(uint32_t)(PROFILE_NS / ns), NULL, &verdict);
	return r ? r : profiler_stop(profiler, &row->profile);
}

/* Where the time goes, with the fewest flows and with the most. */
static int profile_rows(struct load *load, struct error *error)
{
	_cleanup_close_ int slow = balancer_slow_fd(load->datapath);
	const struct profile_program programs[] = {
		{ "wrapper", wrapper_program(load->wrapper) },
		{ "bare", yardstick_bare(load->yardstick) },
		{ "weir_xdp", datapath_xdp_fd(load->datapath) },
		{ "weir_slow", slow },
	};
	struct profiler *profiler = NULL;
	int r;

	r = profiler_open(programs, sizeof(programs) / sizeof(programs[0]), &profiler);
	for (size_t i = 0; i < load->plan->row_count && !r; i++) {
		struct row *row = &load->plan->rows[i];

		if (row->path->profiled &&
		    (!row->group || row->group == load->plan->group_count - 1))
			r = profile_row(load, profiler, row);
	}
	profiler_close(profiler);
	return r ? error_set(error, r, "cannot take samples: %s", strerror(-r)) : 0;
}

static int set_targets(struct load *load, struct error *error)
{
	int r = wrapper_set_target(load->wrapper, BENCH_PASS, yardstick_pass(load->yardstick));

	if (!r)
		r = wrapper_set_target(load->wrapper, BENCH_BARE, yardstick_bare(load->yardstick));
	if (!r)
		r = wrapper_set_target(load->wrapper, BENCH_LINE, yardstick_line(load->yardstick));
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

	r = traffic_open_flows(&load->traffic, load->datapath, load->plan->families,
			       load->plan->udp, error);
	for (uint32_t i = 0; i < load->traffic.flows && !r; i++) {
		struct bench_tuple tuple = traffic_client(i);

		r = yardstick_add(load->yardstick, &tuple);
		if (r)
			error_set(error, r, "cannot fill the yardstick: %s", strerror(-r));
	}
	if (r || !load->plan->udp)
		return r;
	nanosleep(&pause, NULL);
	return traffic_promote_udp(&load->traffic, load->datapath, error);
}

static int ask_size(int fd, struct program_size *ret)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int r = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (r)
		return r;
	*ret = (struct program_size){ info.verified_insns, info.jited_prog_len };
	return 0;
}

static int ask_sizes(const struct load *load, struct program_sizes *ret, struct error *error)
{
	_cleanup_close_ int slow = balancer_slow_fd(load->datapath);
	int r = slow < 0 ? slow : ask_size(slow, &ret->slow);

	if (!r)
		r = ask_size(datapath_xdp_fd(load->datapath), &ret->xdp);
	if (!r)
		r = ask_size(yardstick_bare(load->yardstick), &ret->bare);
	if (!r)
		r = ask_size(yardstick_pass(load->yardstick), &ret->pass);
	return r ? error_set(error, r, "cannot ask about the programs: %s", strerror(-r)) : 0;
}

static int measure_load(struct load *load, const struct world *world, struct program_sizes *sizes,
			struct error *error)
{
	const struct plan *plan = load->plan;
	const uint32_t *records;
	int r;

	r = balancer_open(&plan->sizes, world->ifindex, &load->datapath, error);
	if (r)
		return r;
	records = datapath_tables(load->datapath)->records;
	r = yardstick_open(2 * (records[WEIR_IPV4] > records[WEIR_IPV6] ? records[WEIR_IPV4] :
									  records[WEIR_IPV6]),
			   &load->yardstick, error);
	if (r)
		return r;
	r = set_targets(load, error);
	if (!r)
		r = ask_sizes(load, sizes, error);
	if (r)
		return r;
	traffic_init(&load->traffic, load->wrapper, plan->group_size, plan->group_count);
	r = open_flows(load, error);
	if (!r)
		r = measure_steady(load, error);
	if (!r && plan->profiled)
		r = primitives_measure(&load->traffic, load->number, error);
	if (!r && plan->profiled && load->number == plan->loads - 1)
		r = profile_rows(load, error);
	return r ? r : measure_growth(load, error);
}

/* Has @plan what @path needs? Paths of new flows have no groups, and are gone once. */
static bool is_planned(const struct plan *plan, const struct path *path, uint32_t group)
{
	enum weir_family family = traffic_is_ipv6(path->kind) ? WEIR_IPV6 : WEIR_IPV4;

	if (traffic_is_udp(path->kind) && !plan->udp)
		return false;
	if (traffic_is_fresh(path->kind) && group != plan->group_count - 1)
		return false;
	return path->kind == TRAFFIC_YARDSTICK || plan->families[family];
}

static int make_rows(struct plan *plan, const struct path *paths, size_t path_count)
{
	plan->rows = calloc(path_count * plan->group_count, sizeof(*plan->rows));
	if (!plan->rows)
		return -ENOMEM;
	for (size_t i = 0; i < path_count; i++)
		for (uint32_t group = 0; group < plan->group_count; group++)
			if (is_planned(plan, &paths[i], group))
				plan->rows[plan->row_count++] = (struct row){ .path = &paths[i],
									      .group = group };
	return 0;
}

int measure_plan(struct plan *plan, const struct path *paths, size_t path_count,
		 const struct world *world, struct program_sizes *sizes, struct error *error)
{
	struct wrapper *wrapper = NULL;
	uint32_t flows = 0;
	int r;

	r = make_rows(plan, paths, path_count);
	if (r)
		return error_set(error, r, "out of memory");
	for (uint32_t i = 0; i < plan->group_count; i++)
		flows += plan->group_size[i];
	r = wrapper_open(traffic_tuples(flows), world->ifindex, &wrapper, error);
	for (uint32_t i = 0; i < plan->loads && !r; i++) {
		struct load load = { .plan = plan, .wrapper = wrapper, .number = i };

		r = measure_load(&load, world, sizes, error);
		yardstick_close(load.yardstick);
		datapath_close(load.datapath);
	}
	wrapper_close(wrapper);
	return r;
}

void measure_clear(struct plan *plan)
{
	for (size_t i = 0; i < plan->row_count; i++)
		free(plan->rows[i].profile.spots);
	free(plan->rows);
	plan->rows = NULL;
	plan->row_count = 0;
}
