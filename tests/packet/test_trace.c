// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "tests/packet/talk.h"

/* One event for each decision while `trace` is on, none while it is off. */

struct seen {
	int count;
	struct weir_event last;
};

static void take(const struct weir_event *event, void *user)
{
	struct seen *seen = user;

	seen->count++;
	seen->last = *event;
}

static void look(struct world *world, struct seen *seen)
{
	int before;

	memset(seen, 0, sizeof(*seen));
	assert_int_equal(datapath_open_events(world->datapath, take, seen), 0);
	do { /* each call takes some */
		before = seen->count;
		assert_int_equal(datapath_poll_events(world->datapath), 0);
	} while (seen->count > before);
}

static void expect(const struct seen *seen, enum weir_reason reason, uint32_t backend,
		   const struct segment *in)
{
	const struct weir_address source = mapped(in->source);
	const struct weir_address destination = mapped(in->destination);

	assert_int_equal(seen->count, 1);
	assert_int_equal(seen->last.reason, reason);
	assert_int_equal(seen->last.backend_id, backend);
	assert_int_equal(seen->last.length, frame_of(in).length);
	assert_int_equal(seen->last.tcp_flags, in->flags);
	assert_memory_equal(&seen->last.tuple.source, &source, sizeof(source));
	assert_memory_equal(&seen->last.tuple.destination, &destination, sizeof(destination));
	assert_int_equal(seen->last.tuple.family, frame_family());
	assert_int_equal(seen->last.tuple.source_port, htons(in->source_port));
	assert_int_equal(seen->last.tuple.destination_port, htons(in->destination_port));
	assert_int_equal(seen->last.tuple.protocol, in->protocol);
	assert_true(seen->last.time_ns > 0);
}

static void each_decision(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment in = client_segment(&talk, SYN, 0);
	struct frame frame;
	struct seen seen;

	talk_open(&talk);
	look(world, &seen);
	assert_int_equal(seen.count, 0);

	world->tables->runtime->trace = 1;
	talk_client_with(&talk, &in);
	look(world, &seen);
	expect(&seen, WEIR_REASON_TO_BACKEND, talk.backend_id, &in);
	in = backend_segment(&talk, SYN | ACK, 0);
	talk_backend_with(&talk, &in);
	look(world, &seen);
	expect(&seen, WEIR_REASON_TO_CLIENT, talk.backend_id, &in);
	talk = talk_tcp(world, CLIENT, 40001);
	in = client_segment(&talk, SYN, 0);
	talk_open_with(&talk, &in);
	look(world, &seen);
	expect(&seen, WEIR_REASON_NEW_FLOW, talk.backend_id, &in);

	/* The answer has overwritten the frame: the event still tells of what came in. */
	in = tcp_segment(CLIENT, 40002, WEIR, 8000, ACK);
	in.payload = 100;
	frame = frame_of(&in);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NO_FLOW);
	look(world, &seen);
	expect(&seen, WEIR_REASON_NO_FLOW, 0, &in);

	in = udp_datagram(CLIENT, 40002, BACKEND_1, 8000, 4);
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
	look(world, &seen);
	expect(&seen, WEIR_REASON_NOT_OURS, 0, &in);
}

/* A SYN that ends an old flow and finds no backend: the old flow's backend has no part in that. */
static void no_backend_of_an_old_flow(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment in;
	struct frame frame;
	struct seen seen;

	talk_establish(&talk);
	talk_backend(&talk, RST, 0);
	service_of(world, WEB)->slots.word = 0;
	look(world, &seen);
	world->tables->runtime->trace = 1;
	in = client_segment(&talk, SYN, 0);
	frame = frame_of(&in);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NO_BACKEND);
	look(world, &seen);
	expect(&seen, WEIR_REASON_NO_BACKEND, 0, &in);
	assert_flows(world, 0, 0, 0);
}

/* Nobody reads: the buffer fills up, and packets are handled as ever. */
static void full_buffer_changes_nothing(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment in;
	struct frame frame;
	struct seen seen;

	talk_establish(&talk);
	world->tables->runtime->trace = 1;
	in = client_segment(&talk, ACK, 0);
	frame = frame_of(&in);
	for (int i = 0; i < 30000; i++)
		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	talk_client_with(&talk, &in);
	look(world, &seen);
	assert_in_range(seen.count, 1000, 29999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(each_decision),
		world_test(no_backend_of_an_old_flow),
		world_test(full_buffer_changes_nothing),
	};

	return packet_tests(tests);
}
