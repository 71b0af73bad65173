// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/harness.h"

#include <string.h>
#include <time.h>

/* What weir answers by itself: the whole frame, by RFC 9293 3.10.7.1, RFC 792 and RFC 1812. */

enum { PORT_UNREACHABLE = 3, DESTINATION_UNREACHABLE = 3, TIME_EXCEEDED = 11 };

/* The frame turned round: what a plain answer to @in looks like, TTL 64, don't fragment, id 0. */
static struct segment answer_to(const struct segment *in, uint8_t flags)
{
	struct segment out = tcp_segment(in->destination, in->destination_port, in->source,
					 in->source_port, flags);

	out.to = in->from;
	out.from = in->to;
	out.id = 0;
	out.window = 0;
	return out;
}

static void send_tcp(struct world *world, const struct segment *in, enum weir_reason reason,
		     uint32_t sequence, uint32_t acknowledgement, uint8_t flags)
{
	struct segment out = answer_to(in, flags);
	struct frame frame_in = frame_of(in), frame_out;

	out.sequence = sequence;
	out.acknowledgement = acknowledgement;
	frame_out = frame_of(&out);
	world_send(world, &frame_in, reason, XDP_TX, &frame_out);
}

static void send_icmp(struct world *world, const struct segment *in, enum weir_reason reason,
		      uint8_t type, uint8_t code)
{
	struct frame frame = frame_of(in);
	struct frame out = icmp_error(in->from, in->to, in->destination, in->source, type, code,
				      &frame);

	world_send(world, &frame, reason, XDP_TX, &out);
}

static void send_silent(struct world *world, const struct segment *in, enum weir_reason reason)
{
	struct frame frame = frame_of(in);

	world_send(world, &frame, reason, XDP_DROP, NULL);
}

static struct segment stray(uint8_t flags)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, 8000, flags);

	segment.sequence = 0xfffffffe;
	segment.acknowledgement = 0x01020304;
	return segment;
}

/* With ACK: <SEQ=SEG.ACK><CTL=RST> */
static void stray_with_ack(void **state)
{
	const uint8_t flags[] = { ACK, ACK | PSH, ACK | FIN, ACK | SYN, ACK | SYN | FIN };

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct segment in = stray(flags[i]);

		send_tcp(*state, &in, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
		in.payload = 301;
		send_tcp(*state, &in, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
	}
	assert_flows(*state, 0, 0, 0);
}

/* Without: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>; SYN and FIN count in SEG.LEN. */
static void stray_without_ack(void **state)
{
	const struct {
		uint8_t flags;
		uint32_t payload, length;
	} rows[] = {
		{ 0, 0, 0 },   { 0, 5, 5 },     { PSH, 1460, 1460 },
		{ FIN, 0, 1 }, { FIN, 10, 11 }, { SYN | FIN, 3, 5 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct segment in = stray(rows[i].flags);

		in.payload = rows[i].payload;
		send_tcp(*state, &in, WEIR_REASON_NO_FLOW, 0, 0xfffffffe + rows[i].length,
			 RST | ACK);
	}
}

/* Options, TCP options and padding of the segment do not show in the RST. */
static void stray_with_options(void **state)
{
	struct segment in = stray(ACK);

	in.options_length = 12;
	memset(in.options, 1, 12);
	in.tcp_options_length = 12;
	memset(in.tcp_options, 1, 12);
	in.payload = 3;
	in.padding = 9;
	in.tos = 0xb8;
	send_tcp(*state, &in, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
	in.tcp_options_length = in.payload = in.options_length = 0;
	in.padding = 6;
	send_tcp(*state, &in, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
}

static void no_reset_to_a_reset(void **state)
{
	const uint8_t flags[] = { RST, RST | ACK, RST | SYN, RST | FIN | ACK };

	for (size_t i = 0; i < sizeof(flags); i++) {
		struct segment in = stray(flags[i]);

		send_silent(*state, &in, WEIR_REASON_NO_FLOW_SILENT);
	}
}

/* Nothing is sent to an address that is not one host's. */
static void no_answer_to_strange_sources(void **state)
{
	const uint32_t sources[] = {
		IP4(0, 0, 0, 0),   IP4(0, 1, 2, 3),   IP4(127, 0, 0, 1),       IP4(224, 0, 0, 1),
		IP4(239, 1, 2, 3), IP4(240, 0, 0, 1), IP4(255, 255, 255, 255),
	};

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct segment in = stray(ACK);

		in.source = sources[i];
		send_silent(*state, &in, WEIR_REASON_NO_FLOW_SILENT);
		in.ttl = 1;
		send_silent(*state, &in, WEIR_REASON_TTL_EXCEEDED_SILENT);
	}
}

static void no_backend_tcp(void **state)
{
	struct segment in = stray(SYN);

	in.destination_port = 8001;
	send_tcp(*state, &in, WEIR_REASON_NO_BACKEND, 0, 0xffffffff, RST | ACK);
	in.payload = 20; /* fast open */
	send_tcp(*state, &in, WEIR_REASON_NO_BACKEND, 0, 19, RST | ACK);
	in.destination_port = 8002;
	send_silent(*state, &in, WEIR_REASON_NO_BACKEND_SILENT);
	assert_flows(*state, 0, 0, 0);
}

static void no_backend_udp(void **state)
{
	struct segment in = udp_datagram(CLIENT, 40000, WEIR, 8001, 0);

	for (in.payload = 0; in.payload < 40; in.payload++)
		send_icmp(*state, &in, WEIR_REASON_NO_BACKEND, DESTINATION_UNREACHABLE,
			  PORT_UNREACHABLE);
	in.payload = 1472;
	send_icmp(*state, &in, WEIR_REASON_NO_BACKEND, DESTINATION_UNREACHABLE, PORT_UNREACHABLE);
	for (in.options_length = 4; in.options_length <= 40; in.options_length += 4)
		send_icmp(*state, &in, WEIR_REASON_NO_BACKEND, DESTINATION_UNREACHABLE,
			  PORT_UNREACHABLE);
	in.options_length = 0;
	in.destination_port = 8002;
	send_silent(*state, &in, WEIR_REASON_NO_BACKEND_SILENT);
}

/* The ICMP checksum takes on many values with the quoted ones. */
static void icmp_checksums(void **state)
{
	struct segment in = udp_datagram(CLIENT, 0, WEIR, 8001, 0);

	in.no_checksum = true;
	for (uint32_t port = 1; port <= 0xffff; port++) {
		in.source_port = (uint16_t)port;
		send_icmp(*state, &in, WEIR_REASON_NO_BACKEND, DESTINATION_UNREACHABLE,
			  PORT_UNREACHABLE);
	}
}

static void ttl_to_service(void **state)
{
	struct segment tcp = stray(SYN), udp = udp_datagram(CLIENT, 40000, WEIR, 53, 700);

	for (uint8_t ttl = 0; ttl <= 1; ttl++) {
		tcp.ttl = udp.ttl = ttl;
		send_icmp(*state, &tcp, WEIR_REASON_TTL_EXCEEDED, TIME_EXCEEDED, 0);
		send_icmp(*state, &udp, WEIR_REASON_TTL_EXCEEDED, TIME_EXCEEDED, 0);
	}
	tcp.flags = ACK;
	tcp.tcp_options_length = 12;
	tcp.payload = 80;
	tcp.padding = 3;
	tcp.options_length = 40;
	send_icmp(*state, &tcp, WEIR_REASON_TTL_EXCEEDED, TIME_EXCEEDED, 0);
	assert_flows(*state, 0, 0, 0);
}

static struct weir_runtime *runtime_of(void **state)
{
	return ((struct world *)*state)->tables->runtime;
}

/* A bucket holds one second's worth: @rate answers, and what comes in while this runs; then silence. */
static void drain(struct world *world, const struct segment *in, uint32_t rate,
		  enum weir_reason answered, enum weir_reason silent)
{
	struct frame frame = frame_of(in);
	uint64_t begin = datapath_jiffies(world->datapath), ticks;
	uint64_t before[2], more[2];

	world_read_counters(world);
	before[0] = world->counters.reasons[answered];
	before[1] = world->counters.reasons[silent];
	for (uint32_t i = 0; i < rate + 10; i++)
		world_run_quickly(world, &frame);
	world_read_counters(world);
	more[0] = world->counters.reasons[answered] - before[0];
	more[1] = world->counters.reasons[silent] - before[1];
	assert_int_equal(more[0] + more[1], rate + 10);
	ticks = datapath_jiffies(world->datapath) - begin + 1;
	assert_in_range(more[0], rate, rate + 1 + rate * ticks / datapath_hz(world->datapath));
}

static void sleep_ms(long ms)
{
	struct timespec pause = { .tv_nsec = ms * 1000000 };

	nanosleep(&pause, NULL);
}

static void reset_rate(void **state)
{
	struct segment segment = stray(ACK);

	runtime_of(state)->reset_rate = 10;
	drain(*state, &segment, 10, WEIR_REASON_NO_FLOW, WEIR_REASON_NO_FLOW_SILENT);
	segment.flags = SYN;
	segment.destination_port = 8001;
	send_silent(*state, &segment, WEIR_REASON_NO_BACKEND_SILENT);
	sleep_ms(250); /* two more */
	send_tcp(*state, &segment, WEIR_REASON_NO_BACKEND, 0, 0xffffffff, RST | ACK);
	send_tcp(*state, &segment, WEIR_REASON_NO_BACKEND, 0, 0xffffffff, RST | ACK);
	send_silent(*state, &segment, WEIR_REASON_NO_BACKEND_SILENT);
}

static void icmp_rate(void **state)
{
	struct segment segment = udp_datagram(CLIENT, 40000, WEIR, 8001, 10);

	runtime_of(state)->icmp_rate = 5;
	drain(*state, &segment, 5, WEIR_REASON_NO_BACKEND, WEIR_REASON_NO_BACKEND_SILENT);
	segment = stray(ACK);
	segment.ttl = 1;
	send_silent(*state, &segment, WEIR_REASON_TTL_EXCEEDED_SILENT);
	segment.ttl = 2; /* resets have a bucket of their own */
	send_tcp(*state, &segment, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
}

/* A bucket that is nearly full takes in no more than it holds. */
static void idle_time_does_not_pile_up(void **state)
{
	struct segment segment = stray(ACK);

	runtime_of(state)->reset_rate = 10;
	send_tcp(*state, &segment, WEIR_REASON_NO_FLOW, 0x01020304, 0, RST);
	sleep_ms(600);
	drain(*state, &segment, 10, WEIR_REASON_NO_FLOW, WEIR_REASON_NO_FLOW_SILENT);
}

static void rate_0_is_silence(void **state)
{
	struct segment segment = stray(ACK);

	runtime_of(state)->reset_rate = runtime_of(state)->icmp_rate = 0;
	send_silent(*state, &segment, WEIR_REASON_NO_FLOW_SILENT);
	segment = udp_datagram(CLIENT, 40000, WEIR, 8001, 10);
	send_silent(*state, &segment, WEIR_REASON_NO_BACKEND_SILENT);
}

/* A rate that is no multiple of the clock's: 1.6 tokens a jiffy must not become 1. */
static void fractions_of_tokens_count(void **state)
{
	uint32_t hz = runtime_of(state)->hz, rate = hz * 8 / 5;
	struct segment segment = stray(ACK);
	struct frame frame = frame_of(&segment);
	struct world *world = *state;
	uint64_t start, now, answered, expected;

	runtime_of(state)->reset_rate = rate;
	drain(world, &segment, rate, WEIR_REASON_NO_FLOW, WEIR_REASON_NO_FLOW_SILENT);
	answered = world->counters.reasons[WEIR_REASON_NO_FLOW];
	start = datapath_jiffies(world->datapath);
	do {
		for (int i = 0; i < 10; i++)
			world_run_quickly(world, &frame);
		sleep_ms(1);
		now = datapath_jiffies(world->datapath);
	} while (now - start < hz / 2);
	world_read_counters(world);
	answered = world->counters.reasons[WEIR_REASON_NO_FLOW] - answered;
	expected = (now - start) * rate / hz;
	assert_in_range(answered, expected * 9 / 10, expected * 11 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(stray_with_ack),
		world_test(stray_without_ack),
		world_test(stray_with_options),
		world_test(no_reset_to_a_reset),
		world_test(no_answer_to_strange_sources),
		world_test(no_backend_tcp),
		world_test(no_backend_udp),
		world_test(icmp_checksums),
		world_test(ttl_to_service),
		world_test(reset_rate),
		world_test(icmp_rate),
		world_test(idle_time_does_not_pile_up),
		world_test(rate_0_is_silence),
		world_test(fractions_of_tokens_count),
	};

	return packet_tests(tests);
}
