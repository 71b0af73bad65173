// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <string.h>

#include "tests/packet/talk.h"

/* Flows that are cut on command: both sides are told, and nothing of them is forwarded any more. */

static uint32_t kill_all(struct world *world, struct weir_kill filter)
{
	uint32_t killed = 0;

	for (uint32_t place = 0; place < world->records;) {
		filter.first = world->first_record + place;
		filter.count = world->records - place;
		assert_int_equal(datapath_kill(world->datapath, &filter), 0);
		assert_in_range(filter.count, 1, world->records - place);
		place += filter.count;
		killed += filter.killed;
	}
	return killed;
}

static uint32_t killed_flows(struct world *world)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < world->records; i++)
		count += world_flow(world, i)->control.state == WEIR_FLOW_KILLED;
	return count;
}

/* Everything of the answer is that of @in turned round, TTL 64, don't fragment, id 0. */
static void answered(struct world *world, const struct segment *in, uint32_t sequence,
		     uint32_t acknowledgement, uint8_t flags)
{
	struct segment out = tcp_segment(in->destination, in->destination_port, in->source,
					 in->source_port, flags);
	struct frame frame_in = frame_of(in), frame_out;

	out.to = in->from;
	out.from = in->to;
	out.id = 0;
	out.window = 0;
	out.sequence = sequence;
	out.acknowledgement = acknowledgement;
	frame_out = frame_of(&out);
	world_send(world, &frame_in, WEIR_REASON_KILLED, XDP_TX, &frame_out);
}

static void silent(struct world *world, const struct segment *in)
{
	struct frame frame = frame_of(in);

	world_send(world, &frame, WEIR_REASON_KILLED_SILENT, XDP_DROP, NULL);
}

static void both_sides_are_told(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct weir_kill all = { 0 };
	struct segment in;

	talk_establish(&talk);
	assert_int_equal(kill_all(*state, all), 1);
	assert_flows(*state, 0, 0, 0);
	assert_int_equal(killed_flows(*state), 1);
	for (int i = 0; i < 3; i++) {
		in = client_segment(&talk, ACK | PSH, 100);
		answered(*state, &in, talk.backend_next, 0, RST);
		in = backend_segment(&talk, ACK | PSH, 200);
		answered(*state, &in, talk.client_next, 0, RST);
	}
	in = client_segment(&talk, ACK | FIN, 0);
	answered(*state, &in, talk.backend_next, 0, RST);
	in = client_segment(&talk, PSH, 10); /* no ACK */
	answered(*state, &in, 0, talk.client_next + 10, RST | ACK);
	in = backend_segment(&talk, SYN, 0);
	answered(*state, &in, 0, talk.backend_next + 1, RST | ACK);
	in.ttl = 1; /* it has arrived: this end is the connection's */
	answered(*state, &in, 0, talk.backend_next + 1, RST | ACK);
	assert_int_equal(killed_flows(*state), 1);
	assert_int_equal(kill_all(*state, all), 0); /* not twice */
}

static void resets_are_not_answered(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct weir_kill all = { 0 };
	struct segment in;

	talk_establish(&talk);
	kill_all(*state, all);
	in = client_segment(&talk, RST, 0);
	silent(*state, &in);
	in = backend_segment(&talk, RST | ACK, 0);
	silent(*state, &in);
}

/* Over the reply rate there is no answer, but nothing is forwarded either. */
static void never_forwarded(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct world *world = *state;
	struct weir_kill all = { 0 };
	struct segment in;

	talk_establish(&talk);
	kill_all(world, all);
	world->tables->runtime->reset_rate = 0;
	in = client_segment(&talk, ACK | PSH, 100);
	silent(world, &in);
	in = backend_segment(&talk, ACK | PSH, 100);
	silent(world, &in);
}

static void each_state(void **state)
{
	struct talk half = talk_tcp(*state, CLIENT, 40000);
	struct talk replied = talk_tcp(*state, CLIENT, 40001);
	struct talk open = talk_tcp(*state, CLIENT, 40002);
	struct talk closing = talk_tcp(*state, CLIENT, 40003);
	struct world *world = *state;
	struct weir_kill all = { 0 };
	struct segment in;

	talk_open(&half);
	talk_open(&replied);
	talk_backend(&replied, SYN | ACK, 0);
	talk_establish(&open);
	talk_establish(&closing);
	talk_backend(&closing, ACK | FIN, 0);
	talk_client(&closing, ACK | FIN, 0);
	talk_backend(&closing, ACK, 0);
	assert_flows(world, 2, 1, 1);
	assert_int_equal(kill_all(world, all), 4);
	assert_flows(world, 0, 0, 0);
	assert_int_equal(killed_flows(world), 4);
	assert_int_equal(world->counters.flows[WEIR_FLOW_KILLED], 4);
	for (uint32_t id = 1; id <= 2; id++) {
		assert_int_equal(world->tables->loads[id].half_open, 0);
		assert_int_equal(world->tables->loads[id].established, 0);
		assert_int_equal(world->tables->loads[id].failed, 0);
	}
	in = backend_segment(&half, SYN | ACK, 0);
	answered(world, &in, half.client_next, 0, RST);
	in = client_segment(&replied, ACK, 0);
	answered(world, &in, replied.backend_next, 0, RST);
}

static void udp_is_gone_at_once(void **state)
{
	struct talk fresh = talk_udp(*state, CLIENT, 40000), old = talk_udp(*state, CLIENT, 40001);
	struct world *world = *state;
	struct weir_kill all = { 0 };

	talk_open(&fresh);
	talk_open(&old);
	talk_backend(&old, 0, 1);
	flow_age(world, talk_flow(&old), jiffies_of_ms(world, 2000));
	talk_client(&old, 0, 1);
	assert_flows(world, 1, 1, 0);
	assert_int_equal(kill_all(world, all), 2);
	assert_flows(world, 0, 0, 0);
	assert_int_equal(killed_flows(world), 0);
	assert_int_equal(world->tables->shared->udp_established[frame_family()], 0);
	talk_open(&fresh); /* anew */
}

/* The same client port opens again, with a new flow; the killed one is gone. */
static void syn_starts_anew(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct world *world = *state;
	struct weir_kill all = { 0 };

	talk_establish(&talk);
	kill_all(world, all);
	talk.client_next += 100000;
	talk_establish(&talk);
	assert_flows(world, 0, 1, 0);
	assert_int_equal(killed_flows(world), 0);
	world_verify(world);
}

/* Though the backend closed first: it gets a RST, its port is free. */
static void no_quarantine(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 20000);
	struct world *world = *state;
	struct weir_kill all = { 0 };

	talk_establish(&talk);
	talk_backend(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK, 0);
	assert_state(&talk, CLOSING);
	kill_all(world, all);
	talk.client_next += 100000;
	talk_open(&talk);
	for (uint32_t i = 0; i < world->records; i++)
		assert_int_not_equal(world_flow(world, i)->control.state, WEIR_FLOW_QUARANTINE);
}

/* Stays for tcp_close from the last packet, whatever it was before. */
static void expires(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct world *world = *state;
	uint32_t hz = world->tables->runtime->hz;
	struct weir_sweep walk = { .first = world->first_record, .count = world->records };
	struct weir_kill all = { 0 };
	const struct weir_flow *flow;
	struct segment in;

	service_of(world, WEB)->timeouts.tcp_close = 20 * hz;
	talk_establish(&talk);
	flow = talk_flow(&talk);
	flow_age(world, flow, 1000 * hz);
	kill_all(world, all);
	flow_age(world, flow, 19 * hz);
	assert_int_equal(datapath_sweep(world->datapath, &walk), 0);
	assert_int_equal(walk.expired, 0);
	assert_int_equal(walk.closing + walk.quarantine + walk.established, 0);
	in = client_segment(&talk, ACK, 0);
	answered(world, &in, talk.backend_next, 0, RST);
	flow_age(world, flow, 19 * hz);
	walk.first = world->first_record;
	walk.count = world->records;
	assert_int_equal(datapath_sweep(world->datapath, &walk), 0);
	assert_int_equal(walk.expired, 0);
	flow_age(world, flow, 2 * hz);
	walk.first = world->first_record;
	walk.count = world->records;
	assert_int_equal(datapath_sweep(world->datapath, &walk), 0);
	assert_int_equal(walk.expired, 1);
	assert_int_equal(killed_flows(world), 0);
	assert_int_equal(world->tables->loads[talk.backend_id].snat_ports, 0);
	assert_int_equal(world->tables->loads[talk.backend_id].failed, 0);
	world_verify(world);
}

/* Each field of the filter by itself. */
static void filters(void **state)
{
	struct talk web[4], dns = talk_udp(*state, CLIENT, 40000);
	const uint32_t clients[] = { CLIENT, CLIENT, NEIGHBOUR, NEIGHBOUR };
	struct world *world = *state;

	for (int i = 0; i < 4; i++) {
		web[i] = talk_tcp(world, clients[i], (uint16_t)(40000 + i % 2 * 1000));
		talk_establish(&web[i]);
	}
	talk_open(&dns);
	assert_int_equal(kill_all(world, (struct weir_kill){ .service_id = EMPTY_TCP }), 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .backend_id = 5 }), 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .client = mapped(FAR_CLIENT) }), 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .client_port = htons(1) }), 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .service_id = DNS, .backend_id = 1 }),
			 0);
	assert_flows(world, 1, 4, 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .service_id = DNS }), 1);
	assert_flows(world, 0, 4, 0);
	assert_int_equal(kill_all(world, (struct weir_kill){ .client = mapped(CLIENT),
							     .client_port = htons(41000) }),
			 1);
	assert_false(talk_has_flow(&web[1]));
	assert_int_equal(kill_all(world, (struct weir_kill){ .backend_id = web[2].backend_id }),
			 2); /* in turn: those of both clients */
	assert_false(talk_has_flow(&web[0]) || talk_has_flow(&web[2]));
	assert_int_equal(kill_all(world, (struct weir_kill){ .marked = 1 }), 0);
	world->tables->backends[web[2].backend_id].cut = 1; /* has none left */
	assert_int_equal(kill_all(world, (struct weir_kill){ .marked = 1 }), 0);
	world->tables->backends[web[3].backend_id].cut = 1;
	assert_int_equal(kill_all(world, (struct weir_kill){ .marked = 1 }), 1);
	assert_flows(world, 0, 0, 0);
}

/* Outside of the records asked for nothing happens; after many kills it ends early. */
static void in_chunks(void **state)
{
	struct world *world = world_open(2000, 2000);
	struct weir_kill chunk = { .first = world->first_record + 10, .count = 5 };

	for (uint16_t i = 0; i < 1500; i++) {
		struct segment syn = tcp_segment(CLIENT, (uint16_t)(10000 + i), WEIR, 8000, SYN);
		struct frame frame = frame_of(&syn);

		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	assert_int_equal(datapath_kill(world->datapath, &chunk), 0);
	assert_int_equal(chunk.killed, 5);
	assert_int_equal(chunk.count, 5);
	assert_int_equal(killed_flows(world), 5);
	chunk = (struct weir_kill){ .first = world->first_record, .count = 2000 };
	assert_int_equal(datapath_kill(world->datapath, &chunk), 0);
	assert_int_equal(chunk.killed, WEIR_KILL_MOST);
	assert_int_equal(chunk.count, WEIR_KILL_MOST + 5);
	assert_int_equal(kill_all(world, (struct weir_kill){ 0 }), 1500 - 5 - WEIR_KILL_MOST);
	assert_flows(world, 0, 0, 0);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(both_sides_are_told),
		world_test(resets_are_not_answered),
		world_test(never_forwarded),
		world_test(each_state),
		world_test(udp_is_gone_at_once),
		world_test(syn_starts_anew),
		world_test(no_quarantine),
		world_test(expires),
		world_test(filters),
		cmocka_unit_test(in_chunks),
	};

	return packet_tests(tests);
}
