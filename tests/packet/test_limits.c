// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "tests/packet/talk.h"

/* How many a backend may get: max_connections, and slow start. Backends are the ids from 5 on. */

enum { SERVICE = 30, PORT = 7000, MOST = 5, PICKS = 10000 };

static const enum weir_scheduler schedulers[] = { WEIR_SCHEDULER_RR,     WEIR_SCHEDULER_WRR,
						  WEIR_SCHEDULER_HASH,   WEIR_SCHEDULER_LC,
						  WEIR_SCHEDULER_WLC,    WEIR_SCHEDULER_SOURCE,
						  WEIR_SCHEDULER_MAGLEV, WEIR_SCHEDULER_P2C };

static uint32_t service_with(struct world *world, enum weir_scheduler scheduler, uint32_t count,
			     const struct slot_candidate *like)
{
	struct slot_candidate candidates[8];
	uint32_t first = world->backends;

	world_service(world, SERVICE, WEIR, PORT, PROTOCOL_TCP, 0);
	for (uint32_t i = 0; i < count; i++) {
		candidates[i] = like ? like[i] : (struct slot_candidate){ 0, 1, 0 };
		candidates[i].backend = world_backend(world, SERVICE, BACKEND_1 + i, 8000);
	}
	world_slots(world, SERVICE, scheduler, candidates, count);
	return first;
}

static void limit(struct world *world, uint32_t backend, uint32_t most)
{
	world->tables->backends[backend].max_connections = most;
}

/* A connection of client @number; its reason. */
static enum weir_reason connect_one(struct world *world, uint32_t number)
{
	struct segment syn = tcp_segment(CLIENT + number, 20000, WEIR, PORT, SYN);
	struct frame frame = frame_of(&syn);

	return world_run(world, &frame).reason;
}

static uint32_t load_of(const struct world *world, uint32_t backend)
{
	return world->tables->loads[backend].half_open + world->tables->loads[backend].established;
}

static void until_all_are_full(void **state)
{
	for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
		struct world *world = world_open(256, 256);
		uint32_t first = service_with(world, schedulers[i], 3, NULL);

		for (uint32_t id = first; id < first + 3; id++)
			limit(world, id, MOST);
		for (uint32_t number = 0; number < 3 * MOST; number++) {
			assert_int_equal(connect_one(world, number), WEIR_REASON_NEW_FLOW);
			for (uint32_t id = first; id < first + 3; id++)
				assert_in_range(load_of(world, id), 0, MOST);
		}
		assert_int_equal(connect_one(world, 100), WEIR_REASON_NO_BACKEND);
		service_of(world, SERVICE)->flags = WEIR_SERVICE_SILENT;
		assert_int_equal(connect_one(world, 100), WEIR_REASON_NO_BACKEND_SILENT);
		limit(world, first + 1, MOST + 2); /* raised: takes two more */
		assert_int_equal(connect_one(world, 100), WEIR_REASON_NEW_FLOW);
		assert_int_equal(connect_one(world, 101), WEIR_REASON_NEW_FLOW);
		assert_int_equal(load_of(world, first + 1), MOST + 2);
		limit(world, first + 1, 1); /* lowered below: what is there stays */
		assert_int_equal(connect_one(world, 102), WEIR_REASON_NO_BACKEND_SILENT);
		assert_int_equal(load_of(world, first + 1), MOST + 2);
		world_close(world);
	}
}

/* The others take what it may not have. */
static void one_is_full(void **state)
{
	for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
		struct world *world = world_open(256, 256);
		uint32_t first = service_with(world, schedulers[i], 3, NULL);

		limit(world, first + 2, 2);
		for (uint32_t number = 0; number < 60; number++)
			assert_int_equal(connect_one(world, number), WEIR_REASON_NEW_FLOW);
		assert_int_equal(load_of(world, first + 2), 2);
		assert_true(load_of(world, first) >= 15 && load_of(world, first + 1) >= 15);
		world_close(world);
	}
}

/* Established ones count, ended ones do not. */
static void room_comes_back(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 1, NULL);
	struct talk talk = talk_tcp(world, CLIENT, 40000);

	limit(world, first, 1);
	talk.service_port = PORT;
	talk_establish(&talk);
	assert_int_equal(connect_one(world, 1), WEIR_REASON_NO_BACKEND);
	talk_client(&talk, RST, 0);
	assert_int_equal(connect_one(world, 1), WEIR_REASON_NEW_FLOW);
	assert_int_equal(connect_one(world, 2), WEIR_REASON_NO_BACKEND);
}

struct opener {
	struct world world; /* a copy: `sent` is not for two threads */
	int cpu;
};

static void *open_many(void *argument)
{
	struct opener *opener = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(opener->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	for (uint16_t i = 0; i < 2000; i++) {
		struct segment syn = tcp_segment(CLIENT + (uint32_t)opener->cpu,
						 (uint16_t)(20000 + i), WEIR, PORT, SYN);
		struct frame frame = frame_of(&syn);

		world_run_quickly(&opener->world, &frame);
	}
	return NULL;
}

/* Both may see the last place free: beyond the limit by one for each CPU at most. */
static void two_cpus(void **state)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
		struct world *world = world_open(4096, 4096);
		uint32_t first = service_with(world, schedulers[i], 4, NULL);
		struct opener openers[2] = { { *world, 0 }, { *world, 1 } };
		pthread_t threads[2];

		for (uint32_t id = first; id < first + 4; id++)
			limit(world, id, 300);
		for (int cpu = 0; cpu < 2; cpu++)
			assert_int_equal(
				pthread_create(&threads[cpu], NULL, open_many, &openers[cpu]), 0);
		for (int cpu = 0; cpu < 2; cpu++)
			pthread_join(threads[cpu], NULL);
		world->sent += 4000;
		for (uint32_t id = first; id < first + 4; id++)
			assert_in_range(load_of(world, id), 300, 302);
		world_close(world);
	}
}

/* Opens PICKS connections; counts who got them. */
static void pick(struct world *world, uint32_t first, uint32_t count, uint32_t *ret)
{
	for (uint32_t i = 0; i < PICKS; i++) {
		struct segment syn = tcp_segment(CLIENT, (uint16_t)(20000 + i), WEIR, PORT, SYN);
		struct frame frame = frame_of(&syn);

		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	for (uint32_t i = 0; i < count; i++)
		ret[i] = (uint32_t)world->tables->loads[first + i].total;
}

struct ramp_row {
	enum weir_scheduler scheduler;
	uint32_t count;
	struct slot_candidate like[4];
	uint32_t expected[4]; /* of PICKS */
};

/* Four standard deviations of the largest share that is drawn by lot. */
#define LOT 190

static void shares(const struct ramp_row *row)
{
	struct world *world = world_open(PICKS + 100, PICKS + 100);
	uint32_t first = service_with(world, row->scheduler, row->count, row->like), seen[4];

	pick(world, first, row->count, seen);
	for (uint32_t i = 0; i < row->count; i++)
		assert_in_range(seen[i], row->expected[i] > LOT ? row->expected[i] - LOT : 0,
				row->expected[i] + LOT);
	world_close(world);
}

static void ramp_shares(void **state)
{
	static const struct ramp_row rows[] = {
		{ WEIR_SCHEDULER_RR,
		  4,
		  { { 0, 1, 64 }, { 0, 1, 0 }, { 0, 1, 0 }, { 0, 1, 0 } },
		  { 625, 3125, 3125, 3125 } },
		{ WEIR_SCHEDULER_RR, 2, { { 0, 1, 1 }, { 0, 1, 256 } }, { 20, 9980 } },
		{ WEIR_SCHEDULER_WRR,
		  3,
		  { { 0, 5, 128 }, { 0, 2, 256 }, { 0, 1, 256 } },
		  { 3125, 4583, 2292 } },
		{ WEIR_SCHEDULER_LC,
		  4,
		  { { 0, 1, 64 }, { 0, 1, 0 }, { 0, 1, 0 }, { 0, 1, 0 } },
		  { 625, 3125, 3125, 3125 } },
		{ WEIR_SCHEDULER_LC, 2, { { 0, 1, 1 }, { 0, 1, 256 } }, { 20, 9980 } },
		{ WEIR_SCHEDULER_WLC,
		  3,
		  { { 0, 5, 128 }, { 0, 2, 256 }, { 0, 1, 256 } },
		  { 3125, 4583, 2292 } },
		{ WEIR_SCHEDULER_P2C,
		  4,
		  { { 0, 1, 64 }, { 0, 1, 0 }, { 0, 1, 0 }, { 0, 1, 0 } },
		  { 625, 3125, 3125, 3125 } },
		{ WEIR_SCHEDULER_LC,
		  3,
		  { { 0, 1, 10 }, { 0, 1, 10 }, { 0, 1, 10 } },
		  { 3333, 3333, 3333 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		shares(&rows[i]);
}

/* It must not have more than the best has, though its turn comes. */
static void ramping_but_loaded(void **state)
{
	const struct slot_candidate like[] = { { 0, 1, 255 }, { 0, 1, 0 } };
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 2, like);

	world->tables->loads[first].established = 100;
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(connect_one(world, i), WEIR_REASON_NEW_FLOW);
	assert_int_equal(world->tables->loads[first].total, 0);
	world->tables->loads[first].established = 0;
}

/* A refusal or two of the other do not give it more than its share. */
static void ramping_beside_a_suspect(void **state)
{
	const struct slot_candidate like[] = { { 0, 1, 1 }, { 0, 1, 0 } };
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_LC, 2, like);

	world->tables->loads[first + 1].failed = 20;
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(connect_one(world, i), WEIR_REASON_NEW_FLOW);
	assert_in_range(world->tables->loads[first].total, 0, 5);
	world->tables->loads[first + 1].failed = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(until_all_are_full), cmocka_unit_test(one_is_full),
		world_test(room_comes_back),          cmocka_unit_test(two_cpus),
		cmocka_unit_test(ramp_shares),        world_test(ramping_but_loaded),
		world_test(ramping_beside_a_suspect),
	};

	return packet_tests(tests);
}
