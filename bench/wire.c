// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients and backends of many connections, on the other end of a balancer's cable. Clients send as fast
 * as they can; what arrives is counted. Ends by itself.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/wire.h"

#include "wire.skel.h"

#define NS_PER_S 1000000000ull
/* Frames that are under way at the same time: a veth holds 256. */
#define BATCH 64
#define ROUNDS 20
/* For what is still under way at the end of a round. */
#define PAUSE_NS (20 * 1000 * 1000)
#define INTERVAL_NS (50 * 1000 * 1000)

struct wire {
	struct wire_plan plan;
	struct wire_bpf *skeleton;
	uint32_t ifindex;
	int cpu; /* that sends, and so receives; -1: any */
};

static void die(const char *what, int error)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(error));
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) < 0)
		die("cannot read a clock", errno);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t time_ns)
{
	struct timespec until = { (time_t)(time_ns / NS_PER_S), (long)(time_ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void pin(int cpu)
{
	cpu_set_t set;
	int r;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	r = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (r)
		die("cannot stay on that CPU", r);
}

static struct wire_counts read_counts(const struct wire *wire)
{
	const int cpus = libbpf_num_possible_cpus();
	struct wire_counts sum = {}, *values = calloc((size_t)cpus, sizeof(*values));
	uint32_t zero = 0;

	if (!values)
		die("counts", ENOMEM);
	if (bpf_map__lookup_elem(wire->skeleton->maps.counts, &zero, sizeof(zero), values,
				 (size_t)cpus * sizeof(*values), 0) < 0)
		die("counts", errno);
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.sent += values[cpu].sent;
		sum.at_backends += values[cpu].at_backends;
		sum.at_clients += values[cpu].at_clients;
		sum.opened += values[cpu].opened;
	}
	free(values);
	return sum;
}

static void load(struct wire *wire)
{
	int r;

	wire->skeleton = wire_bpf__open();
	if (!wire->skeleton)
		die("cannot open the BPF object", errno);
	wire->skeleton->rodata->plan = wire->plan;
	r = bpf_map__set_max_entries(wire->skeleton->maps.opened, wire->plan.flows);
	if (!r)
		r = wire_bpf__load(wire->skeleton);
	if (r)
		die("cannot load the BPF object", -r);
	/* In the place of the lab's own program, and for good: the interface ends with its lab. */
	r = bpf_xdp_attach((int)wire->ifindex, bpf_program__fd(wire->skeleton->progs.wire_receive),
			   XDP_FLAGS_DRV_MODE, NULL);
	if (r)
		die("cannot attach to the interface", -r);
}

/* Clients take their turns @count times. A system call of its own takes some 20 ms beside that. */
static void send_frames(const struct wire *wire, int count)
{
	uint8_t frame[WIRE_FRAME] = {};
	struct xdp_md context = { .data_end = sizeof(frame), .ingress_ifindex = wire->ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	int r = bpf_prog_test_run_opts(bpf_program__fd(wire->skeleton->progs.wire_send), &options);

	if (r && r != -EINTR)
		die("cannot send", -r);
}

/* Rounds, because frames may be lost. */
static void open_all(const struct wire *wire)
{
	for (int round = 0; round < ROUNDS; round++) {
		send_frames(wire, (int)wire->plan.flows);
		sleep_until(now_ns(CLOCK_MONOTONIC) + PAUSE_NS);
		if (read_counts(wire).opened == wire->plan.flows)
			break;
	}
	printf("{\"opened\": %llu}\n", read_counts(wire).opened);
}

static void *talk(void *user)
{
	struct wire *wire = user;

	pin(wire->cpu);
	for (;;)
		send_frames(wire, INT_MAX);
	return NULL;
}

/*
 * A line for each interval: the time, what the sender has used of its CPU (all that its frames meet on their
 * way is counted to it), and frames since the start. The end of the process ends the sender.
 */
static void talk_and_tell(struct wire *wire, uint32_t seconds)
{
	uint64_t next = now_ns(CLOCK_MONOTONIC), end = next + seconds * NS_PER_S;
	pthread_t sender;
	clockid_t used;
	int r = pthread_create(&sender, NULL, talk, wire);

	if (!r)
		r = pthread_getcpuclockid(sender, &used);
	if (r)
		die("cannot start a thread", r);
	for (; next <= end; next += INTERVAL_NS) {
		struct wire_counts counts;
		uint64_t now, cpu;

		sleep_until(next);
		now = now_ns(CLOCK_MONOTONIC);
		cpu = now_ns(used);
		counts = read_counts(wire);
		printf("{\"ns\": %" PRIu64 ", \"cpu_ns\": %" PRIu64 ", \"sent\": %llu, "
		       "\"at_backends\": %llu, \"at_clients\": %llu}\n",
		       now, cpu, counts.sent, counts.at_backends, counts.at_clients);
	}
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < least || value > most) {
		fprintf(stderr, "wire: '%s' is no number from %u to %u\n", text, least, most);
		exit(2);
	}
	return (uint32_t)value;
}

static void mac_of(const char *text, __u8 *ret)
{
	const struct ether_addr *mac = ether_aton(text);

	if (!mac)
		die(text, EINVAL);
	memcpy(ret, mac, sizeof(*mac));
}

static uint32_t address_of(const char *text)
{
	struct in_addr address;

	if (!inet_aton(text, &address))
		die(text, EINVAL);
	return ntohl(address.s_addr);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: wire INTERFACE BALANCER-MAC CLIENT-MAC SERVICE SERVICES BACKENDS FLOWS "
		"open\n"
		"       wire ... talk SECONDS CPU\n"
		"SERVICE: the first of SERVICES addresses, port 80; BACKENDS: a /24; CPU: -1: any. "
		"`talk` is for flows that `open` has opened.\n");
	exit(2);
}

int main(int argc, char *argv[])
{
	struct wire wire = { .cpu = -1 };
	bool talks = argc == 11 && !strcmp(argv[8], "talk");

	if (!talks && (argc != 9 || strcmp(argv[8], "open") != 0))
		usage();
	wire.ifindex = if_nametoindex(argv[1]);
	if (!wire.ifindex)
		die(argv[1], errno);
	mac_of(argv[2], wire.plan.balancer_mac);
	mac_of(argv[3], wire.plan.client_mac);
	wire.plan.service_address = address_of(argv[4]);
	wire.plan.services = number(argv[5], 1, 1 << 20);
	wire.plan.service_port = 80;
	wire.plan.backend_network = address_of(argv[6]);
	wire.plan.backend_mask = 0xffffff00;
	wire.plan.flows = number(argv[7], 1, WIRE_FLOWS_MOST);
	wire.plan.kind = talks ? WIRE_TALK : WIRE_OPEN;
	load(&wire);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (talks) {
		wire.cpu = atoi(argv[10]);
		talk_and_tell(&wire, number(argv[9], 1, 600));
	} else {
		open_all(&wire);
	}
	return 0;
}
