// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <string.h>
#include <time.h>

#include "src/base/cleanup.h"

#include "tests/packet/talk.h"

/* The walk over the records: who has been silent for too long leaves, and its id rests for a while. */

enum { TCP_S = 1000, HANDSHAKE_S = 10, CLOSE_S = 20, UDP_S = 30, UDP_ESTABLISHED_S = 180 };

static struct weir_sweep sweep(struct world *world)
{
	struct weir_sweep result = { .first = world->first_record, .count = world->records };

	memset(world->tables->audits, 0,
	       world->tables->sizes.backends * sizeof(*world->tables->audits));
	assert_int_equal(datapath_sweep(world->datapath, &result), 0);
	assert_int_equal(result.count, world->records);
	return result;
}

static void set_timeouts(struct world *world)
{
	const uint32_t hz = world->tables->runtime->hz;
	const struct weir_timeouts timeouts = {
		.tcp = TCP_S * hz,
		.tcp_handshake = HANDSHAKE_S * hz,
		.tcp_close = CLOSE_S * hz,
		.udp = UDP_S * hz,
		.udp_established = UDP_ESTABLISHED_S * hz,
	};

	for (uint32_t id = WEB; id <= DNS; id++)
		service_of(world, id)->timeouts = timeouts;
	world->tables->runtime->least = timeouts;
}

/* Silent for a little less than @seconds: stays. For a little more: goes. */
static void expires_after(struct talk *talk, uint32_t seconds)
{
	struct world *world = talk->world;
	uint32_t margin = world->tables->runtime->hz / 2;
	struct weir_sweep result;

	flow_age(world, talk_flow(talk), seconds * world->tables->runtime->hz - margin);
	result = sweep(world);
	assert_int_equal(result.expired, 0);
	assert_true(talk_has_flow(talk));
	flow_age(world, talk_flow(talk), 2 * margin);
	result = sweep(world);
	assert_int_equal(result.expired, 1);
	assert_false(talk_has_flow(talk));
	assert_flows(world, 0, 0, 0);
	result = sweep(world);
	assert_int_equal(result.expired, 0);
	assert_int_equal(result.freed, 1);
	assert_int_equal(world->tables->shared->records[frame_family()], 0);
}

static void each_state_has_its_timeout(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	set_timeouts(*state);
	talk_open(&talk);
	expires_after(&talk, HANDSHAKE_S);
	talk = talk_tcp(*state, CLIENT, 40000);
	talk_establish(&talk);
	expires_after(&talk, TCP_S);
	talk = talk_tcp(*state, CLIENT, 40000);
	talk_establish(&talk);
	talk_client(&talk, ACK | FIN, 0); /* half closed */
	expires_after(&talk, TCP_S);
	talk = talk_tcp(*state, CLIENT, 40000);
	talk_establish(&talk);
	talk_client(&talk, RST, 0);
	expires_after(&talk, CLOSE_S);
	talk = talk_udp(*state, CLIENT, 40000);
	talk_open(&talk);
	expires_after(&talk, UDP_S);
	talk = talk_udp(*state, CLIENT, 40000);
	talk_open(&talk);
	talk_backend(&talk, 0, 1);
	flow_age(*state, talk_flow(&talk), jiffies_of_ms(*state, 2000));
	talk_client(&talk, 0, 1);
	assert_state(&talk, ESTABLISHED);
	expires_after(&talk, UDP_ESTABLISHED_S);
}

/* The kernel's jiffies begin 300 s before 32 bits are full, when its clock begins: all of weir's time is in them. */
static void jiffies_and_seconds(void **state)
{
	struct world *world = *state;
	int64_t hz = datapath_hz(world->datapath);
	int64_t jiffies = (int64_t)datapath_jiffies(world->datapath);
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	assert_in_range(jiffies - ((1LL << 32) + (now.tv_sec - 300) * hz) + 10 * hz, 0, 20 * hz);
	assert_int_equal(world->tables->runtime->hz, hz);
}

/* Up to there nobody asks for those of the service; beyond it they count alone. */
static void least_timeouts_come_first(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct world *world = *state;
	struct weir_timeouts *least = &world->tables->runtime->least;

	set_timeouts(world);
	talk_establish(&talk);
	flow_age(world, talk_flow(&talk), jiffies_of_ms(world, TCP_S * 1500));
	least->tcp = jiffies_of_ms(world, TCP_S * 2000);
	assert_int_equal(sweep(world).expired, 0);
	*least = (struct weir_timeouts){ 0 };
	assert_int_equal(sweep(world).expired, 1);
	talk = talk_tcp(*state, CLIENT, 40000);
	talk_establish(&talk);
	expires_after(&talk, TCP_S);
}

/* Each packet, from either side, starts the time anew. */
static void packets_keep_it_alive(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	set_timeouts(*state);
	talk_establish(&talk);
	for (int i = 0; i < 5; i++) {
		flow_age(*state, talk_flow(&talk), jiffies_of_ms(*state, TCP_S * 900));
		if (i % 2)
			talk_client(&talk, ACK, 0);
		else
			talk_backend(&talk, ACK, 0);
		assert_int_equal(sweep(*state).expired, 0);
	}
}

/* 32 bits of jiffies wrap five minutes after boot, and every few weeks. */
static void last_seen_just_ahead_of_the_clock(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	set_timeouts(*state);
	talk_establish(&talk);
	flow_age(*state, talk_flow(&talk), -5u);
	assert_int_equal(sweep(*state).expired, 0);
	assert_true(talk_has_flow(&talk));
}

/* DEAD after the walk that expired it is LIMBO, and free only after another. */
static void ids_rest_for_a_walk(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	const struct weir_flow *flow;
	uint16_t generation;

	talk_establish(&talk);
	flow = talk_flow(&talk);
	generation = flow->control.generation;
	talk_client(&talk, RST, 0);
	talk.client_next += 5000;
	talk_open(&talk); /* anew; the old record is dead */
	assert_int_equal(flow->control.state, WEIR_FLOW_DEAD);
	assert_int_equal(world->tables->shared->records[frame_family()], 2);
	assert_int_equal(sweep(world).freed, 0);
	assert_int_equal(flow->control.state, WEIR_FLOW_LIMBO);
	assert_int_equal(world->tables->shared->records[frame_family()], 2);
	assert_int_equal(sweep(world).freed, 1);
	assert_int_equal(flow->control.state, WEIR_FLOW_FREE);
	assert_int_equal(world->tables->shared->records[frame_family()], 1);
	assert_int_equal(flow->control.generation, generation);
	assert_int_equal(sweep(world).freed, 0);
}

/* What a dead flow left is not what a new one has made of it since. */
static void entries_of_others_stay(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 20000);

	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	talk_establish(&talk);
	talk_client(&talk, RST, 0);
	talk_open(&talk); /* the same tuples, another record; the old one is dead */
	assert_int_equal(talk.snat_port, 20000);
	assert_int_equal(sweep(world).freed, 0);
	assert_int_equal(sweep(world).freed, 1);
	talk.backend_next = 5;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(world, 0, 1, 0);
}

/* An id comes back after all others have had their turn, and with another generation. */
static void ids_come_round(void **state)
{
	struct world *world = world_open(16, 64);
	struct segment syn = tcp_segment(CLIENT, 40000, WEIR, 8000, SYN);
	struct frame frame = frame_of(&syn);
	uint32_t records = world->records;
	struct weir_service *service = service_of(world, WEB);

	memset(&service->timeouts, 0, sizeof(service->timeouts));
	for (uint32_t i = 0; i < 2 * records; i++) {
		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
		assert_int_equal(flow_place(world, flow_of(world, &syn)), i % records);
		assert_int_equal(flow_of(world, &syn)->control.generation, 1 + i / records);
		flow_age(world, flow_of(world, &syn), 1);
		assert_int_equal(sweep(world).expired, 1);
		assert_int_equal(sweep(world).freed, 1);
	}
	world_close(world);
}

static void audit(void **state)
{
	struct world *world = *state;
	struct weir_sweep result;
	struct talk talks[12];

	for (uint16_t i = 0; i < 12; i++) {
		talks[i] = talk_tcp(world, CLIENT, (uint16_t)(40000 + i));
		talk_open(&talks[i]);
		if (i < 4)
			continue;
		talk_backend(&talks[i], SYN | ACK, 0);
		talk_client(&talks[i], ACK, 0);
		if (i >= 9)
			talk_backend(&talks[i], RST, 0);
	}
	result = sweep(world);
	assert_int_equal(result.half_open, 4);
	assert_int_equal(result.established, 5);
	assert_int_equal(result.closing, 3);
	assert_int_equal(result.expired, 0);
	assert_int_equal(result.freed, 0);
	for (uint32_t backend = 1; backend <= 2; backend++) {
		assert_int_equal(world->tables->audits[backend].half_open,
				 world->tables->loads[backend].half_open);
		assert_int_equal(world->tables->audits[backend].established,
				 world->tables->loads[backend].established);
	}
	assert_int_equal(world->tables->audits[1].half_open, 2);
	assert_int_equal(world->tables->audits[1].established, 3);
}

static void in_chunks(void **state)
{
	struct world *world = *state;
	struct weir_sweep chunk = { .first = world->first_record, .count = 10 };
	struct talk talks[25];

	for (uint16_t i = 0; i < 25; i++) {
		talks[i] = talk_tcp(world, CLIENT, (uint16_t)(40000 + i));
		talk_open(&talks[i]);
	}
	assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
	assert_int_equal(chunk.half_open, 10);
	assert_int_equal(chunk.first, world->first_record);
	chunk = (struct weir_sweep){ .first = world->first_record + 20, .count = 10 };
	assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
	assert_int_equal(chunk.half_open, 5);
	/* Beyond the end: stops there. */
	chunk = (struct weir_sweep){ .first = world->first_record + world->records - 1,
				     .count = 100 };
	assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
	assert_int_equal(chunk.half_open, 0);
	assert_int_equal(chunk.count, 1);
}

/* Where much expires, a chunk ends early and says how far it came. */
static void cut_short(void **state)
{
	struct world *world = world_open(4000, 4000);
	struct weir_sweep chunk = { .first = world->first_record, .count = 4000 };
	uint32_t expired = 0, chunks = 0;

	for (uint16_t i = 0; i < 3000; i++) {
		struct segment syn = tcp_segment(CLIENT, (uint16_t)(10000 + i), WEIR, 8000, SYN);
		struct frame frame = frame_of(&syn);

		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	set_timeouts(world);
	for (uint32_t i = 0; i < 3000; i++)
		flow_age(world, world_flow(world, i), jiffies_of_ms(world, 11000));
	while (chunk.first - world->first_record < 4000) {
		chunk.count = 4000 - (chunk.first - world->first_record);
		assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
		assert_int_equal(chunk.expired, chunks < 2 ? 1024 : 3000 - 2 * 1024);
		assert_int_equal(chunk.count, chunks < 2 ? 1024 : 4000 - 2 * 1024);
		expired += chunk.expired;
		chunk.first += chunk.count;
		chunks++;
	}
	assert_int_equal(expired, 3000);
	assert_flows(world, 0, 0, 0);
	chunk = (struct weir_sweep){ .first = world->first_record, .count = 4000 };
	assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
	assert_int_equal(chunk.freed, 3000); /* which is less work */
	assert_int_equal(chunk.count, 4000);
	world_close(world);
}

/* Ports and room come back: full, expired, full again, ten times over. */
static void everything_comes_back(void **state)
{
	struct world *world = world_open(40, 64);
	struct talk talks[40];

	set_timeouts(world);
	world_snat_ports(world, 2000, 2019);
	for (int round = 0; round < 10; round++) {
		for (uint16_t i = 0; i < 40; i++) {
			talks[i] = talk_tcp(world, CLIENT, (uint16_t)(40000 + i));
			talk_open(&talks[i]);
		}
		for (uint16_t i = 0; i < 40; i++)
			flow_age(world, talk_flow(&talks[i]), jiffies_of_ms(world, 11000));
		assert_int_equal(sweep(world).expired, 40);
		assert_int_equal(sweep(world).freed, 40);
		assert_flows(world, 0, 0, 0);
	}
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(jiffies_and_seconds),
		world_test(each_state_has_its_timeout),
		world_test(least_timeouts_come_first),
		world_test(packets_keep_it_alive),
		world_test(last_seen_just_ahead_of_the_clock),
		world_test(ids_rest_for_a_walk),
		world_test(entries_of_others_stay),
		cmocka_unit_test(ids_come_round),
		world_test(audit),
		world_test(in_chunks),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(everything_comes_back),
	};

	return packet_tests(tests);
}
