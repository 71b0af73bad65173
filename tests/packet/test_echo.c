// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>

#include "tests/packet/harness.h"

/* Pings of service addresses that the host does not have: weir answers. The host answers its own. */

enum { ECHO_REPLY = 0, ECHO_REQUEST = 8 };

#define ROUTED IP4(203, 0, 113, 80) /* a service address that is only routed here */

static int routed_setup(void **state)
{
	int err = world_setup(state);

	world_service(*state, SERVICES_USED, ROUTED, 8000, PROTOCOL_TCP, 0);
	world_echo(*state, ROUTED);
	return err;
}

#define routed_test(function)                                                                      \
	cmocka_unit_test_setup_teardown(function, routed_setup, world_teardown)

static const uint8_t pattern[1000] = { 1, 2, 3, 0xff, 0x80, [999] = 7 };

static struct segment ping_to(uint32_t address)
{
	struct segment outer = udp_datagram(CLIENT, 0, address, 0, 0);

	outer.to = mac_of(WEIR);
	outer.from = mac_of(GATEWAY);
	return outer;
}

static struct frame request(const struct segment *ping, uint32_t id_sequence, size_t length)
{
	return icmp_message(ping, ECHO_REQUEST, 0, id_sequence, pattern, length);
}

static struct frame reply(const struct segment *ping, uint32_t id_sequence, size_t length)
{
	struct segment outer = *ping;
	struct frame frame;
	uint8_t *checksum;

	outer.to = ping->from;
	outer.from = ping->to;
	outer.source = ping->destination;
	outer.destination = ping->source;
	outer.ttl = 64;
	frame = icmp_message(&outer, ECHO_REPLY, 0, id_sequence, pattern, length);
	checksum = frame.bytes + frame_l4(&outer) + 2;
	if (frame_family() == WEIR_IPV4 && !get16(checksum))
		put16(checksum,
		      0xffff); /* means the same; 0 over nothing but zeros would not hold */
	return frame;
}

static void answered(struct world *world, const struct segment *ping, uint32_t id_sequence,
		     size_t length)
{
	struct frame in = request(ping, id_sequence, length);
	struct frame out = reply(ping, id_sequence, length);

	world_send(world, &in, WEIR_REASON_ECHO, XDP_TX, &out);
}

static void passes(struct world *world, const struct frame *in)
{
	world_send(world, in, WEIR_REASON_NOT_TCP_UDP, XDP_PASS, NULL);
}

static void each_length(void **state)
{
	struct segment ping = ping_to(ROUTED);

	for (size_t length = 0; length <= sizeof(pattern); length++)
		answered(*state, &ping, 0x12340001, length);
}

/* Every checksum that a ping can have: the peers' mistake was a missing carry in 7 of them. */
static void each_id(void **state)
{
	struct segment ping = ping_to(ROUTED);

	for (uint32_t id = 0; id <= 0xffff; id++)
		answered(*state, &ping, id << 16, 0);
}

static void odd_shapes(void **state)
{
	struct segment ping = ping_to(ROUTED);

	for (uint32_t ttl = 0; ttl <= 255; ttl++) {
		ping.ttl = (uint8_t)ttl; /* it has arrived: a TTL of 1 is enough */
		answered(*state, &ping, 5, 56);
	}
	ping.tos = 0xba;
	ping.fragment = 0;
	ping.id = 0xffff;
	ping.padding = 18;
	answered(*state, &ping, 6, 3);
	for (ping.options_length = 4; ping.options_length <= 40; ping.options_length += 4) {
		memset(ping.options, 1, sizeof(ping.options));
		answered(*state, &ping, 7, 56);
	}
	world_ingress(*state, "weir1");
	ping = ping_to(ROUTED);
	answered(*state, &ping, 8, 56);
}

/* A sum that was wrong stays wrong: whoever pinged must not take damaged data for good. */
static void wrong_stays_wrong(void **state)
{
	struct segment ping = ping_to(ROUTED);
	struct frame in = request(&ping, 9, 56), out = reply(&ping, 9, 56);
	size_t body = frame_l4(&ping) + 20;

	in.bytes[body] ^= 1;
	out.bytes[body] ^= 1;
	world_send(*state, &in, WEIR_REASON_ECHO, XDP_TX, &out);
}

static void others_pass(void **state)
{
	struct segment ping = ping_to(ROUTED);
	struct frame in;

	for (int type = 0; type <= 255; type++) {
		in = icmp_message(&ping, (uint8_t)type, 0, 1, pattern, 56);
		if (type != ECHO_REQUEST)
			passes(*state, &in);
	}
	in = icmp_message(&ping, ECHO_REQUEST, 1, 1, pattern, 56);
	passes(*state, &in);
	ping.fragment = 0x2000;
	in = request(&ping, 1, 56);
	passes(*state, &in);
	ping.fragment = 100;
	in = request(&ping, 1, 56);
	world_send(*state, &in,
		   frame_family() == WEIR_IPV6 ? WEIR_REASON_FRAGMENT : WEIR_REASON_NOT_TCP_UDP,
		   XDP_PASS, NULL);
	ping = ping_to(ROUTED);
	in = request(&ping, 1, 56);
	in.bytes[0] |= 1;
	passes(*state, &in);
	in = request(&ping, 1, 56);
	in.length--;
	passes(*state, &in);
	ping = ping_to(ROUTED + 1);
	in = request(&ping, 1, 56);
	passes(*state, &in);
	ping = ping_to(WEIR); /* a service's, and the host's own */
	in = request(&ping, 1, 56);
	passes(*state, &in);
}

/* The address comes to the host, and leaves it again. */
static void follows_the_flag(void **state)
{
	struct segment ping = ping_to(ROUTED);
	struct frame in = request(&ping, 1, 56);

	world_echo(*state, 0);
	passes(*state, &in);
	world_echo(*state, ROUTED);
	answered(*state, &ping, 1, 56);
}

static void strange_sources(void **state)
{
	static const uint32_t sources[] = { 0, IP4(127, 0, 0, 1), IP4(224, 0, 0, 1), 0xffffffff };
	struct segment ping = ping_to(ROUTED);
	struct frame in;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		ping.source = sources[i];
		in = request(&ping, 1, 56);
		world_send(*state, &in, WEIR_REASON_ECHO_SILENT, XDP_DROP, NULL);
	}
}

static void rate(void **state)
{
	struct world *world = *state;
	struct segment ping = ping_to(ROUTED);
	struct frame in = request(&ping, 1, 56);

	world->tables->runtime->icmp_rate = 5;
	for (int i = 0; i < 20; i++)
		world_run_quickly(world, &in);
	world_read_counters(world);
	assert_in_range(world->counters.reasons[WEIR_REASON_ECHO], 5, 6);
	assert_int_equal(world->counters.reasons[WEIR_REASON_ECHO] +
				 world->counters.reasons[WEIR_REASON_ECHO_SILENT],
			 20);
	world->tables->runtime->icmp_rate = 0;
	world_send(world, &in, WEIR_REASON_ECHO_SILENT, XDP_DROP, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		routed_test(each_length),     routed_test(each_id),
		routed_test(odd_shapes),      routed_test(wrong_stays_wrong),
		routed_test(others_pass),     routed_test(follows_the_flag),
		routed_test(strange_sources), routed_test(rate),
	};

	return packet_tests(tests);
}
