// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>

#include "tests/packet/talk.h"

#define PAIRS 1000
#define SECOND_ADDRESS IP4(192, 168, 178, 110)

/* A service with one backend, on port 7000. */
static struct talk alone(struct world *world, uint32_t client, uint16_t port)
{
	struct talk talk = talk_tcp(world, client, port);

	if (!service_of(world, 30)->slots.length) {
		uint32_t backend;

		world_service(world, 30, WEIR, 7000, PROTOCOL_TCP, 0);
		backend = world_backend(world, 30, BACKEND_1, 80);
		world_slots(world, 30, WEIR_SCHEDULER_RR, &(struct slot_candidate){ backend, 1, 0 },
			    1);
	}
	talk.service_port = 7000;
	return talk;
}

static void own_port_is_kept(void **state)
{
	struct talk talk = alone(*state, CLIENT, 20000), outside = alone(*state, CLIENT, 40000);
	struct talk privileged = alone(*state, CLIENT, 1023), first = alone(*state, CLIENT, 1024);
	struct talk last = alone(*state, CLIENT, 32767), zero = alone(*state, CLIENT, 0);

	talk_open(&talk);
	assert_int_equal(talk.snat_port, 20000);
	talk_open(&outside);
	assert_in_range(outside.snat_port, 1024, 32767);
	talk_open(&privileged);
	assert_in_range(privileged.snat_port, 1024, 32767);
	talk_open(&last);
	assert_int_equal(last.snat_port, 32767);
	talk_open(&zero);
	assert_in_range(zero.snat_port, 1024, 32767);
	assert_true(first.client_port == 1024);
}

/* Two clients with one source port on one backend; each gets its own replies. */
static void same_port_twice(void **state)
{
	struct talk one = alone(*state, CLIENT, 20000), two = alone(*state, CLIENT + 1, 20000);

	talk_establish(&one);
	talk_establish(&two);
	assert_int_equal(one.snat_port, 20000);
	assert_int_not_equal(two.snat_port, 20000);
	talk_backend(&one, ACK | PSH, 100);
	talk_backend(&two, ACK | PSH, 200);
	talk_client(&two, ACK | PSH, 200);
	talk_client(&one, ACK | PSH, 100);
	assert_flows(*state, 0, 2, 0);
}

static void a_thousand_pairs(void **state)
{
	struct world *world = world_open(2 * PAIRS, 64);
	struct talk *talks = calloc(2 * PAIRS, sizeof(*talks));

	assert_non_null(talks);
	for (uint32_t i = 0; i < 2 * PAIRS; i++) {
		talks[i] = alone(world, IP4(10, 0, 4, 0) + i % 2, (uint16_t)(10000 + i / 2));
		talk_establish(&talks[i]);
	}
	for (uint32_t i = 0; i < PAIRS; i++) {
		assert_int_equal(talks[2 * i].backend_id, talks[2 * i + 1].backend_id);
		assert_int_not_equal(talks[2 * i].snat_port, talks[2 * i + 1].snat_port);
	}
	for (uint32_t i = 2 * PAIRS; i-- > 0;) {
		talk_backend(&talks[i], ACK | PSH, i % 50);
		talk_client(&talks[i], ACK | PSH, i % 51);
	}
	assert_flows(world, 0, 2 * PAIRS, 0);
	free(talks);
	world_close(world);
}

/* The port in rotation is the one that has been unused for longest, not the one just given back. */
static void ports_rotate(void **state)
{
	struct world *world = *state;
	uint8_t seen[20] = { 0 };

	world_snat_ports(world, 2000, 2019);
	for (int i = 0; i < 60; i++) {
		struct talk talk = alone(world, CLIENT, 40000);
		struct segment reset;

		talk_open(&talk);
		reset = backend_segment(&talk, RST | ACK, 0);
		talk_backend_with(&talk, &reset); /* the next SYN gives the port back */
		assert_int_equal(seen[talk.snat_port - 2000], i / 20);
		seen[talk.snat_port - 2000]++;
	}
}

static void pool_of_two_addresses(void **state)
{
	const uint32_t addresses[] = { WEIR, SECOND_ADDRESS };
	struct world *world = *state;
	struct talk talks[40];
	int second = 0;

	world_snat_ports(world, 2000, 2019);
	talks[0] = alone(world, CLIENT, 40000);
	world_snat_addresses(world, addresses, 2);
	for (uint16_t i = 0; i < 40; i++) {
		talks[i] = alone(world, CLIENT, (uint16_t)(40000 + i));
		talk_open(&talks[i]);
		second += talks[i].snat == SECOND_ADDRESS;
		for (uint16_t j = 0; j < i; j++)
			assert_false(talks[i].snat == talks[j].snat &&
				     talks[i].snat_port == talks[j].snat_port);
	}
	assert_int_equal(second, 20);
	for (uint16_t i = 0; i < 40; i++)
		talk_backend(&talks[i], SYN | ACK, 0);
}

/* Few ports: the last one free is found, wherever it is and whatever the rotation says. */
static void the_last_free_port_is_found(void **state)
{
	struct world *world = world_open(256, 256);
	struct talk talks[100], last;
	struct segment reset;

	world_snat_ports(world, 2000, 2099);
	for (uint16_t i = 0; i < 100; i++) {
		talks[i] = alone(world, CLIENT, (uint16_t)(40000 + i));
		talk_open(&talks[i]);
	}
	for (uint16_t i = 0; i < 100; i += 7) {
		/* This client comes again under another port: only its old port can be had. */
		reset = backend_segment(&talks[i], RST | ACK, 0);
		talk_backend_with(&talks[i], &reset);
		last = talks[i];
		last.client_next += 7;
		last.client = CLIENT;
		talk_open(&last);
		assert_int_equal(last.snat_port, talks[i].snat_port);
	}
	assert_flows(world, 100, 0, 0);
	world_close(world);
}

/* With 90 of 100 ports in use, a port is found nearly always within the bounds of the search. */
static void nearly_full(void **state)
{
	struct world *world = world_open(4096, 4096);
	struct talk talk;
	uint64_t probes;

	world_snat_ports(world, 2000, 4999);
	for (uint32_t i = 0; i < 2700; i++) {
		talk = alone(world, CLIENT + i / 1000, (uint16_t)(40000 + i % 1000));
		talk_open(&talk);
	}
	world_read_counters(world);
	probes = world->counters.snat_probes;
	world->tables->loads[talk.backend_id].cursor = 0; /* the rotation is of no help */
	for (uint32_t i = 0; i < 200; i++) {
		struct segment reset;

		talk = alone(world, CLIENT + 20, 40000);
		talk.client_next += i * 1000;
		talk_open(&talk);
		reset = backend_segment(&talk, RST | ACK, 0);
		talk_backend_with(&talk, &reset);
	}
	world_read_counters(world);
	probes = world->counters.snat_probes - probes;
	assert_in_range(probes, 200 * 5, 200 * 20); /* 10 on average */
	world_close(world);
}

/* Flows keep their source when the table of allowed ports is switched over. */
static void other_port_table(void **state)
{
	struct world *world = *state;
	struct weir_snat_ports *next = &world->tables->snat_ports[1];
	struct talk old = alone(world, CLIENT, 20000), new = alone(world, CLIENT, 20001);

	talk_establish(&old);
	memset(next, 0, sizeof(*next));
	next->port[next->count++] = 555;
	next->allowed[555 / 64] = 1ULL << (555 % 64);
	world->tables->runtime->snat_table = 1;
	talk_establish(&new);
	assert_int_equal(new.snat_port, 555);
	talk_backend(&old, ACK | PSH, 9);
	talk_client(&old, ACK, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(own_port_is_kept),       world_test(same_port_twice),
		cmocka_unit_test(a_thousand_pairs), world_test(ports_rotate),
		world_test(pool_of_two_addresses),  cmocka_unit_test(the_last_free_port_is_found),
		cmocka_unit_test(nearly_full),      world_test(other_port_table),
	};

	return packet_tests(tests);
}
