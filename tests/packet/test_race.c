// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/packet/talk.h"

/*
 * Two CPUs make, promote, close and evict flows while a third thread sweeps. Whatever happens in
 * between: an established flow's packets reach its own two ends, and afterwards everything adds up.
 */

#define CLIENTS 96 /* each CPU's own */
#define STEPS 60000
#define PLACES 64

struct client {
	struct talk talk;
	enum { CLOSED, SYN_SENT, OPEN } state;
};

struct worker {
	struct world *world;
	int cpu;
	uint32_t seed;
	struct client clients[CLIENTS];
	/* What happened. */
	uint64_t sent, opened, promoted, lost, raced;
	const char *wrong; /* the first thing that must never happen */
};

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static uint32_t run(struct worker *worker, const struct segment *segment, struct frame *out)
{
	struct frame in = frame_of(segment);
	struct xdp_md context = {
		.data_end = (uint32_t)in.length,
		.ingress_ifindex = worker->world->ingress,
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in.bytes,
		    .data_size_in = (uint32_t)in.length, .data_out = out->bytes,
		    .data_size_out = sizeof(out->bytes), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = 1);

	if (bpf_prog_test_run_opts(datapath_xdp_fd(worker->world->datapath), &options))
		worker->wrong = "BPF_PROG_TEST_RUN failed";
	out->length = options.data_size_out;
	worker->sent++;
	return options.retval;
}

/* Sends @in and says whether it came out as @out. */
static bool translated(struct worker *worker, const struct segment *in, const struct segment *out)
{
	struct frame got, expected = frame_of(out);

	return run(worker, in, &got) == XDP_TX && got.length == expected.length &&
	       !memcmp(got.bytes, expected.bytes, got.length);
}

static void open_one(struct worker *worker, struct client *client)
{
	struct talk *talk = &client->talk;
	struct segment syn;
	const uint8_t *tcp;
	struct frame out;

	talk->client_next += 1 + next_random(&worker->seed) % 100000;
	syn = client_segment(talk, SYN, 0);
	if (run(worker, &syn, &out) != XDP_TX) {
		worker->raced++;
		return;
	}
	tcp = out.bytes + frame_l4(&syn);
	if (tcp[13] != SYN)
		return; /* a RST: no port, no record */
	talk->snat = ip_source(out.bytes + ETHERNET_LENGTH);
	talk->backend = ip_destination(out.bytes + ETHERNET_LENGTH);
	talk->snat_port = get16(tcp);
	talk->backend_port = get16(tcp + 2);
	talk->client_next++;
	client->state = SYN_SENT;
	worker->opened++;
}

static void answer_one(struct worker *worker, struct client *client)
{
	struct talk *talk = &client->talk;
	struct segment in = backend_segment(talk, SYN | ACK, 0), out = to_client(talk, &in);

	client->state = CLOSED;
	talk->backend_next++;
	if (!translated(worker, &in, &out)) {
		worker->lost++; /* evicted or expired: its port may be anybody's now */
		return;
	}
	in = client_segment(talk, ACK, 0);
	out = to_backend(talk, &in);
	if (!translated(worker, &in, &out)) {
		worker->lost++;
		return;
	}
	worker->promoted++;
	client->state = OPEN;
}

static void use_one(struct worker *worker, struct client *client)
{
	struct talk *talk = &client->talk;
	struct segment in = client_segment(talk, ACK | PSH, 8), out = to_backend(talk, &in);

	if (!translated(worker, &in, &out))
		worker->wrong = "an established flow's segment did not reach its backend";
	talk->client_next += 8;
	in = backend_segment(talk, ACK | PSH, 8);
	out = to_client(talk, &in);
	if (!translated(worker, &in, &out))
		worker->wrong = "an established flow's answer did not reach its client";
	talk->backend_next += 8;
}

static void close_one(struct worker *worker, struct client *client)
{
	struct talk *talk = &client->talk;
	bool by_client = next_random(&worker->seed) % 2;
	struct segment in = by_client ? client_segment(talk, RST, 0) :
					backend_segment(talk, RST, 0);
	struct segment out = by_client ? to_backend(talk, &in) : to_client(talk, &in);

	if (!translated(worker, &in, &out))
		worker->wrong = "an established flow's RST was not forwarded";
	client->state = CLOSED;
}

/* Both CPUs speak for the same few clients, and for their backends: anything may come of it. */
static void disturb(struct worker *worker)
{
	static const uint8_t flags[] = { SYN, SYN, SYN, RST, ACK, RST | ACK };
	uint32_t random = next_random(&worker->seed);
	struct segment segment = tcp_segment(IP4(192, 168, 178, 60), (uint16_t)(3000 + random % 4),
					     WEIR, 8000, flags[random / 4 % sizeof(flags)]);
	struct frame out;

	segment.sequence = segment.flags == SYN ? 0 : 1; /* so that a RST is in sequence */
	if (random % 64 > 48) {
		segment = tcp_segment(random & 64 ? BACKEND_1 : BACKEND_2,
				      random & 64 ? 8000 : 8080, WEIR,
				      (uint16_t)(2000 + random / 128 % CLIENTS), RST | ACK);
		segment.acknowledgement = 1;
	}
	if (run(worker, &segment, &out) == XDP_DROP)
		worker->raced++;
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(worker->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	for (int step = 0; step < STEPS && !worker->wrong; step++) {
		struct client *client = &worker->clients[next_random(&worker->seed) % CLIENTS];

		disturb(worker);
		if (client->state == CLOSED)
			open_one(worker, client);
		else if (client->state == SYN_SENT)
			answer_one(worker, client);
		else if (next_random(&worker->seed) % 4)
			use_one(worker, client);
		else
			close_one(worker, client);
	}
	return NULL;
}

struct sweeper {
	struct world *world;
	atomic_bool stop;
	uint64_t expired, freed;
};

static void *sweep(void *argument)
{
	struct sweeper *sweeper = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	CPU_SET(1, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	while (!atomic_load(&sweeper->stop)) {
		struct weir_sweep walk = { .first = sweeper->world->first_record,
					   .count = sweeper->world->records };

		if (datapath_sweep(sweeper->world->datapath, &walk) || datapath_grace())
			break;
		sweeper->expired += walk.expired;
		sweeper->freed += walk.freed;
	}
	return NULL;
}

static void start_worker(struct worker *worker, struct world *world, int cpu)
{
	*worker = (struct worker){ .world = world, .cpu = cpu, .seed = 1000 + (uint32_t)cpu };
	for (uint16_t i = 0; i < CLIENTS; i++) {
		/* Pairs on both CPUs with the same source port: they want the same port. */
		worker->clients[i].talk = talk_tcp(world, NEIGHBOUR + (uint32_t)cpu,
						   (uint16_t)(2000 + i));
		worker->clients[i].talk.service_port = 8000;
	}
}

static void everything_at_once(void **state)
{
	struct world *world = world_open(4096, PLACES);
	struct sweeper sweeper = { .world = world };
	struct worker workers[2];
	pthread_t threads[2], sweeping;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		world_close(world);
		skip();
	}
	/* Ports are scarce, handshakes short: all ways out of a flow are taken all the time. */
	world_snat_ports(world, 2000, 2000 + CLIENTS + CLIENTS / 8);
	service_of(world, WEB)->timeouts.tcp_handshake = 1;
	service_of(world, WEB)->timeouts.tcp_close = 0;
	assert_int_equal(pthread_create(&sweeping, NULL, sweep, &sweeper), 0);
	for (int i = 0; i < 2; i++) {
		start_worker(&workers[i], world, i);
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&sweeper.stop, true);
	pthread_join(sweeping, NULL);
	for (int i = 0; i < 2; i++) {
		world->sent += workers[i].sent;
		print_message("# cpu %d: %lu opened, %lu promoted, %lu lost, %lu raced\n", i,
			      workers[i].opened, workers[i].promoted, workers[i].lost,
			      workers[i].raced);
		if (workers[i].wrong)
			print_error("%s\n", workers[i].wrong);
		assert_null(workers[i].wrong);
		assert_true(workers[i].promoted > 1000);
	}
	print_message("# %lu expired, %lu freed\n", sweeper.expired, sweeper.freed);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_at_once),
	};

	return packet_tests(tests);
}
