// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

static void one_fin_is_half_a_close(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK, 0);
	for (int i = 0; i < 50; i++) { /* the download goes on */
		talk_backend(&talk, ACK | PSH, 1460);
		talk_client(&talk, ACK, 0);
	}
	assert_flows(*state, 0, 1, 0);
	talk_backend(&talk, ACK | FIN, 100);
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
	assert_int_equal(talk.world->tables->loads[talk.backend_id].failed, 0);
}

static void backend_closes_first(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	talk_backend(&talk, ACK | FIN | PSH, 700);
	talk_client(&talk, ACK, 0);
	talk_client(&talk, ACK | PSH, 30);
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK | FIN, 0);
	assert_flows(*state, 0, 1, 0);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

static void fin_acknowledged_by_fin(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);

	talk_establish(&talk);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK | FIN, 0);
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

static void simultaneous_close(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment fin;

	talk_establish(&talk);
	fin = backend_segment(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend_with(&talk, &fin); /* sent before the other's FIN came */
	talk.backend_next++;
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

static void fin_again(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment first, second;

	talk_establish(&talk);
	first = client_segment(&talk, ACK | FIN, 20);
	talk_client(&talk, ACK | FIN, 20);
	for (int i = 0; i < 3; i++)
		talk_client_in_vain(&talk, &first);
	second = backend_segment(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK | FIN, 0);
	talk_backend_in_vain(&talk, &second);
	talk_client_in_vain(&talk, &first); /* acknowledges less than the FIN */
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK, 0);
	talk_backend_in_vain(&talk, &second);
	talk_client_in_vain(&talk, &first);
	assert_flows(*state, 0, 0, 1);
}

/* Data that is sent again after the FIN, as after a loss, is no data beyond it. */
static void data_again_after_fin(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment data;

	talk_establish(&talk);
	data = client_segment(&talk, ACK | PSH, 500);
	talk_client(&talk, ACK | PSH, 500);
	talk_client(&talk, ACK | FIN, 0);
	talk_client_in_vain(&talk, &data);
	talk_backend(&talk, ACK, 0);
	talk_backend(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

/* The FIN overtakes the data before it. */
static void fin_out_of_order(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment data, fin;

	talk_establish(&talk);
	data = client_segment(&talk, ACK | PSH, 1460);
	talk.client_next += 1460;
	fin = client_segment(&talk, ACK | FIN, 10);
	talk.client_next += 11;
	talk_client_with(&talk, &fin);
	talk_client_with(&talk, &data);
	talk_backend(&talk, ACK | FIN, 0);
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

static void fin_out_of_sequence(void **state)
{
	const uint32_t off[] = { 100000, -2u, -5000u, 0x80000000, 0x7fffffff };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment fin;

	talk_establish(&talk);
	talk_client(&talk, ACK | PSH, 100);
	talk_backend(&talk, ACK | PSH, 100);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		fin = client_segment(&talk, ACK | FIN, 0);
		fin.sequence += off[i];
		talk_client_in_vain(&talk, &fin);
		fin = backend_segment(&talk, ACK | FIN, 0);
		fin.sequence += off[i];
		talk_backend_in_vain(&talk, &fin);
	}
	talk_client(&talk, ACK, 0);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
}

/* A FIN that somebody guessed: the data that follows shows that it was none. */
static void fin_that_was_a_lie(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment fin;

	talk_establish(&talk);
	fin = client_segment(&talk, ACK | FIN, 0);
	fin.sequence += 700;
	talk_client_with(&talk, &fin);
	talk_client(&talk, ACK | PSH, 1000);
	talk_backend(&talk, ACK, 0);
	talk_backend(&talk, ACK | FIN, 0);
	talk_client(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0); /* the client has not closed */
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 0, 1);
}

/* An acknowledgement of less, or of more, than the FIN. */
static void fin_not_acknowledged(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment ack;

	talk_establish(&talk);
	talk_client(&talk, ACK | FIN, 0);
	talk_backend(&talk, ACK | FIN, 0);
	for (int i = -1; i <= 1; i += 2) {
		ack = client_segment(&talk, ACK, 0);
		ack.acknowledgement += (uint32_t)i;
		talk_client_in_vain(&talk, &ack);
	}
	assert_flows(*state, 0, 1, 0);
}

static void reset_by_client(void **state)
{
	const uint32_t off[] = { 1, -1u, 5000, 0x80000000 };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment reset;

	talk_establish(&talk);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		reset = client_segment(&talk, RST, 0);
		reset.sequence += off[i];
		talk_client_in_vain(&talk, &reset);
	}
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, RST, 0);
	assert_flows(*state, 0, 0, 1);
	talk_backend(&talk, ACK | PSH, 100); /* was under way: still translated */
	talk_client(&talk, RST, 0);
	assert_flows(*state, 0, 0, 1);
}

static void reset_by_backend(void **state)
{
	const uint32_t off[] = { 1, -1u, 5000, 0x80000000 };
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment reset;

	talk_establish(&talk);
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		reset = backend_segment(&talk, RST | ACK, 0);
		reset.sequence += off[i];
		talk_backend_in_vain(&talk, &reset);
	}
	talk_backend(&talk, RST | ACK, 0);
	assert_flows(*state, 0, 0, 1);
	assert_int_equal(talk.world->tables->loads[talk.backend_id].failed, 0);
}

/* The sender's own number after data that nobody has acknowledged yet. */
static void reset_with_data_in_flight(void **state)
{
	struct talk client = talk_tcp(*state, CLIENT, 40000);
	struct talk backend = talk_tcp(*state, CLIENT, 40001);

	talk_establish(&client);
	talk_client(&client, ACK | PSH, 1460);
	talk_client(&client, ACK | PSH, 1460);
	talk_client(&client, RST | ACK, 0);
	talk_establish(&backend);
	talk_backend(&backend, ACK | PSH, 1460);
	talk_backend(&backend, RST | ACK, 0);
	assert_flows(*state, 0, 0, 2);
}

/* The number that the other side has acknowledged: the answer of a host that knows nothing. */
static void reset_in_answer_to_data(void **state)
{
	struct talk client = talk_tcp(*state, CLIENT, 40000);
	struct talk backend = talk_tcp(*state, CLIENT, 40001);
	struct segment reset;

	talk_establish(&client);
	talk_client(&client, ACK | PSH, 100);
	talk_backend(&client, ACK, 0);
	talk_client(&client, ACK | PSH, 100); /* never acknowledged */
	reset = client_segment(&client, RST, 0);
	reset.sequence -= 100;
	talk_client_with(&client, &reset);
	talk_establish(&backend);
	talk_backend(&backend, ACK | PSH, 100);
	talk_client(&backend, ACK, 0);
	talk_backend(&backend, ACK | PSH, 100);
	reset = backend_segment(&backend, RST, 0);
	reset.sequence -= 100;
	talk_backend_with(&backend, &reset);
	assert_flows(*state, 0, 0, 2);
}

/* More than that is not believed at once: the answer to the next acknowledgement tells. */
static void reset_with_much_in_flight(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment reset;

	talk_establish(&talk);
	for (int i = 0; i < 70; i++)
		talk_client(&talk, ACK | PSH, 1000);
	reset = client_segment(&talk, RST, 0);
	talk_client_in_vain(&talk, &reset);
	talk_backend(&talk, ACK, 0);
	talk_client_with(&talk, &reset);
	assert_flows(*state, 0, 0, 1);
}

/* Data guessed into the window, and a RST right behind it: neither side's view changes. */
static void reset_behind_guessed_data(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment data, reset;

	talk_establish(&talk);
	data = client_segment(&talk, ACK | PSH, 100);
	data.sequence += 1000000;
	talk_client_with(&talk, &data);
	reset = client_segment(&talk, RST, 0);
	reset.sequence += 1000100;
	talk_client_in_vain(&talk, &reset);
	talk_client(&talk, ACK | PSH, 500);
	talk_backend(&talk, ACK, 0);
	assert_flows(*state, 0, 1, 0);
	talk_client(&talk, RST, 0);
	assert_flows(*state, 0, 0, 1);
}

static void close_all(struct talk *talk)
{
	talk_client(talk, ACK | FIN, 0);
	talk_backend(talk, ACK | FIN, 0);
	talk_client(talk, ACK, 0);
}

/* A client that uses its port again at once. */
static void syn_on_closing(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct world *world = *state;
	uint32_t last_id = UINT32_MAX;

	for (int i = 0; i < 20; i++) {
		talk_establish(&talk);
		assert_flows(world, 0, 1, 0);
		assert_int_not_equal(flow_id(world, talk_flow(&talk)), last_id);
		last_id = flow_id(world, talk_flow(&talk));
		close_all(&talk);
		assert_flows(world, 0, 0, 1);
		talk.client_next += 100000;
		talk.backend_next = 0x55555555u * (uint32_t)i;
	}
	assert_int_equal(world->tables->shared->records[frame_family()],
			 20); /* the sweep has not run */
	assert_int_equal(world->tables->loads[1].total + world->tables->loads[2].total, 20);
}

/* Only a client opens flows: the backend's SYN on a closing flow is forwarded. */
static void syn_of_backend_on_closing(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn;

	talk_establish(&talk);
	close_all(&talk);
	syn = backend_segment(&talk, SYN, 0);
	talk_backend_in_vain(&talk, &syn);
	syn = client_segment(&talk, SYN | ACK, 0);
	talk_client_in_vain(&talk, &syn);
	assert_flows(*state, 0, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(one_fin_is_half_a_close),
		world_test(backend_closes_first),
		world_test(fin_acknowledged_by_fin),
		world_test(simultaneous_close),
		world_test(fin_again),
		world_test(data_again_after_fin),
		world_test(fin_out_of_order),
		world_test(fin_out_of_sequence),
		world_test(fin_that_was_a_lie),
		world_test(fin_not_acknowledged),
		world_test(reset_by_client),
		world_test(reset_by_backend),
		world_test(reset_with_data_in_flight),
		world_test(reset_in_answer_to_data),
		world_test(reset_with_much_in_flight),
		world_test(reset_behind_guessed_data),
		world_test(syn_on_closing),
		world_test(syn_of_backend_on_closing),
	};

	return packet_tests(tests);
}
