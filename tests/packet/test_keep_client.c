// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/talk.h"

/* snat: off. Backends see the client's own address and port, and route their replies through weir. */

enum { FIRST = 30, SECOND, DATAGRAMS, TRANSLATED };

static uint32_t service(struct world *world, uint32_t id, uint16_t port, uint8_t protocol,
			uint8_t flags)
{
	uint32_t backend;

	world_service(world, id, WEIR, port, protocol, flags);
	backend = world_backend(world, id, BACKEND_1, 80);
	world_slots(world, id, WEIR_SCHEDULER_RR, &(struct slot_candidate){ backend, 1, 0 }, 1);
	return backend;
}

/* Nothing that SNAT needs is there. */
static void without_snat(struct world *world)
{
	service(world, FIRST, 7000, PROTOCOL_TCP, WEIR_SERVICE_KEEP_CLIENT);
	service(world, SECOND, 7001, PROTOCOL_TCP, WEIR_SERVICE_KEEP_CLIENT);
	service(world, DATAGRAMS, 7002, PROTOCOL_UDP, WEIR_SERVICE_KEEP_CLIENT);
	for (uint32_t id = 1; id < world->backends; id++)
		world->tables->backends[id].snat = (union weir_range){ 0 };
	memset(&world->tables->snat_ports[0], 0, sizeof(world->tables->snat_ports[0]));
}

static struct talk talk_to(struct world *world, uint32_t client, uint16_t port,
			   uint16_t service_port)
{
	struct talk talk = talk_tcp(world, client, port);

	talk.service_port = service_port;
	return talk;
}

static void kept(const struct talk *talk)
{
	assert_int_equal(talk->snat, talk->client);
	assert_int_equal(talk->snat_port, talk->client_port);
}

static void tcp_from_anywhere(void **state)
{
	const uint32_t clients[] = { CLIENT, NEIGHBOUR };
	const uint16_t ports[] = { 1, 22, 1023, 1024, 40000, 65535 };
	struct world *world = *state;

	without_snat(world);
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < sizeof(ports) / sizeof(ports[0]); j++) {
			struct talk talk = talk_to(world, clients[i], ports[j], 7000);

			talk_establish(&talk);
			kept(&talk);
			talk_client(&talk, ACK | PSH, 1460);
			talk_backend(&talk, ACK | PSH, 1001);
			talk_client(&talk, ACK | PSH, 1);
			talk_backend(&talk, ACK, 0);
		}
	}
	assert_flows(world, 0, 12, 0);
	assert_int_equal(world->counters.snat_probes, 0);
}

static void udp_too(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 5353);
	struct segment segment;

	without_snat(*state);
	talk.service_port = 7002;
	talk_open(&talk);
	kept(&talk);
	for (size_t length = 0; length < 20; length++) {
		talk_backend(&talk, 0, length);
		talk_client(&talk, 0, length);
	}
	segment = client_segment(&talk, 0, 33);
	segment.no_checksum = true;
	talk_client_with(&talk, &segment);
	segment = backend_segment(&talk, 0, 33);
	segment.no_checksum = true;
	talk_backend_with(&talk, &segment);
	assert_flows(*state, 1, 0, 0);
}

/*
 * Two services share a backend, and a client uses one port for both: the backend could not tell the
 * two connections apart, so there is only one.
 */
static void one_client_two_services(void **state)
{
	struct world *world = *state;
	struct talk first = talk_to(world, CLIENT, 40000, 7000);
	struct talk second = talk_to(world, CLIENT, 40000, 7001);
	struct talk other = talk_to(world, CLIENT, 40001, 7001);
	struct segment syn = client_segment(&second, SYN, 0);
	struct frame frame = frame_of(&syn);

	without_snat(world);
	talk_establish(&first);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
	talk_establish(&other);
	talk_backend(&first, ACK | PSH, 700);
	talk_client(&first, ACK | PSH, 70);
	talk_backend(&other, ACK | PSH, 701);
	assert_flows(world, 0, 2, 0);

	/* The first is over: now the second gets what it wants. */
	talk_client(&first, RST, 0);
	flow_age(world, talk_flow(&first), jiffies_of_ms(world, 4000000));
	assert_int_equal(
		datapath_sweep(world->datapath, &(struct weir_sweep){ .first = world->first_record,
								      .count = world->records }),
		0);
	talk_establish(&second);
	kept(&second);
	talk_backend(&second, ACK | PSH, 90);
	assert_flows(world, 0, 2, 0);
}

/* A translated client that has the very address and port of a kept one: it gets another port. */
static void beside_a_translated_service(void **state)
{
	struct world *world = *state;
	struct talk own = talk_to(world, CLIENT, 20000, 7000);
	struct talk translated = talk_to(world, CLIENT, 20000, 7003);

	service(world, FIRST, 7000, PROTOCOL_TCP, WEIR_SERVICE_KEEP_CLIENT);
	service(world, TRANSLATED, 7003, PROTOCOL_TCP, 0);
	talk_establish(&own);
	talk_establish(&translated);
	kept(&own);
	assert_int_equal(translated.snat, WEIR);
	talk_backend(&own, ACK | PSH, 11);
	talk_backend(&translated, ACK | PSH, 12);
	talk_client(&translated, ACK | PSH, 13);
	talk_client(&own, ACK | PSH, 14);
	assert_flows(world, 0, 2, 0);
}

/* What others send to the client from the same backend is none of weir's business. */
static void other_replies_are_passed(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_to(world, CLIENT, 40000, 7000);
	struct segment segment;
	struct frame frame;

	without_snat(world);
	talk_establish(&talk);
	for (int i = 0; i < 3; i++) {
		segment = backend_segment(&talk, ACK | PSH, 20);
		if (i == 0)
			segment.source_port++;
		if (i == 1)
			segment.destination_port++;
		if (i == 2)
			segment.source++;
		frame = frame_of(&segment);
		world_send(world, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
	}
	assert_flows(world, 0, 1, 0);
}

/* Opened and closed over and over by the same client: nothing rests, nothing is left. */
static void again_and_again(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_to(world, CLIENT, 40000, 7000);

	without_snat(world);
	world->tables->runtime->time_wait = 60 * world->tables->runtime->hz;
	for (int i = 0; i < 40; i++) {
		talk_establish(&talk);
		kept(&talk);
		if (i % 2) {
			talk_client(&talk, ACK | FIN, 0);
			talk_backend(&talk, ACK | FIN, 0);
			talk_client(&talk, ACK, 0);
		} else {
			talk_backend(&talk, ACK | FIN, 0);
			talk_client(&talk, ACK | FIN, 0);
			talk_backend(&talk, ACK, 0);
		}
		assert_flows(world, 0, 0, 1);
		assert_int_equal(world->tables->loads[talk.backend_id].snat_ports, 1);
		talk.client_next += 12345;
		talk.backend_next -= 12345;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(tcp_from_anywhere),        world_test(udp_too),
		world_test(one_client_two_services),  world_test(beside_a_translated_service),
		world_test(other_replies_are_passed), world_test(again_and_again),
	};

	return packet_tests(tests);
}
