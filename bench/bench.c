// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* One load of a large map is up to three times slower than the next: seven of each, at least. */
#define LOADS 7
#define LOADS_MILLION 5
#define LOADS_FULL 15

#define WRAPPER(kind_, ...)                                                                        \
	{                                                                                          \
		.name = "wrapper", .target = BENCH_NOTHING, .kind = TRAFFIC_##kind_, __VA_ARGS__   \
	}
#define WEIR(name_, kind_, reason_, ...)                                                           \
	{                                                                                          \
		.name = (name_), .target = BENCH_WEIR, .kind = TRAFFIC_##kind_,                    \
		.reason = WEIR_REASON_##reason_, __VA_ARGS__                                       \
	}

/* Those that make new flows come last in each load, in this order. */
static const struct path paths[] = {
	WRAPPER(YARDSTICK, .profiled = true),
	WRAPPER(YARDSTICK6),
	WRAPPER(NO_FLOW),
	WRAPPER(IPIP, .profiled = true),
	WRAPPER(IPIP6),
	WRAPPER(NEW_FLOW),
	WRAPPER(NEW_FLOW6),
	{ .name = "pass", .target = BENCH_PASS, .kind = TRAFFIC_YARDSTICK },
	{ .name = "bare", .target = BENCH_BARE, .kind = TRAFFIC_YARDSTICK, .profiled = true },
	{ .name = "one cache line", .target = BENCH_LINE, .kind = TRAFFIC_YARDSTICK },
	WEIR("nat, to backend", TCP_TO_BACKEND, TO_BACKEND, .profiled = true),
	WEIR("nat, to backend", TCP6_TO_BACKEND, TO_BACKEND),
	WEIR("nat, to client", TCP_TO_CLIENT, TO_CLIENT),
	WEIR("nat, to client", TCP6_TO_CLIENT, TO_CLIENT),
	WEIR("nat udp, to backend", UDP_TO_BACKEND, TO_BACKEND),
	WEIR("nat udp, to client", UDP_TO_CLIENT, TO_CLIENT),
	WEIR("dsr", DSR, TO_BACKEND, .profiled = true),
	WEIR("dsr", DSR6, TO_BACKEND),
	WEIR("ipip", IPIP, TO_BACKEND, .profiled = true),
	WEIR("ipip", IPIP6, TO_BACKEND),
	WEIR("not ours, passed", NOT_OURS, NOT_OURS),
	WEIR("not ours, passed", NOT_OURS6, NOT_OURS),
	WEIR("no flow, answered", NO_FLOW, NO_FLOW),
	WEIR("new nat flow", NEW_FLOW, NEW_FLOW),
	WEIR("new nat flow", NEW_FLOW6, NEW_FLOW),
	WEIR("new nat flow, flood", NEW_FLOW, NEW_FLOW, .flood = true),
	WEIR("new nat flow, flood", NEW_FLOW6, NEW_FLOW, .flood = true),
};

/*
 * The default limits, but as many for IPv6; ten backends and one SNAT address have ports for all the flows. A million
 * flows are loaded for one family at a time, as who has them would size the tables.
 */
static struct plan plans[] = {
	{ .sizes = { .flows = 262144,
		     .half_open = 65536,
		     .flows_v6 = 262144,
		     .half_open_v6 = 65536,
		     .sessions = 524288,
		     .snat_addresses = 1 },
	  .group_size = { 1, 1000, 50000 },
	  .group_count = 3,
	  .families = { [WEIR_IPV4] = true, [WEIR_IPV6] = true },
	  .udp = true,
	  .profiled = true },
	{ .sizes = { .flows = 1200000,
		     .half_open = 65536,
		     .flows_v6 = 1,
		     .half_open_v6 = 1,
		     .sessions = 2400000,
		     .snat_addresses = 8 },
	  .group_size = { 1000000 },
	  .group_count = 1,
	  .families = { [WEIR_IPV4] = true } },
	{ .sizes = { .flows = 1,
		     .half_open = 1,
		     .flows_v6 = 1200000,
		     .half_open_v6 = 65536,
		     .sessions = 2400000,
		     .snat_addresses = 8 },
	  .group_size = { 1000000 },
	  .group_count = 1,
	  .families = { [WEIR_IPV6] = true } },
};

static const char help[] =
	"usage: bench [--full] [--loads N] [--cpu N] [--few]\n"
	"Measures what a packet costs in weir's XDP programs and in yardsticks; prints all numbers "
	"as\n"
	"JSON. bench/path.py makes a table of them. Needs root and 2 GiB; sends nothing anywhere.\n"
	"  --full      load everything 15 times afresh (default: 7 times, 5 with 1,000,000 flows)\n"
	"  --loads N   N times, at most 64\n"
	"  --few       no more than 50,000 flows\n"
	"  --cpu N     run on this CPU (default: where it was started)\n"
	"  --compiler  only say what the BPF programs were compiled with\n";

struct options {
	uint32_t loads; /* 0: as many as usual */
	int cpu;
	bool few;
};

static void fail_usage(void)
{
	fputs(help, stderr);
	exit(2);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "full", no_argument, NULL, 'f' },
		{ "loads", required_argument, NULL, 'l' },
		{ "few", no_argument, NULL, 'w' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "compiler", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (letter) {
		case 'f':
			options->loads = LOADS_FULL;
			break;
		case 'l':
			options->loads = (uint32_t)strtoul(optarg, NULL, 10);
			if (!options->loads || options->loads > LOADS_MOST)
				fail_usage();
			break;
		case 'w':
			options->few = true;
			break;
		case 'c':
			options->cpu = atoi(optarg);
			break;
		case 'v':
			puts(BENCH_COMPILER);
			exit(0);
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fail_usage();
		}
	}
	if (optind != argc)
		fail_usage();
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static int measure(const struct options *options, size_t plan_count, struct error *error)
{
	struct program_sizes sizes;
	struct world world;
	int r;

	r = world_open(&world, error);
	if (r)
		return r;
	for (size_t i = 0; i < plan_count && !r; i++) {
		plans[i].loads = i ? LOADS_MILLION : LOADS;
		if (options->loads)
			plans[i].loads = options->loads;
		r = measure_plan(&plans[i], paths, ARRAY_SIZE(paths), &world, &sizes, error);
	}
	world_close(&world);
	if (r)
		return r;
	r = report_write(&sizes, plans, plan_count);
	return r ? error_set(error, r, "cannot write: %s", strerror(-r)) : 0;
}

int main(int argc, char **argv)
{
	struct options options = { .cpu = sched_getcpu() };
	struct error error = {};
	int r;

	parse_options(argc, argv, &options);
	if (pin(options.cpu)) {
		fprintf(stderr, "bench: there is no CPU %d\n", options.cpu);
		return 2;
	}
	r = measure(&options, options.few ? 1 : ARRAY_SIZE(plans), &error);
	if (r)
		fprintf(stderr, "bench: %s\n", error.text);
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++)
		measure_clear(&plans[i]);
	return r ? 1 : 0;
}
