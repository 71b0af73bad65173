// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/packet/direct.h"
#include "tests/packet/right.h"
#include "tests/packet/talk.h"

/*
 * Random and mutated frames, a million of each family. What is not for weir passes, not one byte
 * changed; what is sent has right lengths and checksums, if it came in so or was made by weir.
 */

#define FRAMES 1000000
#define POOL 64
#define SEED 0x9e3779b97f4a7c15ULL
#define ROUTED IP4(203, 0, 113, 80)
enum { DSR = 30, DSR_PORT = 9001, CUT_LEAST = 14 };

struct noise {
	struct world *world;
	uint64_t random;
	bool splits; /* the kernel lets us choose the first piece of a frame */
	struct frame pool[POOL];
	size_t count;
	uint32_t verdicts[8], right, made;
};

/* xorshift64* */
static uint32_t draw(struct noise *noise, size_t below)
{
	noise->random ^= noise->random >> 12;
	noise->random ^= noise->random << 25;
	noise->random ^= noise->random >> 27;
	return (uint32_t)(((noise->random * 0x2545f4914f6cdd1dULL) >> 32) % below);
}

static void keep(struct noise *noise, const struct frame *frame)
{
	assert_true(noise->count < POOL);
	noise->pool[noise->count++] = *frame;
}

static void keep_segment(struct noise *noise, struct segment segment)
{
	struct frame frame;

	segment.tags = noise->count % 3;
	if (noise->count % 4 == 3) {
		segment.options_length = 12;
		memset(segment.options, 1, 12);
	}
	segment.padding = noise->count % 5;
	frame = frame_of(&segment);
	keep(noise, &frame);
}

/* Packets of flows in both directions, and of the errors about them. */
static void keep_flow(struct noise *noise, struct talk talk)
{
	struct segment back = backend_segment(&talk, ACK, 70), there, outer;
	struct frame quoted, error;

	keep_segment(noise, client_segment(&talk, ACK, 50));
	keep_segment(noise, client_segment(&talk, ACK | FIN, 1300));
	keep_segment(noise, back);
	back.fragment = FRAME_MORE_FRAGMENTS;
	keep_segment(noise, back);
	back.fragment = 11;
	keep_segment(noise, back);
	back.fragment = 0;
	there = to_client(&talk, &back);
	quoted = frame_of(&there);
	for (int type = 3; type <= 12; type += 1 + 7 * (type == 3)) {
		outer = udp_datagram(IP4(10, 9, 8, 7), 0, WEIR, 0, 0);
		outer.tags = noise->count % 3;
		error = icmp_message(&outer, (uint8_t)type, 0, 1300, quoted.bytes + ETHERNET_LENGTH,
				     quoted.length - ETHERNET_LENGTH - noise->count);
		keep(noise, &error);
	}
}

static void keep_services(struct noise *noise)
{
	static const uint16_t ports[] = { 8000, 8001, 8002, 53, 22, DIRECT_PORT, DSR_PORT };
	static const uint8_t flags[] = { SYN, ACK };

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		for (size_t j = 0; j < sizeof(flags); j++)
			keep_segment(noise, tcp_segment(CLIENT, (uint16_t)(41000 + i), WEIR,
							ports[i], flags[j]));
		keep_segment(noise, udp_datagram(NEIGHBOUR, (uint16_t)(42000 + i), WEIR, ports[i],
						 40 * i));
	}
	keep_segment(noise, udp_datagram(CLIENT, 43000, WEIR, DIRECT_PORT, 1440));
	keep_segment(noise, tcp_segment(CLIENT, 40000, BACKEND_1, 8000, SYN));
}

static void keep_pings(struct noise *noise)
{
	static const uint8_t body[64] = { 1, 2, 3 };
	struct segment ping = udp_datagram(CLIENT, 0, ROUTED, 0, 0);
	struct frame frame;

	for (ping.tags = 0; ping.tags < 3; ping.tags++) {
		frame = icmp_message(&ping, 8, 0, 7, body, 20 * ping.tags);
		keep(noise, &frame);
	}
}

static void put_right(struct noise *noise, struct frame *frame);

/* Bytes, bits, lengths, the end of the frame; then the checksums are often made right again. */
static void mutate(struct noise *noise, struct frame *frame)
{
	size_t headers = frame->length < 128 ? frame->length : 128;

	for (uint32_t i = draw(noise, 4); i; i--)
		frame->bytes[draw(noise, headers)] = (uint8_t)draw(noise, 256);
	for (uint32_t i = draw(noise, 3); i; i--)
		frame->bytes[draw(noise, headers)] ^= (uint8_t)(1 << draw(noise, 8));
	if (!draw(noise, 8))
		frame->length = CUT_LEAST + draw(noise, frame->length - CUT_LEAST + 1);
	if (!draw(noise, 16))
		frame->length += draw(noise, 200);
	if (!draw(noise, 64))
		for (size_t i = 12; i < frame->length; i++)
			frame->bytes[i] = (uint8_t)draw(noise, 256);
	if (draw(noise, 4))
		put_right(noise, frame);
}

/* The field at @field gets what makes the sum over the whole right; @extra: sum of a pseudo header. */
static void put_checksum(uint8_t *field, const uint8_t *bytes, size_t length, uint32_t extra)
{
	uint32_t sum;

	put16(field, 0);
	sum = (uint16_t)~slow_checksum(bytes, length) + extra;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(field, (uint16_t)~sum);
}

static uint32_t pseudo(const uint8_t *addresses, size_t length, uint8_t protocol, size_t l4)
{
	return (uint32_t)(uint16_t)~slow_checksum(addresses, length) + protocol + (uint32_t)l4;
}

/* Right checksums for what has no extension headers. */
static void put_right(struct noise *noise, struct frame *frame)
{
	const struct layout layout = layout_of(frame);
	bool v6 = layout.ethertype == 0x86dd;
	uint8_t *ip = frame->bytes + layout.l3, *l4;
	size_t header, length;
	uint8_t protocol;

	if (layout.l3 + 60 > frame->length || (!v6 && layout.ethertype != 0x0800))
		return;
	header = v6 ? 40 : (size_t)(ip[0] & 15) * 4;
	length = v6 ? get16(ip + 4) : get16(ip + 2) - header;
	protocol = ip[v6 ? 6 : 9];
	l4 = ip + header;
	if (!v6 && header >= 20)
		put_checksum(ip + 10, ip, header, 0);
	if (header < 20 || length < 20 || length > frame->length ||
	    layout.l3 + header + length > frame->length)
		return;
	if (protocol == PROTOCOL_ICMP)
		put_checksum(l4 + 2, l4, length, 0);
	else if (protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_ICMP6)
		put_checksum(l4 + (protocol == PROTOCOL_TCP ? 16 :
				   protocol == PROTOCOL_UDP ? 6 :
							      2),
			     l4, length, pseudo(ip + (v6 ? 8 : 12), v6 ? 32 : 8, protocol, length));
	noise->made++;
}

static bool is_service_port(uint8_t protocol, uint16_t port)
{
	return port == 8001 || port == 8002 || port == DIRECT_PORT || port == DSR_PORT ||
	       port == (protocol == PROTOCOL_TCP ? 8000 : 53);
}

/* By ports at @l4 of a packet to one of weir's addresses, @length bytes of which are there. */
static bool l4_is_foreign(uint8_t protocol, const uint8_t *l4, size_t length)
{
	uint16_t source, port;

	if (protocol == PROTOCOL_ICMP || protocol == PROTOCOL_ICMP6)
		return length < 8;
	if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
		return true;
	if (length < 4)
		return false;
	source = get16(l4);
	port = get16(l4 + 2);
	/* From a backend's port it may be an answer. */
	return !is_service_port(protocol, port) && source != 8000 && source != 8080 &&
	       source != 53 && source != 5353;
}

static bool is_own_address(const uint8_t *at)
{
	static const uint32_t own[] = { WEIR, ROUTED };
	bool v6 = frame_family() == WEIR_IPV6;
	uint8_t bytes[16];

	for (size_t i = 0; i < 2; i++) {
		put32(bytes, own[i]);
		if (v6)
			frame_put_address(bytes, own[i]);
		if (!memcmp(at, bytes, v6 ? 16 : 4))
			return true;
	}
	return false;
}

/* Is it certain that weir has no business with the frame? */
static bool is_foreign(const struct frame *frame, size_t seen)
{
	const struct layout layout = layout_of(frame);
	bool v6 = frame_family() == WEIR_IPV6;
	const uint8_t *ip = frame->bytes + layout.l3;
	size_t header = v6 ? 40 : 20, rest;

	if ((frame->bytes[0] | frame->bytes[6]) & 1 || layout.tags > 2 ||
	    layout.ethertype != (v6 ? 0x86dd : 0x0800) || layout.l3 + header > frame->length ||
	    ip[0] >> 4 != (v6 ? 6 : 4) || !is_own_address(ip + (v6 ? 24 : 16)))
		return true;
	if (v6)
		rest = get16(ip + 4);
	else if ((ip[0] & 15) < 5 || get16(ip + 2) < (ip[0] & 15) * 4 || get16(ip + 6) & 0x3fff)
		return false;
	else
		rest = get16(ip + 2) - (size_t)(ip[0] & 15) * 4;
	if (!v6)
		header = (size_t)(ip[0] & 15) * 4;
	if (v6 && (ip[6] == 0 || ip[6] == 43 || ip[6] == 44 || ip[6] == 60))
		return false;
	if (layout.l3 + header + rest > frame->length || layout.l3 + header + rest > seen)
		return false;
	return l4_is_foreign(ip[v6 ? 6 : 9], ip + header, rest);
}

/* An answer of weir's own: a RST or an ICMP error from the packet's destination to its source. */
static bool is_made_by_weir(const struct frame *in, const struct frame *out)
{
	const struct layout layout = layout_of(out);
	bool v6 = frame_family() == WEIR_IPV6;
	const uint8_t *before = in->bytes + layout.l3, *after = out->bytes + layout.l3;
	size_t at = v6 ? 8 : 12, length = v6 ? 16 : 4;
	uint8_t protocol_in = before[v6 ? 6 : 9], protocol = after[v6 ? 6 : 9];

	/* With a backend's source, what is forwarded has the addresses turned round as well. */
	if (memcmp(before + at, after + at + length, length) ||
	    memcmp(before + at + length, after + at, length))
		return false;
	if (protocol == PROTOCOL_TCP)
		return after[v6 ? 53 : 33] & RST &&
		       (protocol_in != PROTOCOL_TCP ||
			!(before[(v6 ? 40 : 4 * (before[0] & 15)) + 13] & RST));
	return protocol == frame_protocol(PROTOCOL_ICMP) && protocol_in != protocol;
}

static void print_bytes(const char *what, const struct frame *frame)
{
	print_error("%s, %zu bytes:", what, frame->length);
	for (size_t i = 0; i < frame->length && i < 160; i++)
		print_error(" %02x", frame->bytes[i]);
	print_error("\n");
}

static void check_sent(struct noise *noise, const struct frame *in, const struct frame *out)
{
	const struct layout before = layout_of(in), after = layout_of(out);
	bool made = is_made_by_weir(in, out), right = made || frame_is_right(in);

	assert_int_equal(before.tags, after.tags);
	assert_memory_equal(in->bytes + 12, out->bytes + 12, 4 * before.tags);
	assert_int_equal(out->bytes[0] & 1, 0);
	noise->right += right;
	if ((!right || frame_is_right(out)) &&
	    (out->length <= in->length || frame_ip_is_right(out)))
		return;
	print_error("made by weir: %d\n", made);
	print_bytes("in", in);
	print_bytes("out", out);
	fail();
}

static void one_frame(struct noise *noise, struct frame *in, struct frame *out)
{
	const struct frame *sample = &noise->pool[draw(noise, noise->count)];
	struct world *world = noise->world;
	bool foreign, unchanged;
	uint32_t verdict;

	in->length = sample->length;
	memcpy(in->bytes, sample->bytes, sample->length);
	memset(in->bytes + sample->length, 0xa5, 256);
	if (draw(noise, 16))
		mutate(noise, in);
	world->linear = noise->splits && !draw(noise, 16) ? CUT_LEAST + draw(noise, 200) : 0;
	verdict = world_run_frame(world, in, out);
	noise->verdicts[verdict & 7]++;
	foreign = is_foreign(in, world->linear ? world->linear : in->length);
	unchanged = out->length == in->length && !memcmp(out->bytes, in->bytes, in->length);
	if ((foreign && verdict != XDP_PASS) || (verdict == XDP_PASS && !unchanged) ||
	    verdict == XDP_ABORTED) {
		print_error("verdict %u, first piece %u\n", verdict, world->linear);
		print_bytes("in", in);
		print_bytes("out", out);
		fail();
	}
	if (verdict == XDP_TX)
		check_sent(noise, in, out);
}

static void dsr_service(struct world *world)
{
	uint32_t service = world_service(world, DSR, WEIR, DSR_PORT, PROTOCOL_TCP, 0);
	struct slot_candidate one = { world_backend(world, service, BACKEND_1, DSR_PORT), 1, 0 };
	const uint32_t snat = WEIR;

	service_of(world, service)->mode = WEIR_MODE_DSR;
	world_slots(world, service, WEIR_SCHEDULER_HASH, &one, 1);
	world_snat_addresses(world, &snat, 1);
}

static void noise(void **state)
{
	const char *seed = getenv("WEIR_TEST_SEED");
	struct noise *noise = calloc(1, sizeof(*noise));
	struct frame *frames = calloc(2, sizeof(*frames));
	struct world *world = world_open(1024, 256);
	struct talk tcp = talk_tcp(world, CLIENT, 40000), udp = talk_udp(world, NEIGHBOUR, 40000);
	time_t start = time(NULL);

	assert_true(noise && frames);
	*noise = (struct noise){
		.world = world,
		.random = seed ? strtoull(seed, NULL, 0) | 1 : SEED,
		.splits = world_splits(world),
	};
	print_message("# seed %#lx\n", noise->random);
	talk_establish(&tcp);
	talk_open(&udp);
	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_HASH);
	dsr_service(world);
	world_service(world, SERVICES_USED, ROUTED, 8000, PROTOCOL_TCP, 0);
	world_echo(world, ROUTED);
	keep_flow(noise, tcp);
	keep_flow(noise, udp);
	keep_services(noise);
	keep_pings(noise);
	for (int i = 0; i < FRAMES; i++)
		one_frame(noise, &frames[0], &frames[1]);
	print_message("# %zu samples: %u dropped, %u passed, %u sent, %u of them right, in %ld s\n",
		      noise->count, noise->verdicts[XDP_DROP], noise->verdicts[XDP_PASS],
		      noise->verdicts[XDP_TX], noise->right, (long)(time(NULL) - start));
	assert_true(noise->verdicts[XDP_TX] > FRAMES / 10);
	assert_true(noise->right > FRAMES / 20);
	world_close(world);
	free(noise);
	free(frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(noise) };

	return packet_tests(tests);
}
