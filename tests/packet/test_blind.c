// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

/*
 * Somebody who knows the addresses and ports of a connection, but not its sequence numbers (RFC 5961).
 * Whatever he sends is forwarded, for the two ends to judge; the flow must outlive it.
 */

#define STEPS 4096 /* through all sequence numbers: 1 MiB each */
#define STEP (UINT32_MAX / STEPS + 1)

typedef void (*guess_fn)(struct talk *talk, uint32_t offset, bool by_backend);

static void send_guess(struct talk *talk, uint8_t flags, uint32_t offset, bool by_backend,
		       size_t payload)
{
	struct segment segment = by_backend ? backend_segment(talk, flags, payload) :
					      client_segment(talk, flags, payload);
	struct frame frame;

	segment.sequence += offset;
	segment.acknowledgement += flags & ACK ? offset * 3 : 0;
	frame = frame_of(&segment);
	assert_int_equal(world_run_quickly(talk->world, &frame), XDP_TX);
}

static void established(const struct talk *talk)
{
	assert_state(talk, ESTABLISHED);
	assert_flows(talk->world, 0, 1, 0);
}

/* Guesses through all the space, then ever closer to the true number, down to a distance of @nearest. */
static void guess_all(struct world *world, guess_fn guess, uint32_t nearest)
{
	for (int by_backend = 0; by_backend < 2; by_backend++) {
		struct talk talk = talk_tcp(world, CLIENT, (uint16_t)(40000 + by_backend));
		struct weir_sweep all = { .first = world->first_record, .count = world->records };

		talk_establish(&talk);
		for (uint32_t i = 1; i < STEPS; i++)
			guess(&talk, i * STEP, by_backend);
		established(&talk);
		for (uint32_t distance = 1u << 31; distance >= nearest; distance /= 2) {
			guess(&talk, distance, by_backend);
			guess(&talk, -distance, by_backend);
		}
		established(&talk);

		/* The two ends have not noticed. */
		for (int i = 0; i < 5; i++) {
			talk_client(&talk, ACK | PSH, 1000);
			talk_backend(&talk, ACK | PSH, 1000);
		}
		talk_client(&talk, ACK, 0);
		talk_backend(&talk, ACK, 0);
		established(&talk);
		talk_client(&talk, RST, 0);
		assert_state(&talk, CLOSING);
		flow_age(world, talk_flow(&talk), jiffies_of_ms(world, 4000000));
		assert_int_equal(datapath_sweep(world->datapath, &all), 0);
		assert_flows(world, 0, 0, 0);
	}
}

static void guess_reset(struct talk *talk, uint32_t offset, bool by_backend)
{
	send_guess(talk, RST, offset, by_backend, 0);
	send_guess(talk, RST | ACK, offset, by_backend, 0);
}

static void guess_fin(struct talk *talk, uint32_t offset, bool by_backend)
{
	send_guess(talk, FIN | ACK, offset, by_backend, 0);
	send_guess(talk, FIN, offset, by_backend, 7);
}

static void guess_syn(struct talk *talk, uint32_t offset, bool by_backend)
{
	send_guess(talk, SYN, offset, by_backend, 0);
	send_guess(talk, SYN | ACK, offset, by_backend, 0);
}

static void guess_data(struct talk *talk, uint32_t offset, bool by_backend)
{
	send_guess(talk, ACK | PSH, offset, by_backend, 100);
	send_guess(talk, 0, offset, by_backend, 1460);
}

/* Data that moves the window, and a RST right behind it; a SYN would cut what that has closed. */
static void guess_data_and_reset(struct talk *talk, uint32_t offset, bool by_backend)
{
	if (by_backend)
		return; /* nobody sends in a backend's name */
	send_guess(talk, ACK | PSH, offset, by_backend, 100);
	send_guess(talk, RST, offset + 100, by_backend, 0);
	send_guess(talk, SYN, offset, by_backend, 0);
}

static void guess_fin_and_reset(struct talk *talk, uint32_t offset, bool by_backend)
{
	send_guess(talk, FIN | ACK, offset, by_backend, 0);
	send_guess(talk, RST, offset + 1, by_backend, 0);
	send_guess(talk, SYN, offset, by_backend, 0);
}

static void blind_reset(void **state)
{
	guess_all(*state, guess_reset, 1);
}

static void blind_fin(void **state)
{
	guess_all(*state, guess_fin, 1);
}

static void blind_syn(void **state)
{
	guess_all(*state, guess_syn, 1);
}

static void blind_data(void **state)
{
	guess_all(*state, guess_data, 1);
}

static void blind_data_and_reset(void **state)
{
	guess_all(*state, guess_data_and_reset, 1 << 17);
}

static void blind_fin_and_reset(void **state)
{
	guess_all(*state, guess_fin_and_reset, 1 << 17);
}

/* Every number near the true one: only the true one cuts. */
static void one_number_counts(void **state)
{
	struct world *world = *state;

	for (int by_backend = 0; by_backend < 2; by_backend++) {
		struct talk talk = talk_tcp(world, CLIENT, (uint16_t)(40000 + by_backend));

		talk_establish(&talk);
		for (uint32_t off = 1; off < 20000; off++) {
			send_guess(&talk, RST, off, by_backend, 0);
			send_guess(&talk, RST, -off, by_backend, 0);
		}
		assert_state(&talk, ESTABLISHED);
		send_guess(&talk, RST, 0, by_backend, 0);
		assert_state(&talk, CLOSING);
	}
	assert_flows(world, 0, 0, 2);
}

/* A reset behind 100,000 unacknowledged bytes: a backend's counts, a client's could be a guess. */
static void reset_with_much_under_way(void **state)
{
	struct talk download = talk_tcp(*state, CLIENT, 40000);
	struct talk upload = talk_tcp(*state, CLIENT, 40001);

	talk_establish(&download);
	talk_establish(&upload);
	for (int i = 0; i < 100; i++) {
		talk_backend(&download, ACK, 1000);
		talk_client(&upload, ACK, 1000);
	}
	talk_backend(&download, RST, 0);
	assert_state(&download, CLOSING);
	talk_client(&upload, RST, 0);
	assert_state(&upload, ESTABLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(blind_reset),
		world_test(blind_fin),
		world_test(blind_syn),
		world_test(blind_data),
		world_test(blind_data_and_reset),
		world_test(blind_fin_and_reset),
		world_test(one_number_counts),
		world_test(reset_with_much_under_way),
	};

	return packet_tests(tests);
}
