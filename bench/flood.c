// SPDX-License-Identifier: GPL-2.0-only
/*
 * Floods a load balancer with UDP of many flows and counts what it forwards, on its cable and in
 * the namespace of its switch. Frames are made by BPF_PROG_TEST_RUN and sent as XDP sends them;
 * what comes back is counted and dropped where the switch would receive it.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/flood.h"

#include "flood.skel.h"

#define BATCH 64
#define CHUNK (BATCH * 512) /* frames a system call */
#define WARM_ROUNDS 4       /* how often each flow is sent before it counts */
#define WARM_SECONDS 0.2

struct options {
	const char *interface;
	const char *from, *to; /* MAC addresses */
	const char *service;   /* also the address that backends see */
	uint16_t port;         /* of the service and of the backends */
	uint32_t flows;
	double seconds;
	int cpu;
};

static void __attribute__((noreturn, format(printf, 2, 3))) fail(int r, const char *format, ...)
{
	va_list arguments;

	fputs("flood: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s%s\n", r ? ": " : "", r ? strerror(abs(r)) : "");
	exit(1);
}

static void fill_ethernet(struct ethhdr *ethernet, const struct options *options, uint16_t protocol)
{
	struct ether_addr address;

	if (!ether_aton_r(options->from, &address))
		fail(0, "%s is no MAC address", options->from);
	memcpy(ethernet->h_source, &address, ETH_ALEN);
	if (!ether_aton_r(options->to, &address))
		fail(0, "%s is no MAC address", options->to);
	memcpy(ethernet->h_dest, &address, ETH_ALEN);
	ethernet->h_proto = htons(protocol);
}

static uint32_t sum(uint32_t total, const void *data, size_t length)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		total += byte[i] << 8 | byte[i + 1];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

static struct udphdr udp_header(const struct options *options)
{
	return (struct udphdr){
		.dest = htons(options->port),
		.len = htons(sizeof(struct udphdr) + FLOOD_PAYLOAD),
	};
}

/* From 198.18.0.0/16, which is for benchmarks (RFC 2544). */
static uint32_t fill_frame(struct flood_frame *frame, const struct options *options,
			   struct flood_state *state)
{
	const struct udphdr udp = udp_header(options);

	fill_ethernet(&frame->ethernet, options, ETH_P_IP);
	frame->udp = udp;
	frame->ip.version = 4;
	frame->ip.ihl = 5;
	frame->ip.tot_len = htons(sizeof(*frame) - ETH_HLEN);
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_UDP;
	frame->ip.saddr = htonl(0xc6120000);
	if (inet_pton(AF_INET, options->service, &frame->ip.daddr) != 1)
		fail(0, "%s is no address", options->service);
	state->balancer[0] = frame->ip.daddr;
	state->ip_sum = sum(0, &frame->ip, sizeof(frame->ip));
	state->udp_sum = sum(IPPROTO_UDP + ntohs(udp.len), &frame->ip.saddr, 8);
	state->udp_sum = sum(state->udp_sum, &udp, sizeof(udp));
	return sizeof(*frame);
}

/* From 2001:2::/48, which is for benchmarks, too (RFC 5180). */
static uint32_t fill_frame6(struct flood_frame6 *frame, const struct options *options,
			    struct flood_state *state)
{
	const struct udphdr udp = udp_header(options);

	fill_ethernet(&frame->ethernet, options, ETH_P_IPV6);
	frame->udp = udp;
	frame->ip.version = 6;
	frame->ip.payload_len = udp.len;
	frame->ip.nexthdr = IPPROTO_UDP;
	frame->ip.hop_limit = 64;
	frame->ip.saddr.s6_addr32[0] = htonl(0x20010002);
	if (inet_pton(AF_INET6, options->service, &frame->ip.daddr) != 1)
		fail(0, "%s is no address", options->service);
	memcpy(state->balancer, &frame->ip.daddr, sizeof(state->balancer));
	state->udp_sum = sum(IPPROTO_UDP + ntohs(udp.len), &frame->ip.saddr, 32);
	state->udp_sum = sum(state->udp_sum, &udp, sizeof(udp));
	return sizeof(*frame);
}

/* Returns the length of a frame. */
static uint32_t fill_state(struct flood_state *state, const struct options *options)
{
	union {
		struct flood_frame v4;
		struct flood_frame6 v6;
	} frame = {};
	uint32_t length;

	state->v6 = strchr(options->service, ':') != NULL;
	length = state->v6 ? fill_frame6(&frame.v6, options, state) :
			     fill_frame(&frame.v4, options, state);
	memcpy(state->headers, &frame, sizeof(state->headers));
	state->ifindex = if_nametoindex(options->interface);
	if (!state->ifindex)
		fail(errno, "%s", options->interface);
	state->flows = options->flows;
	state->port = options->port;
	return length;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Returns how many frames were sent in the time. */
static uint64_t flood(struct flood_bpf *skeleton, uint32_t length, double seconds, uint64_t least)
{
	static uint8_t frame[sizeof(struct flood_frame6)];
	struct xdp_md context = { .data_end = length };
	double end = now() + seconds;
	uint64_t sent = 0;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = CHUNK,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);

	while (now() < end || sent < least) {
		int r = bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.flood_source),
					       &options);

		if (r)
			fail(r, "cannot send frames");
		sent += CHUNK;
	}
	return sent;
}

static void count(struct flood_bpf *skeleton, uint64_t *totals)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = cpus > 0 ? calloc(cpus, sizeof(*values)) : NULL;

	if (!values)
		fail(ENOMEM, "cannot count");
	for (uint32_t key = 0; key < FLOOD_BACKENDS; key++) {
		int r = bpf_map__lookup_elem(skeleton->maps.arrived, &key, sizeof(key), values,
					     cpus * sizeof(*values), 0);

		if (r)
			fail(r, "cannot count");
		totals[key] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			totals[key] += values[cpu];
	}
	free(values);
}

/* One JSON object. */
static void report(uint64_t sent, double seconds, const uint64_t *before, const uint64_t *after)
{
	const char *separator = "";

	printf("{\"sent\": %lu, \"seconds\": %.6f, \"astray\": %lu, \"arrived\": {", sent, seconds,
	       after[FLOOD_ASTRAY] - before[FLOOD_ASTRAY]);
	for (int number = FLOOD_ASTRAY + 1; number < FLOOD_BACKENDS; number++) {
		if (after[number] == before[number])
			continue;
		printf("%s\"%d\": %lu", separator, number, after[number] - before[number]);
		separator = ", ";
	}
	puts("}}");
}

static void run(const struct options *options)
{
	struct flood_bpf *skeleton = flood_bpf__open_and_load();
	uint64_t before[FLOOD_BACKENDS], after[FLOOD_BACKENDS], sent;
	LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
	uint32_t length;
	double began, ended;
	int link;

	if (!skeleton)
		fail(errno, "cannot load the programs");
	length = fill_state(&skeleton->bss->state, options);
	link = bpf_link_create(bpf_program__fd(skeleton->progs.flood_sink),
			       (int)skeleton->bss->state.ifindex, BPF_XDP, &native);
	if (link < 0)
		fail(link, "cannot attach to %s", options->interface);
	flood(skeleton, length, WARM_SECONDS, (uint64_t)WARM_ROUNDS * options->flows);
	count(skeleton, before);
	began = now();
	sent = flood(skeleton, length, options->seconds, 0);
	ended = now();
	count(skeleton, after);
	report(sent, ended - began, before, after);
	/* The link ends with this process, whatever ends it. */
	flood_bpf__destroy(skeleton);
}

int main(int argc, char **argv)
{
	struct options options;
	cpu_set_t set;

	if (argc != 9) {
		fputs("usage: flood INTERFACE FROM-MAC TO-MAC SERVICE-ADDRESS PORT FLOWS SECONDS "
		      "CPU\n",
		      stderr);
		return 2;
	}
	options = (struct options){
		.interface = argv[1],
		.from = argv[2],
		.to = argv[3],
		.service = argv[4],
		.port = (uint16_t)atoi(argv[5]),
		.flows = (uint32_t)strtoul(argv[6], NULL, 10),
		.seconds = strtod(argv[7], NULL),
		.cpu = atoi(argv[8]),
	};
	if (!options.flows || options.flows > FLOOD_FLOWS_MOST)
		fail(0, "flows: 1 to %d", FLOOD_FLOWS_MOST);
	CPU_ZERO(&set);
	CPU_SET(options.cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fail(errno, "CPU %d", options.cpu);
	run(&options);
	return 0;
}
