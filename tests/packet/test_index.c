// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/index.h"

/* Buckets of the index in states that come by chance once in thousands of flows. */

/* Fills @bucket but for @own with entries that lead to record @id, and bear the hash of @own. */
static void crowd(struct weir_index_bucket *bucket, union weir_index own, uint32_t place,
		  uint32_t id, uint16_t generation)
{
	for (uint32_t i = 0; i < WEIR_INDEX_ENTRIES; i++) {
		bucket->entries[i] = own;
		if (i == place)
			continue;
		bucket->entries[i].record = id;
		bucket->entries[i].generation = generation;
	}
	bucket->end = WEIR_INDEX_ENTRIES;
}

/* Others with the same hash in front of it: a live flow, a record's former use, no record at all. */
static void found_behind_others(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000), other = talk_tcp(*state, CLIENT, 40001);
	struct weir_index_bucket before, crowded;
	uint32_t number, place, other_id;
	uint16_t other_generation;
	union weir_index own;

	talk_establish(&talk);
	talk_open(&other);
	other_id = flow_id(*state, talk_flow(&other));
	other_generation = talk_flow(&other)->control.generation;
	number = bucket_find(&talk, &before, &place);
	own = before.entries[place];

	for (int i = 0; i < 3; i++) {
		crowded = before;
		crowd(&crowded, own, WEIR_INDEX_ENTRIES - 1, i == 2 ? 1 << 30 : other_id,
		      i == 1 ? other_generation - 1 : other_generation);
		bucket_write(*state, number, &crowded);
		talk_client(&talk, ACK | PSH, 10);
	}
	crowded = before;
	crowded.version += 2;
	bucket_write(*state, number, &crowded);
	assert_flows(*state, 1, 1, 0);
}

/* A tuple whose bucket has no room is refused, and nothing is left of the attempt. */
static void full_bucket(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);
	struct weir_sweep sweep = { .first = world->first_record, .count = world->records };
	struct weir_index_bucket bucket, crowded = { .end = WEIR_INDEX_ENTRIES };
	struct frame frame = frame_of(&syn);
	uint32_t number, place;

	talk_open(&talk);
	number = bucket_find(&talk, &bucket, &place);
	flow_age(world, talk_flow(&talk), 1 << 30);
	assert_int_equal(datapath_sweep(world->datapath, &sweep), 0);
	assert_int_equal(sweep.expired, 1);

	for (uint32_t i = 0; i < WEIR_INDEX_ENTRIES; i++)
		crowded.entries[i] = (union weir_index){ .record = 1 << 30, .mark = 0x8002 };
	bucket_write(world, number, &crowded);
	world->tables->runtime->reset_rate = 0;
	for (int i = 0; i < 3; i++)
		world_send(world, &frame, WEIR_REASON_FLOWS_FULL_SILENT, XDP_DROP, NULL);
	memset(&crowded, 0, sizeof(crowded));
	bucket_write(world, number, &crowded);
	talk_open(&talk);
	assert_flows(world, 1, 0, 0);
}

/* An entry that says another generation than its record leads nowhere. */
static void entry_of_another_generation(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct weir_index_bucket bucket;
	struct segment segment;
	uint32_t number, place;
	struct frame frame;

	talk_establish(&talk);
	number = bucket_find(&talk, &bucket, &place);
	bucket.entries[place].generation++;
	bucket_write(world, number, &bucket);
	segment = client_segment(&talk, ACK, 0);
	frame = frame_of(&segment);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NO_FLOW);
	bucket.entries[place].generation--;
	bucket_write(world, number, &bucket);
	talk_client(&talk, ACK, 0);
}

/* Another CPU has put its entry in, but not finished the record: the tuple is its own already. */
static void flow_in_the_making(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);
	struct weir_sweep sweep = { .first = world->first_record, .count = world->records };
	struct frame frame = frame_of(&syn);
	struct weir_index_bucket bucket;
	union weir_index own;
	uint32_t number, place;

	talk_open(&talk);
	number = bucket_find(&talk, &bucket, &place);
	own = bucket.entries[place];
	flow_age(world, talk_flow(&talk), 1 << 30);
	for (int i = 0; i < 2; i++) /* dead, then free */
		assert_int_equal(datapath_sweep(world->datapath, &sweep), 0);
	assert_int_equal(sweep.freed, 1);
	bucket_read(world, number, &bucket);
	own.generation++;
	bucket.entries[place] = own;
	bucket.end = WEIR_INDEX_ENTRIES;
	bucket_write(world, number, &bucket);
	world_send(world, &frame, WEIR_REASON_RACED, XDP_DROP, NULL);
	bucket_read(world, number, &bucket);
	bucket.entries[place].word = 0;
	bucket_write(world, number, &bucket);
	talk_open(&talk);
	assert_flows(world, 1, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(found_behind_others),
		world_test(full_bucket),
		world_test(entry_of_another_generation),
		world_test(flow_in_the_making),
	};

	return packet_tests(tests);
}
