// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/index.h"

/*
 * A flow as another CPU may see it for a moment: while it is being made, or taken away. Its index
 * entries belong to the CPU that is at it; nobody else may remove them.
 */

static uint64_t entry_of(const struct talk *talk)
{
	struct weir_index_bucket bucket;
	uint32_t place;

	bucket_find(talk, &bucket, &place);
	return bucket.entries[place].word;
}

/* With this control word: a SYN is dropped, all else has no flow, and the entry stays as it is. */
static void out_of_sight(struct world *world, struct talk *talk, union weir_flow_control moment)
{
	union weir_flow_control *control =
		&world_flow(world, flow_place(world, talk_flow(talk)))->control;
	const union weir_flow_control own = *control;
	uint64_t entry = entry_of(talk);
	struct segment segment;
	struct frame frame;

	control->word = moment.word;
	segment = client_segment(talk, SYN, 0);
	segment.sequence += 5000;
	frame = frame_of(&segment);
	for (int i = 0; i < 3; i++) {
		world_send(world, &frame, WEIR_REASON_RACED, XDP_DROP, NULL);
	}
	segment = client_segment(talk, ACK | PSH, 50);
	frame = frame_of(&segment);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NO_FLOW);
	segment = backend_segment(talk, ACK | PSH, 50);
	frame = frame_of(&segment);
	world_send(world, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
	control->word = own.word;
	assert_true(entry_of(talk) == entry);
	talk_client(talk, ACK | PSH, 60);
	talk_backend(talk, ACK | PSH, 70);
	assert_flows(world, 0, 1, 0);
}

static void on_its_way_out(void **state)
{
	const uint8_t states[] = { WEIR_FLOW_QUARANTINE, WEIR_FLOW_DEAD, WEIR_FLOW_LIMBO };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	union weir_flow_control moment;

	talk_establish(&talk);
	for (size_t i = 0; i < sizeof(states); i++) {
		moment = talk_flow(&talk)->control;
		moment.state = states[i];
		out_of_sight(*state, &talk, moment);
	}
}

/* Both entries are there, and the record is still of the generation before. */
static void on_its_way_in(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	union weir_flow_control moment;

	talk_establish(&talk);
	moment = talk_flow(&talk)->control;
	moment.state = WEIR_FLOW_FREE;
	moment.generation--;
	out_of_sight(*state, &talk, moment);
}

/* Generations are 16 bits: 0 comes after 65535. */
static void generations_wrap(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	union weir_flow_control moment;

	for (uint32_t i = 0; i < world->records; i++)
		world_flow(world, i)->control.generation = UINT16_MAX;
	talk_establish(&talk);
	assert_int_equal(talk_flow(&talk)->control.generation, 0);
	moment = talk_flow(&talk)->control;
	moment.state = WEIR_FLOW_FREE;
	moment.generation = UINT16_MAX;
	out_of_sight(world, &talk, moment);
}

/* What failed to become a flow used its record's generation up. */
static void failures_leave_no_trace(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);
	struct frame frame = frame_of(&syn);
	uint32_t count = world->tables->snat_ports[0].count;

	world->tables->snat_ports[0].count = 0;
	for (uint32_t i = 0; i < 2 * world->records; i++)
		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
	for (uint32_t i = 0; i < world->records; i++) {
		assert_int_equal(world_flow(world, i)->control.generation, 2);
		assert_int_equal(world_flow(world, i)->control.state, WEIR_FLOW_FREE);
	}
	assert_int_equal(world->tables->shared->records[frame_family()], 0);
	world->tables->snat_ports[0].count = count;
	talk_establish(&talk);
	assert_int_equal(talk_flow(&talk)->control.generation, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(on_its_way_out),
		world_test(on_its_way_in),
		world_test(generations_wrap),
		world_test(failures_leave_no_trace),
	};

	return packet_tests(tests);
}
