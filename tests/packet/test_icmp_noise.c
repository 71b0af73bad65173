// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/talk.h"

/*
 * Mutated and random ICMP frames. What quotes a packet of a flow is forwarded, in its full length; all
 * else passes, not one byte changed. Who is who is found out by code that shares nothing with weir.
 */

#define FRAMES 100000
#define FLOWS_USED 4

struct random {
	uint64_t state;
};

/* xorshift64* */
static uint32_t draw(struct random *random, uint32_t below)
{
	random->state ^= random->state >> 12;
	random->state ^= random->state << 25;
	random->state ^= random->state >> 27;
	return (uint32_t)((random->state * 0x2545f4914f6cdd1dULL) >> 32) % below;
}

/* Was the packet at @quoted sent by weir to that side of @talk? */
static bool quotes(const struct talk *talk, bool client_side, const uint8_t *quoted,
		   const uint8_t *ports)
{
	uint32_t source = client_side ? talk->service : talk->snat;
	uint32_t destination = client_side ? talk->client : talk->backend;
	uint16_t source_port = client_side ? talk->service_port : talk->snat_port;
	uint16_t destination_port = client_side ? talk->client_port : talk->backend_port;

	return quoted[9] == talk->protocol && get32(quoted + 12) == source &&
	       get32(quoted + 16) == destination && get16(ports) == source_port &&
	       get16(ports + 2) == destination_port;
}

/* Must the frame be forwarded? */
static bool is_about(const struct talk *talks, const struct frame *frame)
{
	const uint8_t *ip = frame->bytes + 14, *icmp, *quoted, *ports;
	size_t header, total, about;

	if (frame->length < 14 + 20 || get16(frame->bytes + 12) != 0x0800 ||
	    (frame->bytes[0] | frame->bytes[6]) & 1)
		return false;
	header = (size_t)(ip[0] & 15) * 4;
	total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || header < 20 || total > frame->length - 14 ||
	    ip[9] != PROTOCOL_ICMP || total < header + 8 + 20 || (get16(ip + 6) & 0x3fff))
		return false;
	icmp = ip + header;
	quoted = icmp + 8;
	about = (size_t)(quoted[0] & 15) * 4;
	ports = quoted + about;
	if ((icmp[0] != 3 && icmp[0] != 11 && icmp[0] != 12) || quoted[0] >> 4 != 4 || about < 20 ||
	    total < header + 8 + about + 8 || (get16(quoted + 6) & 0x1fff) ||
	    get32(ip + 16) != get32(quoted + 12))
		return false;
	for (int i = 0; i < FLOWS_USED; i++)
		if (quotes(&talks[i], true, quoted, ports) ||
		    quotes(&talks[i], false, quoted, ports))
			return true;
	return false;
}

static struct frame sample(struct random *random, const struct talk *talks)
{
	const struct talk *talk = &talks[draw(random, FLOWS_USED)];
	bool client_side = draw(random, 2);
	struct segment about = client_side ? backend_segment(talk, ACK, draw(random, 200)) :
					     client_segment(talk, ACK, draw(random, 200));
	struct segment outer = udp_datagram(IP4(10, 9, 8, 7), 0,
					    client_side ? talk->service : talk->snat, 0, 0);
	static const uint8_t types[] = { 3, 11, 12, 8, 0, 5 };
	struct segment sent;
	struct frame quoted;

	about.options_length = draw(random, 4) ? 0 : 4 * draw(random, 11);
	outer.options_length = draw(random, 4) ? 0 : 4 * draw(random, 11);
	outer.fragment = 0;
	sent = client_side ? to_client(talk, &about) : to_backend(talk, &about);
	quoted = frame_of(&sent);
	return icmp_message(&outer, types[draw(random, 6)], (uint8_t)draw(random, 5),
			    draw(random, 1500), quoted.bytes + 14,
			    20 + draw(random, (uint32_t)quoted.length - 33));
}

static void mutate(struct random *random, struct frame *frame)
{
	uint32_t count = draw(random, 4);

	if (!draw(random, 50))
		for (size_t i = 14; i < frame->length; i++)
			frame->bytes[i] = (uint8_t)draw(random, 256);
	for (; count; count--)
		frame->bytes[draw(random, (uint32_t)frame->length)] = (uint8_t)draw(random, 256);
	for (count = draw(random, 3); count; count--)
		frame->bytes[draw(random, (uint32_t)frame->length)] ^= (uint8_t)(1 << draw(random,
											   8));
	if (frame->bytes[23] == PROTOCOL_TCP || frame->bytes[23] == PROTOCOL_UDP)
		frame->bytes[23] = PROTOCOL_ICMP;
	if (!draw(random, 8))
		frame->length = 14 + draw(random, (uint32_t)frame->length - 13);
}

static void noise(void **state)
{
	struct world *world = *state;
	struct talk talks[FLOWS_USED] = {
		talk_tcp(world, CLIENT, 40000),
		talk_tcp(world, NEIGHBOUR, 40000),
		talk_udp(world, CLIENT, 40000),
		talk_udp(world, NEIGHBOUR, 40001),
	};
	struct random random = { 0x9e3779b97f4a7c15ULL };
	int forwarded = 0;

	for (int i = 0; i < FLOWS_USED; i++)
		talk_open(&talks[i]);
	for (int i = 0; i < FRAMES; i++) {
		struct frame frame = sample(&random, talks), out;
		uint32_t verdict;
		bool about;

		mutate(&random, &frame);
		about = is_about(talks, &frame);
		verdict = world_run_frame(world, &frame, &out);
		if (about && frame.bytes[22] <= 1)
			assert_int_equal(verdict, XDP_DROP);
		else
			assert_int_equal(verdict, about ? XDP_TX : XDP_PASS);
		assert_int_equal(out.length, frame.length);
		if (verdict != XDP_TX)
			assert_memory_equal(out.bytes, frame.bytes, frame.length);
		forwarded += verdict == XDP_TX;
	}
	assert_in_range(forwarded, FRAMES / 20, FRAMES / 2);
	world_read_counters(world);
	assert_int_equal(world->counters.reasons[WEIR_REASON_ICMP_ERROR], forwarded);
	for (int i = 0; i < FLOWS_USED; i++)
		assert_state(&talks[i], HALF_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(noise),
	};

	return packet_tests(tests);
}
