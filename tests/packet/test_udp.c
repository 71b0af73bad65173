// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

/* UDP: a client is real if it sends again after a reply, and more than a second after its first. */

static void make_older(struct talk *talk, uint32_t ms)
{
	flow_age(talk->world, talk_flow(talk), jiffies_of_ms(talk->world, ms));
}

static void promoted_after_reply_and_a_second(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);

	talk_open(&talk);
	talk_backend(&talk, 0, 10);
	talk_client(&talk, 0, 10); /* at once: a query and its retry prove nothing */
	assert_flows(*state, 1, 0, 0);
	make_older(&talk, 900);
	talk_client(&talk, 0, 10);
	assert_flows(*state, 1, 0, 0);
	make_older(&talk, 300);
	talk_backend(&talk, 0, 10); /* the backend alone proves nothing */
	assert_flows(*state, 1, 0, 0);
	talk_client(&talk, 0, 10);
	assert_flows(*state, 0, 1, 0);
	assert_int_equal(talk.world->tables->shared->udp_established[frame_family()], 1);
}

static void not_promoted_without_reply(void **state)
{
	struct talk talk = talk_udp(*state, CLIENT, 40000);

	talk_open(&talk);
	make_older(&talk, 5000);
	talk_client(&talk, 0, 10);
	talk_client(&talk, 0, 10);
	assert_flows(*state, 1, 0, 0);
	talk_backend(&talk, 0, 10);
	assert_flows(*state, 1, 0, 0);
	talk_client(&talk, 0, 10);
	assert_flows(*state, 0, 1, 0);
}

static struct talk promoted(struct world *world, uint16_t port)
{
	struct talk talk = talk_udp(world, CLIENT, port);

	talk_open(&talk);
	talk_backend(&talk, 0, 10);
	make_older(&talk, 2000);
	talk_client(&talk, 0, 10);
	return talk;
}

static void share_of_udp(void **state)
{
	struct world *world = *state;
	struct talk talks[4], tcp = talk_tcp(world, CLIENT, 40000);

	world->tables->runtime->udp_limit[frame_family()] = 3;
	for (uint16_t i = 0; i < 4; i++)
		talks[i] = promoted(world, (uint16_t)(40000 + i));
	assert_flows(world, 1, 3, 0);
	assert_state(&talks[3], HALF_OPEN);
	talk_backend(&talks[3], 0, 10); /* it works all the same */
	talk_client(&talks[3], 0, 10);
	talk_establish(&tcp);
	assert_flows(world, 1, 4, 0);
}

/* A datagram on an established flow changes nothing but its age, from either side. */
static void established_stays(void **state)
{
	struct talk talk = promoted(*state, 40000);

	for (int i = 0; i < 10; i++) {
		struct segment forth = client_segment(&talk, 0, (size_t)i);
		struct segment back = backend_segment(&talk, 0, (size_t)i);

		talk_client_in_vain(&talk, &forth);
		talk_backend_in_vain(&talk, &back);
	}
	assert_flows(*state, 0, 1, 0);
}

/* The same ports as a TCP flow of the same client: two flows that have nothing to do with another. */
static void beside_tcp(void **state)
{
	struct world *world = *state;
	struct talk tcp, udp;

	world_service(world, 20, WEIR, 8000, PROTOCOL_UDP, 0);
	world_slots(world, 20, WEIR_SCHEDULER_RR,
		    &(struct slot_candidate){ world_backend(world, 20, BACKEND_1, 8000), 1, 0 }, 1);
	tcp = talk_tcp(world, CLIENT, 20000);
	udp = talk_udp(world, CLIENT, 20000);
	udp.service_port = 8000;
	talk_establish(&tcp);
	talk_open(&udp);
	assert_int_equal(tcp.snat_port, udp.snat_port);
	talk_backend(&udp, 0, 100);
	talk_backend(&tcp, ACK, 100);
	assert_flows(world, 1, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(promoted_after_reply_and_a_second),
		world_test(not_promoted_without_reply),
		world_test(share_of_udp),
		world_test(established_stays),
		world_test(beside_tcp),
	};

	return packet_tests(tests);
}
