// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/talk.h"

/*
 * A backend that closes first holds the connection in TIME_WAIT: the source port rests, unless a new
 * connection starts behind the old one's sequence numbers.
 */

enum { TIME_WAIT_S = 60, CLOSE_S = 10 };

static struct weir_sweep sweep(struct world *world)
{
	struct weir_sweep result = { .first = world->first_record, .count = world->records };

	assert_int_equal(datapath_sweep(world->datapath, &result), 0);
	return result;
}

static void set_times(struct world *world)
{
	uint32_t hz = world->tables->runtime->hz;

	world->tables->runtime->time_wait = TIME_WAIT_S * hz;
	service_of(world, WEB)->timeouts.tcp_close = CLOSE_S * hz;
}

static void age(struct talk *talk, const struct weir_flow *flow, uint32_t seconds)
{
	flow_age(talk->world, flow, seconds * talk->world->tables->runtime->hz);
}

static void backend_closes(struct talk *talk)
{
	talk_backend(talk, ACK | FIN, 0);
	talk_client(talk, ACK | FIN, 0);
	talk_backend(talk, ACK, 0);
	assert_state(talk, CLOSING);
}

static void client_closes(struct talk *talk)
{
	talk_client(talk, ACK | FIN, 0);
	talk_backend(talk, ACK | FIN, 0);
	talk_client(talk, ACK, 0);
	assert_state(talk, CLOSING);
}

static void both_close(struct talk *talk)
{
	struct segment fin = backend_segment(talk, ACK | FIN, 0);

	talk_client(talk, ACK | FIN, 0);
	talk_backend_with(talk, &fin);
	talk->backend_next++;
	talk_client(talk, ACK, 0);
	talk_backend(talk, ACK, 0);
	assert_state(talk, CLOSING);
}

static void backend_resets(struct talk *talk)
{
	talk_backend(talk, ACK | FIN, 0);
	talk_client(talk, ACK, 5);
	talk_backend(talk, RST, 0);
	assert_state(talk, CLOSING);
}

/* A FIN that came with data, was lost behind weir, and came again. */
static void backend_closes_twice(struct talk *talk)
{
	struct segment fin = backend_segment(talk, ACK | FIN | PSH, 90);

	talk_backend_with(talk, &fin);
	talk_backend(talk, ACK | FIN | PSH, 90);
	talk_client(talk, ACK, 0);
	talk_client(talk, ACK | FIN, 10);
	talk_backend(talk, ACK, 0);
	assert_state(talk, CLOSING);
}

/* Ends in this way; after tcp_close the port rests, or not. */
static void ends(struct world *world, void (*end)(struct talk *), bool rests)
{
	struct talk talk = talk_tcp(world, CLIENT, 20000);
	const struct weir_flow *flow;

	talk_establish(&talk);
	end(&talk);
	flow = talk_flow(&talk);
	assert_int_equal(sweep(world).expired, 0);
	age(&talk, flow, CLOSE_S + 1);
	assert_int_equal(sweep(world).expired, 1);
	assert_false(talk_has_flow(&talk));
	assert_int_equal(flow->control.state, rests ? WEIR_FLOW_QUARANTINE : WEIR_FLOW_LIMBO);
	assert_flows(world, 0, 0, 0);
	assert_int_equal(world->tables->loads[talk.backend_id].snat_ports, rests);
	if (rests) {
		age(&talk, flow, TIME_WAIT_S - CLOSE_S - 2);
		assert_int_equal(sweep(world).quarantine, 1);
		assert_int_equal(flow->control.state, WEIR_FLOW_QUARANTINE);
		age(&talk, flow, 2);
		sweep(world);
		assert_int_equal(flow->control.state, WEIR_FLOW_LIMBO);
	}
	world_verify(world);
	assert_int_equal(sweep(world).freed, 1);
	assert_int_equal(world->tables->shared->records[frame_family()], 0);
}

static void who_waits(void **state)
{
	set_times(*state);
	ends(*state, backend_closes, true);
	ends(*state, backend_closes_twice, true);
	ends(*state, both_close, true);
	ends(*state, client_closes, false);
	ends(*state, backend_resets, false);
}

/* The answer to a fast open, and its end, before the handshake is over. */
static void fast_open_waits(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 20000);
	struct segment syn = client_segment(&talk, SYN, 100);

	set_times(*state);
	talk_open_with(&talk, &syn);
	talk.client_next += 101;
	talk_backend(&talk, SYN | ACK, 0);
	talk_backend(&talk, ACK | PSH | FIN, 300);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK, 0);
	assert_state(&talk, CLOSING);
	age(&talk, talk_flow(&talk), CLOSE_S + 1);
	sweep(*state);
	assert_int_equal(sweep(*state).quarantine, 1);
}

/* The same client comes again from the same port: another source port towards the backend. */
static void client_comes_again(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 20000), again;

	set_times(world);
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	talk_establish(&talk);
	assert_int_equal(talk.snat_port, 20000);
	backend_closes(&talk);
	again = talk_tcp(world, CLIENT, 20000);
	again.client_next = talk.client_next + 1000;
	talk_open(&again);
	assert_int_not_equal(again.snat_port, 20000);
	assert_flows(world, 1, 0, 0);
	talk_backend(&again, SYN | ACK, 0);
	talk_client(&again, ACK, 0);
	assert_flows(world, 0, 1, 0);
}

/* A segment of the old connection belongs to nobody any more. */
static void nothing_is_translated(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 20000);
	struct segment late;
	struct frame frame;

	set_times(*state);
	talk_establish(&talk);
	backend_closes(&talk);
	age(&talk, talk_flow(&talk), CLOSE_S + 1);
	sweep(*state);
	late = backend_segment(&talk, ACK, 0);
	frame = frame_of(&late);
	world_send(*state, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
	assert_flows(*state, 0, 0, 0);
}

/* The only port rests: a SYN gets it only with a number that the backend will accept. */
static void taken_over_early(void **state)
{
	const uint32_t behind[] = { 0, -1u, -1000u, 0x80000001, 1, 1000, 0x7fffffff };
	struct world *world = *state;

	set_times(world);
	world_snat_ports(world, 2000, 2000);
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		struct talk old = talk_tcp(world, CLIENT, 40000), new;
		const struct weir_flow *record;
		struct segment syn;

		talk_establish(&old);
		backend_closes(&old);
		record = talk_flow(&old);
		age(&old, record, CLOSE_S + 1);
		sweep(world);
		assert_int_equal(record->control.state, WEIR_FLOW_QUARANTINE);
		new = talk_tcp(world, NEIGHBOUR, 50000);
		new.client_next = old.client_next + behind[i];
		if (i < 4) {
			struct frame frame;

			syn = client_segment(&new, SYN, 0);
			frame = frame_of(&syn);
			assert_int_equal(world_run(world, &frame).reason,
					 WEIR_REASON_SNAT_EXHAUSTED);
			assert_int_equal(record->control.state, WEIR_FLOW_QUARANTINE);
			age(&new, record, TIME_WAIT_S);
		} else {
			talk_open(&new);
			assert_int_equal(record->control.state, WEIR_FLOW_DEAD);
			assert_flows(world, 1, 0, 0);
			talk_backend(&new, SYN | ACK, 0);
			talk_client(&new, ACK, 0);
			client_closes(&new);
			age(&new, talk_flow(&new), CLOSE_S + 1);
		}
		sweep(world);
		sweep(world);
		assert_int_equal(world->tables->shared->records[frame_family()], 0);
		assert_flows(world, 0, 0, 0);
	}
}

/* Wherever it stands: the backend would hold it against those of the port's last client. */
static void taken_over_without_timestamp(void **state)
{
	const uint8_t options[] = { 2, 4, 5,    180,  4,    2,    8, 10, 0x12, 0x34,
				    0, 1, 0x56, 0x78, 0x9a, 0xbc, 1, 3,  3,    7 };
	struct world *world = *state;
	struct talk old = talk_tcp(world, CLIENT, 40000), new = talk_tcp(world, NEIGHBOUR, 50000);
	struct segment syn, expected;
	struct frame in, out;

	set_times(world);
	world_snat_ports(world, 2000, 2000);
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	talk_establish(&old);
	backend_closes(&old);
	age(&old, talk_flow(&old), CLOSE_S + 1);
	sweep(world);
	new.client_next = old.client_next + 1000;
	new.backend = old.backend;
	new.backend_port = old.backend_port;
	new.snat = old.snat;
	new.snat_port = 2000;
	syn = client_segment(&new, SYN, 0);
	syn.tcp_options_length = sizeof(options);
	memcpy(syn.tcp_options, options, sizeof(options));
	expected = to_backend(&new, &syn);
	memset(expected.tcp_options + 6, 1, 10);
	in = frame_of(&syn);
	out = frame_of(&expected);
	world_send(world, &in, WEIR_REASON_NEW_FLOW, XDP_TX, &out);
}

/* Records count more than ports: with three quarters in use, nothing rests. */
static void not_while_records_are_scarce(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 20000), other = talk_tcp(world, CLIENT, 20001);
	const struct weir_flow *flow;

	set_times(world);
	talk_establish(&other);
	talk_establish(&talk);
	backend_closes(&talk);
	flow = talk_flow(&talk);
	age(&talk, flow, CLOSE_S + 1);
	world->tables->runtime->flows_limit[frame_family()] = 4;
	sweep(world);
	assert_int_equal(sweep(world).quarantine, 1);
	world->tables->runtime->flows_limit[frame_family()] = 1;
	sweep(world);
	assert_int_equal(flow->control.state, WEIR_FLOW_LIMBO);
	assert_int_equal(sweep(world).freed, 1);
	assert_flows(world, 0, 1, 0); /* who talks stays, however scarce they are */
}

/* Only a port that rests can be taken over, whatever the number. */
static void not_from_the_living(void **state)
{
	struct world *world = *state;
	struct talk living = talk_tcp(world, CLIENT, 40000), new = talk_tcp(world, CLIENT, 40001);
	struct segment syn;
	struct frame frame;

	world_snat_ports(world, 2000, 2000);
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	talk_establish(&living);
	for (int closing = 0; closing < 2; closing++) {
		new.client_next = living.client_next + 100000;
		syn = client_segment(&new, SYN, 0);
		frame = frame_of(&syn);
		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
		talk_client(&living, ACK | PSH, 10);
		talk_backend(&living, ACK | PSH, 10);
		if (!closing)
			backend_closes(&living);
	}
}

/* snat: off: the client's own address and port are the client's business, and so is TIME_WAIT. */
static void kept_client_comes_again(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 20000), again;

	set_times(world);
	service_of(world, WEB)->flags = WEIR_SERVICE_KEEP_CLIENT;
	world_slots(world, WEB, WEIR_SCHEDULER_RR, &(struct slot_candidate){ 1, 1, 0 }, 1);
	talk_establish(&talk);
	assert_int_equal(talk.snat, CLIENT);
	assert_int_equal(talk.snat_port, 20000);
	talk_backend(&talk, ACK | PSH, 100);
	backend_closes(&talk);
	again = talk_tcp(world, CLIENT, 20000);
	again.client_next = talk.client_next + 1000;
	talk_open(&again);
	assert_int_equal(again.snat_port, 20000);
	talk_backend(&again, SYN | ACK, 0);
	assert_flows(world, 1, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(who_waits),
		world_test(fast_open_waits),
		world_test(client_comes_again),
		world_test(nothing_is_translated),
		world_test(taken_over_early),
		world_test(not_while_records_are_scarce),
		world_test(not_from_the_living),
		world_test(kept_client_comes_again),
		world_test(taken_over_without_timestamp),
	};

	return packet_tests(tests);
}
