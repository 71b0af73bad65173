// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

static struct weir_load load_of(const struct talk *talk)
{
	return talk->world->tables->loads[talk->backend_id];
}

static void promoted_by_acknowledging_the_syn_ack(void **state)
{
	const uint32_t wrong[] = { 0, 1, -1u, 2, 1000, -1000u, 0x80000000 };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in;

	talk_open(&talk);
	assert_flows(*state, 1, 0, 0);
	talk_backend(&talk, SYN | ACK, 0);
	assert_flows(*state, 1, 0, 0);
	for (size_t i = 1; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		in = client_segment(&talk, ACK, i);
		in.acknowledgement += wrong[i];
		talk_client_in_vain(&talk, &in);
	}
	in = client_segment(&talk, 0, 1); /* the right number, but no ACK */
	in.acknowledgement = talk.backend_next;
	talk_client_in_vain(&talk, &in);
	assert_flows(*state, 1, 0, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
	assert_int_equal(load_of(&talk).half_open, 0);
	assert_int_equal(load_of(&talk).established, 1);
	assert_int_equal(load_of(&talk).failed, 0);
}

static void not_promoted_without_syn_ack(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in;

	talk_open(&talk);
	for (uint32_t guess = 0; guess < 3; guess++) {
		in = client_segment(&talk, ACK, 0);
		in.acknowledgement = guess;
		talk_client_in_vain(&talk, &in);
	}
	in = backend_segment(&talk, ACK, 0); /* an ACK alone, a challenge say */
	talk_backend_in_vain(&talk, &in);
	in = client_segment(&talk, ACK, 0);
	talk_client_in_vain(&talk, &in);
}

/* A SYN-ACK that does not acknowledge this SYN is none. */
static void not_promoted_by_a_foreign_syn_ack(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment in;

	talk_open(&talk);
	in = backend_segment(&talk, SYN | ACK, 0);
	in.acknowledgement++;
	talk_backend_in_vain(&talk, &in);
	in.acknowledgement -= 2;
	talk_backend_in_vain(&talk, &in);
	in.flags = SYN;
	talk_backend_in_vain(&talk, &in);
	talk.backend_next++;
	in = client_segment(&talk, ACK, 0);
	talk_client_in_vain(&talk, &in);
	assert_flows(*state, 1, 0, 0);
}

static void promoted_by_data(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_open(&talk);
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK | PSH, 500); /* the ACK alone was lost before weir */
	assert_state(&talk, ESTABLISHED);
	assert_int_equal(talk_flow(&talk)->client_next, talk.client_next);
}

static void promoted_by_fin(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_open(&talk);
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK | FIN, 0);
	assert_state(&talk, ESTABLISHED);
	talk_backend(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

static void syn_again_keeps_backend(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);

	talk_open(&talk);
	for (int i = 0; i < 5; i++)
		talk_client_in_vain(&talk, &syn);
	assert_flows(*state, 1, 0, 0);
	assert_int_equal(load_of(&talk).total, 1);
	talk_backend(&talk, SYN | ACK, 0);
	talk_client_in_vain(&talk, &syn);
	talk.backend_next--;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
}

/* The client's next try from the same port: another sequence number, the same flow. */
static void syn_again_with_another_number(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn;

	talk_open(&talk);
	talk.client_next = 5000;
	syn = client_segment(&talk, SYN, 0);
	talk_client_in_vain(&talk, &syn);
	talk.client_next++;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
}

/* ECN set-up and data do not make a SYN something else. */
static void fast_open(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN | 0xc0 | PSH, 100), syn_ack;

	talk_open_with(&talk, &syn);
	talk.client_next += 101;
	talk_backend(&talk, SYN | ACK, 0);
	talk_backend(&talk, ACK | PSH, 300); /* the answer, before the client's ACK */
	syn_ack = backend_segment(&talk, SYN | ACK, 0);
	syn_ack.sequence -= 301;
	talk_backend_in_vain(&talk, &syn_ack);
	talk_client(&talk, ACK, 0); /* of both */
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

/* All of an answer, and its end, before the client has said anything more. */
static void fast_open_and_close(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 100);

	talk_open_with(&talk, &syn);
	talk.client_next += 101;
	talk_backend(&talk, SYN | ACK, 0);
	talk_backend(&talk, ACK | PSH | FIN, 300);
	talk_client(&talk, ACK | FIN, 0);
	assert_flows(*state, 0, 1, 0);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

/* The server took the SYN but not its data. */
static void fast_open_refused(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 100);

	talk_open_with(&talk, &syn);
	talk.client_next++;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 100);
	assert_flows(*state, 0, 1, 0);
}

/* RFC 5961: forwarded, so that the peer's challenge ACK finds out, but nothing changes. */
static void syn_on_established(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct weir_flow before, after;
	struct segment in;

	talk_establish(&talk);
	talk_client(&talk, ACK | PSH, 100);
	before = *talk_flow(&talk);
	for (int i = 0; i < 4; i++) {
		in = client_segment(&talk, i & 1 ? SYN | ACK : SYN, 0);
		in.sequence = i & 2 ? talk.client_next : 77;
		in.acknowledgement = 99;
		talk_client_in_vain(&talk, &in);
		in = backend_segment(&talk, i & 1 ? SYN | ACK : SYN, 0);
		in.sequence = i & 2 ? talk.backend_next : 77;
		in.acknowledgement = 99;
		talk_backend_in_vain(&talk, &in);
	}
	after = *talk_flow(&talk);
	after.last_seen = before.last_seen;
	assert_memory_equal(&before, &after, sizeof(before));
	assert_flows(*state, 0, 1, 0);
}

static void refused(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment reset;
	uint32_t id, first_backend;

	talk_open(&talk);
	id = flow_id(*state, talk_flow(&talk));
	reset = backend_segment(&talk, RST | ACK, 0);
	reset.sequence = 0;
	reset.acknowledgement--;
	talk_backend_in_vain(&talk, &reset); /* not about this SYN */
	reset.acknowledgement++;
	talk_backend_with(&talk, &reset);
	assert_flows(*state, 0, 0, 1);
	assert_int_equal(load_of(&talk).half_open, 0);
	assert_int_equal(load_of(&talk).failed, 1);
	first_backend = talk.backend_id;

	/* The client tries again from the same port: a new flow, the next backend. */
	talk.client_next = 123456;
	talk_open(&talk);
	assert_int_not_equal(flow_id(*state, talk_flow(&talk)), id);
	assert_int_not_equal(talk.backend_id, first_backend);
	assert_flows(*state, 1, 0, 0);
}

static void refused_after_syn_ack(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment reset;

	talk_open(&talk);
	talk_backend(&talk, SYN | ACK, 0);
	reset = backend_segment(&talk, RST, 0);
	reset.sequence--;
	talk_backend_in_vain(&talk, &reset);
	reset.sequence++;
	talk_backend_with(&talk, &reset);
	assert_flows(*state, 0, 0, 1);
	assert_int_equal(load_of(&talk).failed, 0);
}

/* Scanners and impatient clients end a handshake themselves: the backend has not failed. */
static void client_resets_handshake(void **state)
{
	struct talk early = talk_tcp(*state, CLIENT, 40000), late = talk_tcp(*state, CLIENT, 40001);
	struct segment reset;

	talk_open(&early);
	reset = client_segment(&early, RST, 0);
	reset.sequence++;
	talk_client_in_vain(&early, &reset);
	reset.sequence--;
	talk_client_with(&early, &reset);
	assert_flows(*state, 0, 0, 1);
	assert_int_equal(load_of(&early).failed, 0);

	talk_open(&late);
	talk_backend(&late, SYN | ACK, 0);
	reset = client_segment(&late, RST, 0);
	talk_client_with(&late, &reset);
	assert_flows(*state, 0, 0, 2);
	assert_int_equal(load_of(&late).failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(promoted_by_acknowledging_the_syn_ack),
		world_test(not_promoted_without_syn_ack),
		world_test(not_promoted_by_a_foreign_syn_ack),
		world_test(promoted_by_data),
		world_test(promoted_by_fin),
		world_test(syn_again_keeps_backend),
		world_test(syn_again_with_another_number),
		world_test(fast_open),
		world_test(fast_open_and_close),
		world_test(fast_open_refused),
		world_test(syn_on_established),
		world_test(refused),
		world_test(refused_after_syn_ack),
		world_test(client_resets_handshake),
	};

	return packet_tests(tests);
}
