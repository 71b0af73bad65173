// SPDX-License-Identifier: GPL-2.0-only
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/packet/talk.h"

/*
 * Two CPUs do something to one flow at the same moment, a thousand times over. Either may win; the
 * counts, the index and the ids must be those of one of them.
 */

#define ROUNDS 1500
#define MANY_ROUNDS 20000 /* where the moment is a short one */

/* One pair of threads; the second belongs to the test, the first is the test itself. */
struct duel {
	struct world *world;
	int rounds;
	int earliest, latest; /* turns of an empty loop before the first one moves */
	/* What each side does in a round, after both have met. */
	void (*first)(struct duel *duel);
	void (*second)(struct duel *duel);
	struct talk talk; /* of this round */
	struct frame frame_first, frame_second;
	struct weir_sweep sweep;
	atomic_int ready[2], done[2];
	uint32_t verdicts[2];
};

static void meet(atomic_int *own, atomic_int *other, int round)
{
	atomic_store(own, round);
	for (int spins = 0; atomic_load(other) < round; spins++)
		if (spins > 100000) /* the other one has lost its CPU */
			sched_yield();
}

/* From round to round the first one is late by another bit. */
static void wait_a_little(const struct duel *duel, int round)
{
	int spread = duel->latest - duel->earliest;

	for (volatile int i = duel->earliest + round * 7 % spread; i > 0; i--)
		;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *second(void *argument)
{
	struct duel *duel = argument;

	stay_on(1);
	for (int round = 1; round <= duel->rounds; round++) {
		meet(&duel->ready[1], &duel->ready[0], round);
		duel->second(duel);
		meet(&duel->done[1], &duel->done[0], round);
	}
	return NULL;
}

static void send_first(struct duel *duel)
{
	duel->verdicts[0] = world_run_quickly(duel->world, &duel->frame_first);
}

static void send_second(struct duel *duel)
{
	struct world world = *duel->world; /* `sent` is not for two threads */

	duel->verdicts[1] = world_run_quickly(&world, &duel->frame_second);
}

static void sweep_second(struct duel *duel)
{
	datapath_sweep(duel->world->datapath, &duel->sweep);
}

static struct frame frame_with(const struct segment segment)
{
	return frame_of(&segment);
}

/* @prepare makes the flow of a round and both frames, or the sweep. */
static void fight(struct duel *duel, void (*prepare)(struct duel *duel, uint16_t port))
{
	pthread_t thread;

	if (!duel->latest)
		duel->latest = 800;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	stay_on(0);
	assert_int_equal(pthread_create(&thread, NULL, second, duel), 0);
	for (int round = 1; round <= duel->rounds; round++) {
		prepare(duel, (uint16_t)(2000 + round));
		meet(&duel->ready[0], &duel->ready[1], round);
		wait_a_little(duel, round);
		duel->first(duel);
		meet(&duel->done[0], &duel->done[1], round);
		if (duel->second == send_second)
			duel->world->sent++;
	}
	pthread_join(thread, NULL);
	world_verify(duel->world);
}

static void prepare_same_syn(struct duel *duel, uint16_t port)
{
	duel->talk = talk_tcp(duel->world, CLIENT, port);
	duel->frame_first = frame_with(client_segment(&duel->talk, SYN, 0));
	duel->frame_second = duel->frame_first;
}

static void one_syn_on_both(void **state)
{
	struct world *world = world_open(2 * ROUNDS, 2 * ROUNDS);
	struct duel duel = {
		.world = world, .rounds = ROUNDS, .first = send_first, .second = send_second
	};

	fight(&duel, prepare_same_syn);
	assert_flows(world, ROUNDS, 0, 0);
	assert_int_equal(world->counters.reasons[WEIR_REASON_NEW_FLOW], ROUNDS);
	world_close(world);
}

/* A flow that waits for its last ACK, made without looking; it has the client's own port. */
static void prepare_promotion(struct duel *duel, uint16_t port)
{
	struct talk *talk = &duel->talk, next = talk_tcp(duel->world, NEIGHBOUR, port);
	struct frame frame;

	*talk = talk_tcp(duel->world, CLIENT, port);
	frame = frame_with(client_segment(talk, SYN, 0));
	world_run_quickly(duel->world, &frame);
	talk->client_next++;
	talk->snat = WEIR;
	talk->snat_port = port;
	talk->backend = BACKEND_1;
	talk->backend_port = 8000;
	frame = frame_with(backend_segment(talk, SYN | ACK, 0));
	world_run_quickly(duel->world, &frame);
	talk->backend_next++;
	duel->frame_first = frame_with(client_segment(talk, ACK, 0));
	duel->frame_second = frame_with(client_segment(&next, SYN, 0));
}

static struct world *world_of_one_backend(uint32_t half_open)
{
	struct world *world = world_open(2 * MANY_ROUNDS, half_open);

	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	return world;
}

/* The ring has one place: the next SYN pushes out the flow that is just being promoted. */
static void promotion_against_eviction(void **state)
{
	struct world *world = world_of_one_backend(1);
	struct duel duel = { .world = world,
			     .rounds = MANY_ROUNDS,
			     .earliest = 500, /* a SYN comes to the ring late */
			     .latest = 3500,
			     .first = send_first,
			     .second = send_second };

	fight(&duel, prepare_promotion);
	assert_flows(world, 1, (int)world->counters.flows[WEIR_FLOW_ESTABLISHED], 0);
	assert_in_range(world->counters.flows[WEIR_FLOW_ESTABLISHED], 1, MANY_ROUNDS);
	world_close(world);
}

static void prepare_expiry(struct duel *duel, uint16_t port)
{
	struct weir_shared *shared = duel->world->tables->shared;

	prepare_promotion(duel, port);
	/* Nothing has been freed yet: records are taken in order. */
	duel->sweep = (struct weir_sweep){
		.first = duel->world->first_record + shared->records[frame_family()] - 1,
		.count = 1,
	};
	world_flow(duel->world, duel->sweep.first & ~WEIR_RECORD_V6)->last_seen -= 2;
}

static void promotion_against_expiry(void **state)
{
	struct world *world = world_of_one_backend(MANY_ROUNDS);
	struct duel duel = {
		.world = world, .rounds = MANY_ROUNDS, .first = send_first, .second = sweep_second
	};

	service_of(world, WEB)->timeouts.tcp_handshake = 1;
	fight(&duel, prepare_expiry);
	assert_in_range(world->counters.flows[WEIR_FLOW_ESTABLISHED], 1, MANY_ROUNDS - 1);
	world_close(world);
}

static void prepare_resets(struct duel *duel, uint16_t port)
{
	duel->talk = talk_tcp(duel->world, CLIENT, port);
	talk_establish(&duel->talk);
	duel->frame_first = frame_with(client_segment(&duel->talk, RST, 0));
	duel->frame_second = frame_with(backend_segment(&duel->talk, RST | ACK, 0));
}

static void both_sides_reset(void **state)
{
	struct world *world = world_open(2 * ROUNDS, 2 * ROUNDS);
	struct duel duel = {
		.world = world, .rounds = ROUNDS, .first = send_first, .second = send_second
	};

	fight(&duel, prepare_resets);
	assert_flows(world, 0, 0, ROUNDS);
	world_close(world);
}

/* The client comes again while the sweep takes the old flow away. */
static void prepare_closing(struct duel *duel, uint16_t port)
{
	duel->talk = talk_tcp(duel->world, CLIENT, port);
	talk_establish(&duel->talk);
	talk_backend(&duel->talk, ACK | FIN, 0); /* so that its port rests */
	talk_client(&duel->talk, ACK | FIN, 0);
	talk_backend(&duel->talk, ACK, 0);
	assert_state(&duel->talk, CLOSING);
	flow_age(duel->world, talk_flow(&duel->talk), 2);
	duel->sweep = (struct weir_sweep){
		.first = flow_id(duel->world, talk_flow(&duel->talk)),
		.count = 1,
	};
	duel->talk.client_next += 1000;
	duel->frame_first = frame_with(client_segment(&duel->talk, SYN, 0));
	duel->frame_second = duel->frame_first;
}

static void new_syn_against_expiry(void **state)
{
	struct world *world = world_open(4 * ROUNDS, 2 * ROUNDS);
	struct duel duel = {
		.world = world, .rounds = ROUNDS, .first = send_first, .second = sweep_second
	};

	service_of(world, WEB)->timeouts.tcp_close = 1;
	world->tables->runtime->time_wait = UINT32_MAX / 4;
	fight(&duel, prepare_closing);
	world_close(world);
}

static void new_syn_on_both(void **state)
{
	struct world *world = world_open(4 * ROUNDS, 2 * ROUNDS);
	struct duel duel = {
		.world = world, .rounds = ROUNDS, .first = send_first, .second = send_second
	};

	world->tables->runtime->time_wait = UINT32_MAX / 4;
	fight(&duel, prepare_closing);
	world_close(world);
}

/* Two clients want the last port, which rests. */
static void prepare_take_over(struct duel *duel, uint16_t port)
{
	struct talk one, two;
	struct weir_sweep all = { .first = duel->world->first_record,
				  .count = duel->world->records };

	prepare_closing(duel, 3000);
	datapath_sweep(duel->world->datapath, &all);
	one = talk_tcp(duel->world, NEIGHBOUR, port);
	two = talk_tcp(duel->world, NEIGHBOUR + 1, port);
	one.client_next = two.client_next = duel->talk.client_next;
	duel->frame_first = frame_with(client_segment(&one, SYN, 0));
	duel->frame_second = frame_with(client_segment(&two, SYN, 0));
}

static void take_over_and_end(struct duel *duel)
{
	struct world *world = duel->world;

	send_first(duel);
	meet(&duel->done[0], &duel->done[1], atomic_load(&duel->ready[0]));
	/* One of them got it, and ends now: the port is free for the next round. */
	for (uint32_t i = 0; i < world->records; i++) {
		const struct weir_flow *flow = world_flow(world, i);
		struct weir_sweep one = { .first = world->first_record + i, .count = 1 };

		if (flow->control.state != WEIR_FLOW_HALF_OPEN)
			continue;
		flow_age(world, flow, 2);
		for (int walk = 0; walk < 2; walk++)
			datapath_sweep(world->datapath, &one);
	}
}

static void two_want_the_last_port(void **state)
{
	struct world *world = world_open(4 * ROUNDS, 2 * ROUNDS);
	struct duel duel = {
		.world = world, .rounds = ROUNDS, .first = take_over_and_end, .second = send_second
	};

	world_snat_ports(world, 2000, 2000);
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	service_of(world, WEB)->timeouts.tcp_close = 1;
	service_of(world, WEB)->timeouts.tcp_handshake = 1;
	world->tables->runtime->time_wait = UINT32_MAX / 4;
	fight(&duel, prepare_take_over);
	assert_int_equal(world->counters.reasons[WEIR_REASON_NEW_FLOW], 2 * ROUNDS);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_syn_on_both),
		cmocka_unit_test(promotion_against_eviction),
		cmocka_unit_test(promotion_against_expiry),
		cmocka_unit_test(both_sides_reset),
		cmocka_unit_test(new_syn_against_expiry),
		cmocka_unit_test(new_syn_on_both),
		cmocka_unit_test(two_want_the_last_port),
	};

	return packet_tests(tests);
}
