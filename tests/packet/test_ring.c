// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <stdlib.h>

#include "src/base/cleanup.h"

#include "tests/packet/talk.h"

/* Half-open flows stand in a ring of 64 places here; who comes too much pushes the oldest out. */

#define PLACES 64
#define MOST_RECORDS 65536

static void open_many(struct world *world, struct talk *talks, int count, uint16_t first_port)
{
	for (int i = 0; i < count; i++) {
		talks[i] = talk_tcp(world, CLIENT, (uint16_t)(first_port + i));
		talk_open(&talks[i]);
	}
}

static void the_oldest_leaves_whole(void **state)
{
	struct talk talks[PLACES + 3];
	struct world *world = *state;
	struct segment ack;
	struct frame late;

	open_many(world, talks, PLACES, 40000);
	assert_flows(world, PLACES, 0, 0);
	assert_true(talk_has_flow(&talks[0]));
	open_many(world, talks + PLACES, 3, 50000);
	assert_flows(world, PLACES, 0, 0);
	for (int i = 0; i < PLACES + 3; i++)
		assert_int_equal(talk_has_flow(&talks[i]), i >= 3);
	assert_int_equal(world->tables->shared->records[frame_family()], PLACES);
	assert_int_equal(world->tables->loads[1].snat_ports + world->tables->loads[2].snat_ports,
			 PLACES);

	/* The backend's late answer belongs to nobody any more. */
	ack = backend_segment(&talks[1], SYN | ACK, 0);
	late = frame_of(&ack);
	world_send(world, &late, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
}

static void established_are_never_evicted(void **state)
{
	struct world *world = *state;
	struct talk real[3], flood[3 * PLACES];

	open_many(world, real, 3, 40000);
	for (int i = 0; i < 3; i++) {
		talk_backend(&real[i], SYN | ACK, 0);
		talk_client(&real[i], ACK, 0);
	}
	open_many(world, flood, 3 * PLACES, 50000);
	assert_flows(world, PLACES, 3, 0);
	for (int i = 0; i < 3; i++) {
		talk_client(&real[i], ACK | PSH, 100);
		talk_backend(&real[i], ACK | PSH, 100);
	}
}

/* Leaves @count ids in the queue of free ones; returns the others, *rest of them. */
static uint32_t *hold_ids(int queue, uint32_t count, uint32_t *rest)
{
	uint32_t *ids = calloc(MOST_RECORDS, sizeof(*ids));
	uint32_t all = 0;

	assert_non_null(ids);
	while (all < MOST_RECORDS && !bpf_map_lookup_and_delete_elem(queue, NULL, &ids[all]))
		all++;
	assert_true(all > count);
	for (*rest = all; *rest > all - count; (*rest)--)
		assert_int_equal(bpf_map_update_elem(queue, NULL, &ids[*rest - 1], BPF_ANY), 0);
	return ids;
}

/* Closed before the ring came round, and its record in use again: the old place means nobody. */
static void an_old_place_evicts_nobody(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int queue = world_map(world, frame_family() == WEIR_IPV6 ? "free_records6" :
										   "free_records4");
	struct weir_sweep sweep = { .first = world->first_record, .count = world->records };
	struct talk talk = talk_tcp(world, CLIENT, 40000), flood[PLACES - 1], more;
	_cleanup_free_ uint32_t *held = NULL;
	struct segment reset;
	uint32_t rest, id;

	held = hold_ids(queue, PLACES, &rest);
	talk_open(&talk);
	id = flow_id(world, talk_flow(&talk));
	reset = backend_segment(&talk, RST | ACK, 0);
	talk_backend_with(&talk, &reset);
	flow_age(world, talk_flow(&talk), jiffies_of_ms(world, 4000000));
	for (int i = 0; i < 2; i++)
		assert_int_equal(datapath_sweep(world->datapath, &sweep), 0);
	assert_flows(world, 0, 0, 0);
	open_many(world, flood, PLACES - 1, 50000);
	more = talk_tcp(world, CLIENT, 45000);
	talk_open(&more); /* comes to the ring's place of the first, and has its record */
	assert_int_equal(flow_id(world, talk_flow(&more)), id);
	assert_flows(world, PLACES, 0, 0);
	while (rest)
		assert_int_equal(bpf_map_update_elem(queue, NULL, &held[--rest], BPF_ANY), 0);
}

static void udp_stands_in_the_ring_too(void **state)
{
	struct talk first = talk_udp(*state, CLIENT, 53), flood[PLACES];

	talk_open(&first);
	talk_backend(&first, 0, 100);
	open_many(*state, flood, PLACES - 1, 50000);
	assert_true(talk_has_flow(&first));
	open_many(*state, flood + PLACES - 1, 1, 60000);
	assert_false(talk_has_flow(&first));
	assert_flows(*state, PLACES, 0, 0);
}

static void syn_flood(void **state)
{
	struct world *world = *state;
	struct talk real = talk_tcp(world, CLIENT, 40000);

	talk_establish(&real);
	for (uint32_t i = 0; i < 100000; i++) {
		struct segment syn = tcp_segment(IP4(10, 0, 100, 0) + i / 50000,
						 (uint16_t)(1024 + i % 50000), WEIR, 8000, SYN);
		struct frame frame = frame_of(&syn);

		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	assert_flows(world, PLACES, 1, 0);
	assert_int_equal(world->counters.reasons[WEIR_REASON_NEW_FLOW], 100001);
	assert_int_equal(world->tables->shared->records[frame_family()], PLACES + 1);
	talk_client(&real, ACK | PSH, 100);
	talk_backend(&real, ACK | PSH, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(the_oldest_leaves_whole),
		world_test(established_are_never_evicted),
		world_test(an_old_place_evicts_nobody),
		world_test(udp_stands_in_the_ring_too),
		world_test(syn_flood),
	};

	return packet_tests(tests);
}
