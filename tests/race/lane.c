// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "abi/hash.h"

#include "tests/race/storm.h"

#define PORTS_PER_ADDRESS 20000
#define PAYLOAD 20

enum {
	PACKET_SYN,
	PACKET_SYN_ACK,
	PACKET_ACK,
	PACKET_DATA,
	PACKET_ANSWER,
	PACKET_RESET,
	PACKET_REFUSE,
	PACKET_FIN,          /* the client's, first */
	PACKET_FIN_ANSWER,   /* the backend's, which acknowledges it */
	PACKET_LAST_ACK,     /* the client's */
	PACKET_BACKEND_FIN,  /* first */
	PACKET_CLIENT_FIN,   /* acknowledges it */
	PACKET_BACKEND_LAST, /* the backend's last acknowledgement */
	PACKET_DATAGRAM,
	PACKET_DATAGRAM_BACK,
	PACKETS,
};

/* Numbers are relative to the two initial sequence numbers. */
static const struct shape {
	bool from_backend;
	uint8_t protocol, flags;
	uint32_t sequence, acknowledgement;
	size_t payload;
} shapes[PACKETS] = {
	[PACKET_SYN] = { false, PROTOCOL_TCP, SYN, 0, 0, 0 },
	[PACKET_SYN_ACK] = { true, PROTOCOL_TCP, SYN | ACK, 0, 1, 0 },
	[PACKET_ACK] = { false, PROTOCOL_TCP, ACK, 1, 1, 0 },
	[PACKET_DATA] = { false, PROTOCOL_TCP, ACK | PSH, 1, 1, PAYLOAD },
	[PACKET_ANSWER] = { true, PROTOCOL_TCP, ACK | PSH, 1, 1 + PAYLOAD, PAYLOAD },
	[PACKET_RESET] = { false, PROTOCOL_TCP, RST, 1, 0, 0 },
	[PACKET_REFUSE] = { true, PROTOCOL_TCP, RST | ACK, 1, 1, 0 },
	[PACKET_FIN] = { false, PROTOCOL_TCP, FIN | ACK, 21, 21, 0 },
	[PACKET_FIN_ANSWER] = { true, PROTOCOL_TCP, FIN | ACK, 21, 22, 0 },
	[PACKET_LAST_ACK] = { false, PROTOCOL_TCP, ACK, 22, 22, 0 },
	[PACKET_BACKEND_FIN] = { true, PROTOCOL_TCP, FIN | ACK, 21, 21, 0 },
	[PACKET_CLIENT_FIN] = { false, PROTOCOL_TCP, FIN | ACK, 21, 22, 0 },
	[PACKET_BACKEND_LAST] = { true, PROTOCOL_TCP, ACK, 22, 22, 0 },
	[PACKET_DATAGRAM] = { false, PROTOCOL_UDP, 0, 0, 0, PAYLOAD },
	[PACKET_DATAGRAM_BACK] = { true, PROTOCOL_UDP, 0, 0, 0, PAYLOAD },
};

static const struct {
	int count;
	uint8_t packets[3];
} acts[ACTS] = {
	[ACT_SYN] = { 1, { PACKET_SYN } },
	[ACT_SYN_ACK] = { 1, { PACKET_SYN_ACK } },
	[ACT_ACK] = { 1, { PACKET_ACK } },
	[ACT_DATA] = { 1, { PACKET_DATA } },
	[ACT_ANSWER] = { 1, { PACKET_ANSWER } },
	[ACT_RESET] = { 1, { PACKET_RESET } },
	[ACT_REFUSE] = { 1, { PACKET_REFUSE } },
	[ACT_OPEN] = { 3, { PACKET_SYN, PACKET_SYN_ACK, PACKET_ACK } },
	[ACT_CLOSE] = { 3, { PACKET_FIN, PACKET_FIN_ANSWER, PACKET_LAST_ACK } },
	[ACT_BACKEND_CLOSE] = { 3, { PACKET_BACKEND_FIN, PACKET_CLIENT_FIN, PACKET_BACKEND_LAST } },
	[ACT_DATAGRAM] = { 1, { PACKET_DATAGRAM } },
	[ACT_DATAGRAM_BACK] = { 1, { PACKET_DATAGRAM_BACK } },
};

static uint32_t next_random(struct storm_lane *lane)
{
	return (uint32_t)weir_hash_mix(++lane->random);
}

#define lane_fail(lane, ...) snprintf((lane)->failure, sizeof((lane)->failure), __VA_ARGS__)

/* Client @number's end, and its flow through @pair. */
static struct talk talk_of(struct storm *storm, uint32_t number, uint8_t protocol, uint32_t pair)
{
	uint32_t address = IP4(10, 0, 1, 0) + number / PORTS_PER_ADDRESS;
	uint16_t port = (uint16_t)(STORM_FIRST_PORT + number % PORTS_PER_ADDRESS);
	const struct weir_backend *backend = &storm->world->tables->backends[pair >> 16];
	struct talk talk = protocol == PROTOCOL_TCP ? talk_tcp(storm->world, address, port) :
						      talk_udp(storm->world, address, port);

	talk.backend = __builtin_bswap32(backend->address.word[3]);
	talk.backend_port = __builtin_bswap16(backend->port);
	talk.snat = WEIR;
	talk.snat_port = (uint16_t)pair;
	return talk;
}

static bool client_number(const struct storm *storm, uint32_t address, uint16_t port, uint32_t *ret)
{
	*ret = (address - IP4(10, 0, 1, 0)) * PORTS_PER_ADDRESS + port - STORM_FIRST_PORT;
	return address >= IP4(10, 0, 1, 0) && port >= STORM_FIRST_PORT &&
	       *ret < storm->client_count;
}

static struct segment segment_of(struct talk *talk, uint32_t number, uint32_t flows, int packet)
{
	const struct shape *shape = &shapes[packet];
	/* Each flow of a client starts behind the one before. */
	uint32_t client = (uint32_t)weir_hash_mix(number) + flows * 1000;
	uint32_t backend = (uint32_t)weir_hash_mix(number + (1ULL << 40)) + flows * 1000;
	struct segment segment = shape->from_backend ?
					 backend_segment(talk, shape->flags, shape->payload) :
					 client_segment(talk, shape->flags, shape->payload);

	segment.sequence = shape->sequence + (shape->from_backend ? backend : client);
	segment.acknowledgement = 0;
	if (shape->flags & ACK)
		segment.acknowledgement = shape->acknowledgement +
					  (shape->from_backend ? client : backend);
	segment.id = (uint16_t)number;
	return segment;
}

/* Takes note that client @number was translated through @pair. More pairs than flows: mixed up. */
static void saw(struct storm_lane *lane, uint32_t number, uint32_t pair)
{
	struct storm_client *client = &lane->storm->clients[number];

	for (int i = 0; i < STORM_PAIRS; i++) {
		unsigned int seen = 0;

		if (atomic_compare_exchange_strong(&client->pairs[i], &seen, pair) || seen == pair)
			return;
	}
}

static uint32_t backend_at(const struct storm *storm, const uint8_t *ip)
{
	for (uint32_t id = 1; id < storm->world->backends; id++) {
		const struct weir_backend *backend = &storm->world->tables->backends[id];
		uint8_t protocol = backend->service == DNS ? PROTOCOL_UDP : PROTOCOL_TCP;

		if (!memcmp(ip + 16, &backend->address.word[3], 4) && ip[9] == protocol &&
		    !memcmp(ip + 22, &backend->port, 2))
			return id;
	}
	return 0;
}

static bool is_frame_of(const struct frame *frame, const struct segment *segment)
{
	struct frame wanted = frame_of(segment);

	return frame->length == wanted.length && !memcmp(frame->bytes, wanted.bytes, wanted.length);
}

/* What left after a client's packet: the packet for a backend, or weir's own answer. */
static void check_forth(struct storm_lane *lane, uint32_t number, const struct segment *in,
			const struct frame *out)
{
	const uint8_t *ip = out->bytes + ETHERNET_LENGTH;
	uint32_t id = backend_at(lane->storm, ip);
	uint32_t pair = id << 16 | get16(ip + 20);
	struct talk talk;
	struct segment wanted;

	if (!id) {
		lane->answered++;
		if (get16(ip + 16) != in->source >> 16 || get16(ip + 18) != (uint16_t)in->source)
			lane_fail(lane, "an answer to another client than %u", number);
		return;
	}
	lane->forwarded++;
	talk = talk_of(lane->storm, number, in->protocol, pair);
	wanted = to_backend(&talk, in);
	if (!is_frame_of(out, &wanted))
		lane_fail(lane, "client %u, flags %#x, by port %u of backend %u: wrong bytes",
			  number, in->flags, pair & 0xffff, id);
	atomic_store(&lane->storm->clients[number].last, pair);
	saw(lane, number, pair);
}

/* What left after a packet of the backend of @pair. */
static void check_back(struct storm_lane *lane, uint32_t pair, const struct segment *in,
		       const struct frame *out)
{
	const uint8_t *ip = out->bytes + ETHERNET_LENGTH;
	uint32_t number, address = (uint32_t)get16(ip + 16) << 16 | get16(ip + 18);
	struct segment wanted;
	struct talk talk;

	if (address == in->source && get16(ip + 22) == in->source_port && ip[33] & RST) {
		lane->answered++; /* the flow was killed */
		return;
	}
	lane->forwarded++;
	if (!client_number(lane->storm, address, get16(ip + 22), &number)) {
		lane_fail(lane, "a reply to %#x, port %u, who is no client", address,
			  get16(ip + 22));
		return;
	}
	talk = talk_of(lane->storm, number, in->protocol, pair);
	wanted = to_client(&talk, in);
	if (!is_frame_of(out, &wanted))
		lane_fail(lane, "reply to client %u by port %u of backend %u: wrong bytes", number,
			  pair & 0xffff, pair >> 16);
	saw(lane, number, pair);
}

static int run(struct storm_lane *lane, const struct frame *in, struct frame *out)
{
	struct xdp_md context = {
		.data_end = (uint32_t)in->length,
		.ingress_ifindex = lane->storm->world->ingress,
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = in->bytes,
		    .data_size_in = (uint32_t)in->length, .data_out = out->bytes,
		    .data_size_out = sizeof(out->bytes), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = 1);
	int r = bpf_prog_test_run_opts(datapath_xdp_fd(lane->storm->world->datapath), &options);

	if (r) {
		lane_fail(lane, "BPF_PROG_TEST_RUN: %s", strerror(-r));
		return -1;
	}
	out->length = options.data_size_out;
	lane->sent++;
	return (int)options.retval;
}

static void send_packet(struct storm_lane *lane, uint32_t number, int packet)
{
	const struct shape *shape = &shapes[packet];
	struct storm_client *client = &lane->storm->clients[number];
	uint32_t flows = atomic_load(&client->flows), pair = atomic_load(&client->last);
	struct talk talk = talk_of(lane->storm, number, shape->protocol, pair);
	bool opens = packet == PACKET_SYN || packet == PACKET_DATAGRAM;
	struct segment segment;
	struct frame in, out;
	int verdict;

	if (shape->from_backend && !pair)
		return;
	if (opens)
		flows = atomic_fetch_add(&client->flows, 1) + 1;
	segment = segment_of(&talk, number, flows, packet);
	in = frame_of(&segment);
	verdict = run(lane, &in, &out);
	if (verdict == XDP_TX && shape->from_backend) {
		check_back(lane, pair, &segment, &out);
	} else if (verdict == XDP_TX) {
		check_forth(lane, number, &segment, &out);
	} else if (verdict == XDP_DROP) {
		lane->dropped++;
	} else if (verdict == XDP_PASS && shape->from_backend) {
		lane->passed++;
		if (!is_frame_of(&out, &segment))
			lane_fail(lane, "a packet that was passed is changed");
	} else if (verdict >= 0) {
		lane_fail(lane, "packet %d of client %u: verdict %d", packet, number, verdict);
	}
}

static enum storm_act choose_act(struct storm_lane *lane)
{
	const uint8_t *weights = lane->storm->plan->weights;
	uint32_t sum = 0, at;
	int act;

	for (act = 0; act < ACTS; act++)
		sum += weights[act];
	at = weir_hash_scale(next_random(lane), sum);
	for (act = 0; at >= weights[act]; act++)
		at -= weights[act];
	return act;
}

/* False: every client has come. */
static bool choose_client(struct storm_lane *lane, enum storm_act act, uint32_t *ret)
{
	struct storm *storm = lane->storm;
	atomic_uint *place = &storm->recent[next_random(lane) % STORM_RECENT];

	if (storm->plan->clients) {
		*ret = next_random(lane) % storm->plan->clients;
		return true;
	}
	if (act == ACT_SYN || act == ACT_OPEN) {
		*ret = atomic_fetch_add(&storm->next_client, 1);
		if (*ret >= storm->client_count)
			return false;
		atomic_store(place, *ret);
		return true;
	}
	*ret = atomic_load(place);
	return true;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

void *storm_lane_main(void *user)
{
	struct storm_lane *lane = user;
	struct storm *storm = lane->storm;
	uint32_t number;

	stay_on(lane->number);
	while (!atomic_load(&storm->stop) && !lane->failure[0]) {
		enum storm_act act = choose_act(lane);

		if (!choose_client(lane, act, &number))
			break;
		for (int i = 0; i < acts[act].count; i++)
			send_packet(lane, number, acts[act].packets[i]);
		if (storm->goal && lane->sent >= storm->goal / STORM_LANES)
			break;
	}
	return NULL;
}
