// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/daemon/refusals.h"

#include "tests/packet/talk.h"

/* A backend that refuses every connection, beside three good ones, as lc and wlc see it. */

#define SERVICE 30
#define BACKENDS 4
#define NEW_FLOWS 10000
#define A_SECOND 200 /* new flows between two walks of the daemon */
#define ALL 0        /* backends refuse */

static uint32_t setup(struct world *world, enum weir_scheduler scheduler,
		      const uint32_t weights[BACKENDS])
{
	struct slot_candidate candidates[BACKENDS];

	world_service(world, SERVICE, WEIR, 7000, PROTOCOL_TCP, 0);
	for (uint32_t i = 0; i < BACKENDS; i++)
		candidates[i] = (struct slot_candidate){
			.backend = world_backend(world, SERVICE, BACKEND_1 + i, 80),
			.weight = weights[i],
		};
	world_slots(world, SERVICE, scheduler, candidates, BACKENDS);
	return candidates[0].backend;
}

/* Opens a connection. The first backend refuses it, the others take it. */
static void connect_one(struct world *world, struct talk *talk, uint32_t refuses)
{
	struct segment segment = client_segment(talk, SYN, 0);
	struct frame frame = frame_of(&segment);
	const struct weir_flow *flow;
	bool refused;

	assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	talk->client_next++;
	/* Records are handed out in order. */
	flow = world_flow(world, world->tables->shared->records[frame_family()] - 1);
	talk->backend_id = flow->backend_id;
	talk->backend = flow_backend(world, flow);
	talk->backend_port = ntohs(flow->backend_ports.source);
	talk->snat = flow_snat(world, flow);
	talk->snat_port = ntohs(flow->backend_ports.destination);
	refused = refuses == ALL || talk->backend_id == refuses;
	segment = backend_segment(talk, refused ? RST | ACK : SYN | ACK, 0);
	frame = frame_of(&segment);
	assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	if (refused)
		return;
	talk->backend_next++;
	segment = client_segment(talk, ACK, 0);
	frame = frame_of(&segment);
	assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
}

/* The daemon's walk, as far as refusals go. */
static void fade(struct world *world, uint32_t first, struct refusals *memory, double *rest)
{
	struct weir_load *loads = world->tables->loads, sum = { 0 };
	uint64_t taken = 0;
	double part;

	for (uint32_t id = first; id < first + BACKENDS; id++) {
		sum.total += loads[id].total;
		sum.half_open += loads[id].half_open;
		sum.established += loads[id].established;
		sum.failed += loads[id].failed;
	}
	part = refusals_fade(memory, &sum);
	for (uint32_t i = 0; i < BACKENDS; i++) {
		uint32_t some = refusals_take(&rest[i], loads[first + i].failed, part);

		loads[first + i].failed -= some;
		taken += some;
	}
	refusals_faded(memory, &sum, taken);
}

/* Some of the connections that are held end, each with the same chance. */
static void some_end(struct world *world, struct talk *talks, uint32_t count, uint32_t refuses,
		     uint32_t in_a_thousand)
{
	for (uint32_t i = 0; i < count; i++) {
		struct segment reset = client_segment(&talks[i], RST, 0);
		struct frame frame = frame_of(&reset);

		if (talks[i].backend_id == refuses || (uint32_t)rand() % 1000 >= in_a_thousand)
			continue;
		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
		talks[i].backend_id = refuses; /* not again */
	}
}

/* Of NEW_FLOWS, the backend that refuses gets at most a tenth over its fair share. */
static void share(enum weir_scheduler scheduler, const uint32_t weights[BACKENDS],
		  uint32_t end_in_a_thousand)
{
	struct world *world = world_open(NEW_FLOWS, 64);
	uint32_t refuses = setup(world, scheduler, weights), sum = 0;
	_cleanup_free_ struct talk *talks = calloc(NEW_FLOWS, sizeof(*talks));
	struct refusals memory = { 0 };
	double rest[BACKENDS] = { 0 };
	uint64_t got;

	assert_non_null(talks);
	for (uint32_t i = 0; i < BACKENDS; i++)
		sum += scheduler == WEIR_SCHEDULER_LC ? 1 : weights[i];
	for (uint32_t i = 1; i <= NEW_FLOWS; i++) {
		talks[i - 1] = talk_tcp(world, CLIENT, (uint16_t)(40000 + i));
		talks[i - 1].service_port = 7000;
		connect_one(world, &talks[i - 1], refuses);
		if (i % A_SECOND)
			continue;
		some_end(world, talks, i, refuses, end_in_a_thousand);
		fade(world, refuses, &memory, rest);
	}
	got = world->tables->loads[refuses].total;
	print_message("# %u of 1000 end in a second: %lu of %u were refused\n", end_in_a_thousand,
		      got, NEW_FLOWS);
	assert_true(got > 0);
	if (scheduler == WEIR_SCHEDULER_LC) /* it is tried in its turn: it may be well again */
		assert_true(got >= NEW_FLOWS / BACKENDS * 9 / 10);
	assert_true(got <=
		    NEW_FLOWS * (scheduler == WEIR_SCHEDULER_LC ? 1 : weights[0]) / sum * 11 / 10);
	world_close(world);
}

static void lc(void **state)
{
	const uint32_t weights[BACKENDS] = { 1, 1, 1, 1 };

	share(WEIR_SCHEDULER_LC, weights, 0);
	share(WEIR_SCHEDULER_LC, weights, 50);
	share(WEIR_SCHEDULER_LC, weights, 900);
}

static void wlc(void **state)
{
	const uint32_t light[BACKENDS] = { 1, 9, 5, 5 }, heavy[BACKENDS] = { 7, 1, 1, 1 };

	share(WEIR_SCHEDULER_WLC, light, 0);
	share(WEIR_SCHEDULER_WLC, light, 300);
	share(WEIR_SCHEDULER_WLC, heavy, 300);
}

/* All refuse: the load of refusals is shared like any other. */
static void all_refuse(void **state)
{
	const uint32_t weights[BACKENDS] = { 1, 1, 1, 1 };
	struct world *world = world_open(NEW_FLOWS, 64);
	uint32_t first = setup(world, WEIR_SCHEDULER_LC, weights);

	for (uint32_t i = 0; i < 1000; i++) {
		struct talk talk = talk_tcp(world, CLIENT, (uint16_t)(40000 + i));

		talk.service_port = 7000;
		connect_one(world, &talk, ALL);
	}
	for (uint32_t id = first; id < first + BACKENDS; id++)
		assert_in_range(world->tables->loads[id].total, 249, 251);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lc),
		cmocka_unit_test(wlc),
		cmocka_unit_test(all_refuse),
	};

	return packet_tests(tests);
}
