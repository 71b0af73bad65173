// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tests/packet/talk.h"

#define MOST_BACKENDS 1024

/* A TCP service on port 7000 with @count backends of these weights (NULL: all 1). Ids from 5 on. */
static uint32_t service_with(struct world *world, enum weir_scheduler scheduler, uint32_t count,
			     const uint32_t *weights)
{
	struct slot_candidate *candidates = calloc(count, sizeof(*candidates));
	uint32_t first = world->backends;

	assert_non_null(candidates);
	world_service(world, 30, WEIR, 7000, PROTOCOL_TCP, 0);
	for (uint32_t i = 0; i < count; i++) {
		candidates[i].backend = world_backend(world, 30, IP4(192, 168, 178, 11) + i, 8000);
		candidates[i].weight = weights ? weights[i] : 1;
	}
	world_slots(world, 30, scheduler, candidates, count);
	free(candidates);
	return first;
}

static struct segment syn_from(uint32_t address, uint16_t port)
{
	return tcp_segment(address, port, WEIR, 7000, SYN);
}

/* Opens a flow; returns its backend's place in the service. */
static uint32_t backend_of(struct world *world, uint32_t first, uint32_t address, uint16_t port)
{
	struct segment syn = syn_from(address, port);
	struct frame frame = frame_of(&syn);

	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NEW_FLOW);
	return flow_of(world, &syn)->backend_id - first;
}

/* The backend refuses the connection of this client port. */
static void finish(struct world *world, uint16_t port)
{
	struct segment syn = syn_from(CLIENT, port), reset;
	const struct weir_flow *flow = flow_of(world, &syn);
	struct frame frame;

	assert_non_null(flow);
	reset = tcp_segment(flow_backend(world, flow), 8000, WEIR,
			    ntohs(flow->backend_ports.destination), RST | ACK);
	reset.acknowledgement = syn.sequence + 1;
	frame = frame_of(&reset);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_TO_CLIENT);
	assert_int_equal(flow->control.state, WEIR_FLOW_CLOSING);
}

static void rr_alternates(void **state)
{
	uint32_t first = service_with(*state, WEIR_SCHEDULER_RR, 2, NULL);
	uint32_t start = backend_of(*state, first, CLIENT, 39999);

	for (uint16_t i = 1; i <= 20; i++)
		assert_int_equal(backend_of(*state, first, CLIENT, (uint16_t)(40000 + i)),
				 (start + i) % 2);
}

static void rr_over_many(void **state)
{
	uint32_t first = service_with(*state, WEIR_SCHEDULER_RR, 7, NULL);
	uint32_t start = backend_of(*state, first, CLIENT, 39999);

	for (uint16_t i = 1; i <= 28; i++)
		assert_int_equal(backend_of(*state, first, CLIENT, (uint16_t)(40000 + i)),
				 (start + i) % 7);
}

/* A flow that nobody could have had does not use up a turn. One that its backend has no port for does. */
static void rr_keeps_its_turn(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 3, NULL);
	uint32_t start = backend_of(world, first, CLIENT, 39999);
	struct segment syn = syn_from(CLIENT, 50000);
	struct frame frame = frame_of(&syn);

	for (uint16_t i = 1; i <= 6; i++) {
		world->tables->runtime->flows_limit[frame_family()] = 0;
		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_FLOWS_FULL);
		world->tables->runtime->flows_limit[frame_family()] = 1000;
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + i)),
				 (start + i) % 3);
	}
	world->tables->backends[first + (start + 1) % 3].snat.length = 0;
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
	assert_int_equal(backend_of(world, first, CLIENT, 50000), (start + 2) % 3);
}

static void wrr_1_to_2(void **state)
{
	const uint32_t weights[] = { 1, 2 };
	uint32_t first = service_with(*state, WEIR_SCHEDULER_WRR, 2, weights);
	uint32_t seen[60], heavy;

	for (uint16_t i = 0; i < 60; i++)
		seen[i] = backend_of(*state, first, CLIENT, (uint16_t)(40000 + i));
	for (int i = 0; i + 3 <= 60; i++) {
		heavy = seen[i] + seen[i + 1] + seen[i + 2]; /* backend 1 is the heavy one */
		assert_int_equal(heavy, 2);
	}
}

static void wrr_5_1_1_is_smooth(void **state)
{
	const uint32_t weights[] = { 5, 1, 1 };
	const uint32_t expected[] = { 0, 0, 1, 0, 2, 0, 0 };
	uint32_t first = service_with(*state, WEIR_SCHEDULER_WRR, 3, weights);

	for (uint16_t i = 0; i < 21; i++)
		assert_int_equal(backend_of(*state, first, CLIENT, (uint16_t)(40000 + i)),
				 expected[i % 7]);
}

static const enum weir_scheduler by_tuple[] = { WEIR_SCHEDULER_HASH, WEIR_SCHEDULER_MAGLEV };

/*
 * Counts who gets flows of a client whose ports are even and follow each other, as connect() hands them
 * out; of clients whose addresses follow each other, from one port, with @step 0.
 */
static void count_flows(struct world *world, uint32_t first, uint32_t flows, uint32_t step,
			uint32_t count[64])
{
	memset(count, 0, 64 * sizeof(*count));
	for (uint32_t i = 0; i < flows; i++)
		count[backend_of(world, first, step ? CLIENT : CLIENT + i,
				 (uint16_t)(32768 + step * i))]++;
}

/* Chi-square: mean n - 1, variance 2 (n - 1); four standard deviations above. */
static void assert_even(enum weir_scheduler scheduler, uint32_t backends, uint32_t step)
{
	struct world *world = world_open(4096, 64);
	uint32_t first = service_with(world, scheduler, backends, NULL), count[64];
	double chi = 0, bound = backends - 1;

	count_flows(world, first, 40 * backends, step, count);
	for (uint32_t i = 0; i < backends; i++)
		chi += (count[i] - 40.0) * (count[i] - 40.0) / 40.0;
	/* (4 sqrt(2 b))^2 = 32 b, without libm */
	if (chi > bound)
		assert_true((chi - bound) * (chi - bound) < 32 * bound);
	world_close(world);
}

static void hash_is_even_for_2_to_64(void **state)
{
	for (uint32_t backends = 2; backends <= 64; backends *= 2) {
		assert_even(WEIR_SCHEDULER_HASH, backends, 2);
		assert_even(WEIR_SCHEDULER_MAGLEV, backends, 2);
		assert_even(WEIR_SCHEDULER_HASH, backends, 0);
		assert_even(WEIR_SCHEDULER_SOURCE, backends, 0);
	}
}

static void hash_is_stable(void **state)
{
	for (size_t kind = 0; kind < 2; kind++) {
		struct world *world = world_open(256, 64);
		uint32_t first = service_with(world, by_tuple[kind], 5, NULL), seen[24];

		for (uint16_t i = 0; i < 24; i++)
			seen[i] = backend_of(world, first, CLIENT, (uint16_t)(40000 + i));
		for (uint16_t i = 24; i-- > 0;) { /* the other way round: no turn looks like it */
			finish(world, (uint16_t)(40000 + i));
			assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + i)),
					 seen[i]);
		}
		world_close(world);
	}
}

static void hash_follows_weights(void **state)
{
	const uint32_t weights[] = { 1, 3 };
	uint32_t first = service_with(*state, WEIR_SCHEDULER_HASH, 2, weights), count[64];

	count_flows(*state, first, 400, 2, count);
	assert_in_range(count[0], 65, 135);
}

static void source_keeps_clients_together(void **state)
{
	uint32_t first = service_with(*state, WEIR_SCHEDULER_SOURCE, 7, NULL), seen = 0;

	for (uint32_t client = 0; client < 30; client++) {
		uint32_t backend = backend_of(*state, first, CLIENT + client, 40000);

		seen |= 1u << backend;
		for (uint16_t i = 1; i < 10; i++)
			assert_int_equal(backend_of(*state, first, CLIENT + client,
						    (uint16_t)(40000 + 7 * i)),
					 backend);
	}
	assert_int_equal(seen, 127);
}

static void set_load(struct world *world, uint32_t backend, uint32_t half_open,
		     uint32_t established, uint32_t failed)
{
	struct weir_load *load = &world->tables->loads[backend];

	load->half_open = half_open;
	load->established = established;
	load->failed = failed;
}

static void lc_takes_the_least(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 3, NULL);

	for (uint16_t round = 0; round < 9; round++) {
		uint32_t idle = round % 3;

		for (uint32_t i = 0; i < 3; i++)
			set_load(world, first + i, round < 3 ? 5 : 1, round < 6 ? 5 : 1, 5);
		set_load(world, first + idle, round < 3 ? 4 : 1, round < 6 && round >= 3 ? 4 : 5,
			 round >= 6 ? 0 : 5);
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + round)), idle);
	}
	for (uint32_t i = 0; i < 3; i++) /* what the test has made up */
		set_load(world, first + i, 3, 0, 0);
}

static void lc_fills_evenly(void **state)
{
	uint32_t first = service_with(*state, WEIR_SCHEDULER_LC, 4, NULL), count[4] = { 0 };

	for (uint16_t i = 0; i < 40; i++)
		count[backend_of(*state, first, CLIENT, (uint16_t)(40000 + i))]++;
	for (int i = 0; i < 4; i++)
		assert_int_equal(count[i], 10);
}

/* Ties go round: four idle backends get one each, not all to the first. */
static void lc_ties_go_round(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 4, NULL), count[4] = { 0 };

	for (uint16_t i = 0; i < 40; i++) {
		count[backend_of(world, first, CLIENT, (uint16_t)(40000 + i))]++;
		finish(world, (uint16_t)(40000 + i));
		for (uint32_t j = 0; j < 4; j++)
			world->tables->loads[first + j].failed = 0;
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(count[i], 10);
}

/* Flows that end make room: the next ones go where they ended. */
static void lc_follows_closing(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 3, NULL), place[30];

	for (uint16_t i = 0; i < 30; i++)
		place[i] = backend_of(world, first, CLIENT, (uint16_t)(40000 + i));
	for (uint16_t i = 0; i < 30; i++)
		if (place[i] == 1)
			finish(world, (uint16_t)(40000 + i));
	world->tables->loads[first + 1].failed = 0;
	for (uint16_t i = 0; i < 10; i++)
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(50000 + i)), 1);
}

/* A backend that refuses all must not look idle. */
static void lc_is_not_drawn_to_refusal(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 2, NULL), count[2] = { 0 };

	for (uint16_t i = 0; i < 40; i++) {
		uint32_t place = backend_of(world, first, CLIENT, (uint16_t)(40000 + i));

		count[place]++;
		if (!place)
			finish(world, (uint16_t)(40000 + i));
	}
	assert_in_range(count[0], 19, 21);
	assert_int_equal(world->tables->loads[first].failed, count[0]);
}

/* A backend that has crashed lost its connections: it looks idle, but refuses. */
static void lc_gives_a_suspect_its_turn_only(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 3, NULL), count[3] = { 0 };

	for (uint32_t i = 0; i < 3; i++)
		set_load(world, first + i, 0, i ? 50 : 0, i ? 0 : 1);
	for (uint16_t i = 0; i < 30; i++)
		count[backend_of(world, first, CLIENT, (uint16_t)(40000 + i))]++;
	assert_int_equal(count[0], 10);
	assert_int_equal(count[1], 10);
	set_load(world, first, 10, 0, 0); /* forgiven: it catches up */
	for (uint16_t i = 30; i < 50; i++)
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + i)), 0);
	for (uint32_t i = 0; i < 3; i++)
		set_load(world, first + i, i ? 10 : 30, 0, 0);
}

static void wlc_follows_weights(void **state)
{
	const uint32_t weights[] = { 1, 2, 5 };
	uint32_t first = service_with(*state, WEIR_SCHEDULER_WLC, 3, weights);
	uint32_t count[3] = { 0 };

	for (uint16_t i = 0; i < 40; i++)
		count[backend_of(*state, first, CLIENT, (uint16_t)(40000 + i))]++;
	assert_in_range(count[0], 4, 6);
	assert_in_range(count[1], 9, 11);
	assert_in_range(count[2], 24, 26);
}

/* (load + 1) / weight: of idle backends the heaviest comes first, wherever the turn stands. */
static void wlc_idle(void **state)
{
	const uint32_t weights[] = { 1, 4, 2 };
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_WLC, 3, weights);

	for (uint16_t i = 0; i < 12; i++) {
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + i)), 1);
		finish(world, (uint16_t)(40000 + i));
		world->tables->loads[first + 1].failed = 0;
	}
}

/* Products just below and just beyond 32 bits. */
static void wlc_with_large_loads(void **state)
{
	const uint32_t weights[] = { 256, 255 };
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_WLC, 2, weights);

	set_load(world, first, 0, 16839086, 0);
	set_load(world, first + 1, 0, 16781121, 0);
	assert_int_equal(backend_of(world, first, CLIENT, 40000), 0);
	set_load(world, first + 1, 0, 16700000, 0);
	assert_int_equal(backend_of(world, first, CLIENT, 40001), 1);
	set_load(world, first, 1, 0, 0);
	set_load(world, first + 1, 1, 0, 0);
}

/* The most that one of @count has more than another. */
static uint32_t spread_of(const struct world *world, uint32_t first, uint32_t count)
{
	uint32_t least = UINT32_MAX, most = 0;

	for (uint32_t id = first; id < first + count; id++) {
		uint32_t load = world->tables->loads[id].half_open;

		least = load < least ? load : least;
		most = load > most ? load : most;
	}
	return most - least;
}

/* A single pick by lot is off by dozens: sqrt(1600 / 16) on average for each. */
static void p2c_fills_evenly(void **state)
{
	struct world *world = world_open(4096, 4096);
	uint32_t first = service_with(world, WEIR_SCHEDULER_P2C, 16, NULL);

	for (uint32_t i = 0; i < 1600; i++)
		backend_of(world, first, CLIENT, (uint16_t)(30000 + i));
	assert_in_range(spread_of(world, first, 16), 0, 10);
	world_close(world);
}

static void p2c_follows_weights(void **state)
{
	const uint32_t weights[] = { 1, 2, 5 };
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_P2C, 3, weights);

	world->tables->runtime->flows_limit[frame_family()] = 1000;
	for (uint32_t i = 0; i < 60; i++)
		backend_of(world, first, CLIENT, (uint16_t)(30000 + i));
	assert_in_range(world->tables->loads[first].half_open, 4, 11);
	assert_in_range(world->tables->loads[first + 1].half_open, 11, 19);
	assert_in_range(world->tables->loads[first + 2].half_open, 33, 42);
}

/* Of two, the loaded one is taken only if both lots fall on it. */
static void p2c_takes_the_less_loaded(void **state)
{
	struct world *world = world_open(4096, 4096);
	uint32_t first = service_with(world, WEIR_SCHEDULER_P2C, 2, NULL), count[2] = { 0 };

	set_load(world, first, 0, 100000, 0);
	for (uint16_t i = 0; i < 1000; i++)
		count[backend_of(world, first, CLIENT, (uint16_t)(30000 + i))]++;
	assert_in_range(count[0], 195, 305);
	world->tables->loads[first].established = 0;
	world_close(world);
}

/* It lost its connections and looks idle, but refuses: no more than its share. */
static void p2c_is_not_drawn_to_refusal(void **state)
{
	struct world *world = world_open(4096, 4096);
	uint32_t first = service_with(world, WEIR_SCHEDULER_P2C, 4, NULL), count[4] = { 0 };

	for (uint32_t i = 0; i < 4; i++)
		set_load(world, first + i, 0, i ? 100000 : 0, i ? 0 : 1);
	for (uint16_t i = 0; i < 1000; i++)
		count[backend_of(world, first, CLIENT, (uint16_t)(30000 + i))]++;
	assert_in_range(count[0], 195, 305);
	for (uint32_t i = 0; i < 4; i++)
		world->tables->loads[first + i].established = 0;
	world->tables->loads[first].failed = 0;
	world_close(world);
}

static void lc_over_1024(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, MOST_BACKENDS, NULL);

	for (uint32_t i = 0; i < MOST_BACKENDS; i++)
		set_load(world, first + i, 0, 3, 0);
	for (uint32_t idle = 0; idle < MOST_BACKENDS; idle += 31) {
		set_load(world, first + idle, 0, 2, 0);
		assert_int_equal(backend_of(world, first, CLIENT, (uint16_t)(40000 + idle)), idle);
		set_load(world, first + idle, 1, 2, 0);
	}
	for (uint32_t i = 0; i < MOST_BACKENDS; i++)
		set_load(world, first + i, i % 31 ? 0 : 1, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(rr_alternates),
		world_test(rr_over_many),
		world_test(rr_keeps_its_turn),
		world_test(wrr_1_to_2),
		world_test(wrr_5_1_1_is_smooth),
		cmocka_unit_test(hash_is_even_for_2_to_64),
		cmocka_unit_test(hash_is_stable),
		world_test(hash_follows_weights),
		world_test(source_keeps_clients_together),
		cmocka_unit_test(p2c_fills_evenly),
		world_test(p2c_follows_weights),
		cmocka_unit_test(p2c_takes_the_less_loaded),
		cmocka_unit_test(p2c_is_not_drawn_to_refusal),
		world_test(lc_takes_the_least),
		world_test(lc_fills_evenly),
		world_test(lc_ties_go_round),
		world_test(lc_follows_closing),
		world_test(lc_is_not_drawn_to_refusal),
		world_test(lc_gives_a_suspect_its_turn_only),
		world_test(wlc_follows_weights),
		world_test(wlc_idle),
		world_test(wlc_with_large_loads),
		world_test(lc_over_1024),
	};

	return packet_tests(tests);
}
