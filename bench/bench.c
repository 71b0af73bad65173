// SPDX-License-Identifier: GPL-2.0-only
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define LOADS_LEAST 7 /* one load of a large map is up to three times slower than the next */

/* Goals are those of the design, times bare; of IPv6, times the same path of IPv4. */
#define GOAL_IPV6 1.3
#define GOAL_ESTABLISHED 1.4
#define GOAL_IPIP 1.8
#define GOAL_MILLION 1.5
#define GOAL_PASSED 2
#define GOAL_NEW_FLOW 10
#define GOAL_FLOOD 16

#define NOTHING(path_, kind_, group_)                                                              \
	{                                                                                          \
		.path = (path_), .target = BENCH_NOTHING, .kind = TRAFFIC_##kind_,                 \
		.group = (group_)                                                                  \
	}
#define YARDSTICK(path_, target_, group_)                                                          \
	{                                                                                          \
		.path = (path_), .target = BENCH_##target_, .kind = TRAFFIC_YARDSTICK,             \
		.group = (group_)                                                                  \
	}
#define WEIR(path_, kind_, group_, reason_, ...)                                                   \
	{                                                                                          \
		.path = (path_), .target = BENCH_WEIR, .kind = TRAFFIC_##kind_, .group = (group_), \
		.reason = WEIR_REASON_##reason_, __VA_ARGS__                                       \
	}

enum { ONE, THOUSAND, MANY };

/* The rows that make new flows come last in each load, in this order. */
static struct row standard_rows[] = {
	NOTHING("known", YARDSTICK, ONE),
	NOTHING("known", YARDSTICK, THOUSAND),
	NOTHING("known", YARDSTICK, MANY),
	NOTHING("known ipv6", YARDSTICK6, ONE),
	NOTHING("known ipv6", YARDSTICK6, THOUSAND),
	NOTHING("known ipv6", YARDSTICK6, MANY),
	NOTHING("resized", NO_FLOW, MANY),
	NOTHING("resized in front", IPIP, ONE),
	NOTHING("resized in front", IPIP, MANY),
	NOTHING("fresh", NEW_FLOW, MANY),
	YARDSTICK("yardstick pass", PASS, ONE),
	YARDSTICK("yardstick bare", BARE, ONE),
	YARDSTICK("yardstick bare", BARE, THOUSAND),
	YARDSTICK("yardstick bare", BARE, MANY),
	WEIR("nat tcp, client to backend", TCP_TO_BACKEND, ONE, TO_BACKEND,
	     .goal = GOAL_ESTABLISHED, .floor = true),
	WEIR("nat tcp, client to backend", TCP_TO_BACKEND, THOUSAND, TO_BACKEND,
	     .goal = GOAL_ESTABLISHED),
	WEIR("nat tcp, client to backend", TCP_TO_BACKEND, MANY, TO_BACKEND,
	     .goal = GOAL_ESTABLISHED, .floor = true),
	WEIR("nat tcp, backend to client", TCP_TO_CLIENT, ONE, TO_CLIENT, .goal = GOAL_ESTABLISHED,
	     .floor = true),
	WEIR("nat tcp, backend to client", TCP_TO_CLIENT, THOUSAND, TO_CLIENT,
	     .goal = GOAL_ESTABLISHED),
	WEIR("nat tcp, backend to client", TCP_TO_CLIENT, MANY, TO_CLIENT, .goal = GOAL_ESTABLISHED,
	     .floor = true),
	WEIR("nat udp, client to backend", UDP_TO_BACKEND, ONE, TO_BACKEND, .goal = 0),
	WEIR("nat udp, client to backend", UDP_TO_BACKEND, MANY, TO_BACKEND, .goal = 0),
	WEIR("nat udp, backend to client", UDP_TO_CLIENT, ONE, TO_CLIENT, .goal = 0),
	WEIR("nat udp, backend to client", UDP_TO_CLIENT, MANY, TO_CLIENT, .goal = 0),
	WEIR("nat ipv6 tcp, client to backend", TCP6_TO_BACKEND, ONE, TO_BACKEND,
	     .goal = GOAL_IPV6),
	WEIR("nat ipv6 tcp, client to backend", TCP6_TO_BACKEND, THOUSAND, TO_BACKEND,
	     .goal = GOAL_IPV6),
	WEIR("nat ipv6 tcp, client to backend", TCP6_TO_BACKEND, MANY, TO_BACKEND,
	     .goal = GOAL_IPV6),
	WEIR("nat ipv6 tcp, backend to client", TCP6_TO_CLIENT, ONE, TO_CLIENT, .goal = GOAL_IPV6),
	WEIR("nat ipv6 tcp, backend to client", TCP6_TO_CLIENT, THOUSAND, TO_CLIENT,
	     .goal = GOAL_IPV6),
	WEIR("nat ipv6 tcp, backend to client", TCP6_TO_CLIENT, MANY, TO_CLIENT, .goal = GOAL_IPV6),
	WEIR("dsr tcp", DSR, ONE, TO_BACKEND, .goal = GOAL_ESTABLISHED),
	WEIR("dsr tcp", DSR, MANY, TO_BACKEND, .goal = GOAL_ESTABLISHED),
	WEIR("ipip tcp", IPIP, ONE, TO_BACKEND, .goal = GOAL_IPIP),
	WEIR("ipip tcp", IPIP, MANY, TO_BACKEND, .goal = GOAL_IPIP),
	WEIR("not ours, passed", NOT_OURS, ONE, NOT_OURS, .goal = GOAL_PASSED),
	WEIR("not ours, passed", NOT_OURS, MANY, NOT_OURS, .goal = GOAL_PASSED),
	WEIR("not ours ipv6, passed", NOT_OURS6, ONE, NOT_OURS, .goal = GOAL_IPV6),
	WEIR("not ours ipv6, passed", NOT_OURS6, MANY, NOT_OURS, .goal = GOAL_IPV6),
	WEIR("tcp without flow, answered", NO_FLOW, MANY, NO_FLOW, .goal = 0),
	WEIR("new nat flow, with room", NEW_FLOW, MANY, NEW_FLOW, .goal = GOAL_NEW_FLOW),
	WEIR("new nat flow, under flood", NEW_FLOW, MANY, NEW_FLOW, .flood = true,
	     .goal = GOAL_FLOOD),
};

static struct row million_rows[] = {
	NOTHING("known", YARDSTICK, ONE),
	YARDSTICK("yardstick bare", BARE, ONE),
	WEIR("nat tcp, client to backend", TCP_TO_BACKEND, ONE, TO_BACKEND, .goal = GOAL_MILLION),
	WEIR("nat tcp, backend to client", TCP_TO_CLIENT, ONE, TO_CLIENT, .goal = GOAL_MILLION),
};

/* The default limits; ten backends and one SNAT address have ports for all the flows. */
static struct plan standard = {
	.sizes = { .flows = 262144,
		   .half_open = 65536,
		   .flows_v6 = 65536,
		   .half_open_v6 = 16384,
		   .sessions = 262144,
		   .snat_addresses = 1 },
	.group_size = { [ONE] = 1, [THOUSAND] = 1000, [MANY] = 50000 },
	.group_count = 3,
	.all = true,
	.rows = standard_rows,
	.row_count = ARRAY_SIZE(standard_rows),
};

static struct plan million = {
	.sizes = { .flows = 1048576, .half_open = 65536, .snat_addresses = 8 },
	.group_size = { 1000000 },
	.group_count = 1,
	.rows = million_rows,
	.row_count = ARRAY_SIZE(million_rows),
};

struct options {
	uint32_t loads;
	int cpu;
	bool full;
	bool gate;
	const char *json;
};

static const char help[] =
	"usage: bench [--full] [--loads N] [--cpu N] [--json FILE] [--gate]\n"
	"Measures what a packet costs in weir's XDP program, as a multiple of the yardstick bare\n"
	"(parse, one lookup of a 16-byte key, send). Needs root; sends nothing anywhere.\n"
	"  --full       with 1,000,000 flows as well (two minutes, 1.5 GB)\n"
	"  --loads N    load everything N times afresh and take the median (7, at most 64)\n"
	"  --cpu N      run on this CPU (default: where it was started)\n"
	"  --json FILE  write the numbers to FILE too\n"
	"  --gate       exit 1 if an established nat packet costs more than 2.5 times bare\n";

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "full", no_argument, NULL, 'f' },
		{ "loads", required_argument, NULL, 'l' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "json", required_argument, NULL, 'j' },
		{ "gate", no_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (letter) {
		case 'f':
			options->full = true;
			break;
		case 'l':
			options->loads = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			options->cpu = atoi(optarg);
			break;
		case 'j':
			options->json = optarg;
			break;
		case 'g':
			options->gate = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(0);
		default:
			fputs(help, stderr);
			exit(2);
		}
	}
	if (optind != argc || !options->loads || options->loads > LOADS_MOST) {
		fputs(help, stderr);
		exit(2);
	}
}

static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

static int measure(const struct options *options, struct report_head *head, struct error *error)
{
	const struct plan *plans[] = { &standard, &million };
	struct world world;
	int r;

	r = world_open(&world, error);
	if (r)
		return r;
	r = measure_plan(&standard, options->loads, &world, &head->programs, error);
	if (!r) {
		report_print_head(head);
		report_print_plan(&standard, options->loads);
		fflush(stdout);
	}
	if (!r && options->full) {
		r = measure_plan(&million, options->loads, &world, &head->programs, error);
		if (!r)
			report_print_plan(&million, options->loads);
	}
	world_close(&world);
	if (!r && options->json) {
		r = report_write_json(options->json, head, plans, options->full ? 2 : 1);
		if (r)
			error_set(error, r, "cannot write %s: %s", options->json, strerror(-r));
	}
	return r;
}

int main(int argc, char **argv)
{
	struct options options = { .loads = LOADS_LEAST, .cpu = sched_getcpu() };
	struct error error = {};
	struct report_head head;

	parse_options(argc, argv, &options);
	report_head_fill(&head, argc, argv, options.loads);
	if (pin(options.cpu)) {
		fprintf(stderr, "bench: there is no CPU %d\n", options.cpu);
		return 2;
	}
	if (measure(&options, &head, &error)) {
		fprintf(stderr, "bench: %s\n", error.text);
		return 1;
	}
	if (options.gate && report_gate(&standard, options.loads))
		return 1;
	return 0;
}
