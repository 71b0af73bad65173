// SPDX-License-Identifier: GPL-2.0-only
#include "bench/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "abi/hash.h"
#include "bench/balancer.h"
#include "bench/world.h"

/* First sequence numbers of each side; a connection may begin anywhere. */
#define CLIENT_START 0x10000000u
#define BACKEND_START 0x20000000u

#define TCP_SYN 0x02
#define TCP_PSH 0x08
#define TCP_ACK 0x10

#define HEADERS 54 /* Ethernet, IPv4, TCP */
#define PAYLOAD (BENCH_FRAME - HEADERS)

/* Flows that are opened at once: all of them are half open for a while and stand in the ring. */
#define OPEN_AT_ONCE 32768

#define FOREIGN_ADDRESS "192.168.178.9"

/* Kinds of traffic with a table of tuples of their own: those before this one. */
#define TABLES TRAFFIC_YARDSTICK

static uint32_t place_of(const struct traffic *traffic, enum traffic_kind kind, uint32_t flow)
{
	if (kind == TRAFFIC_YARDSTICK)
		kind = TRAFFIC_TCP_TO_BACKEND;
	return (uint32_t)kind * traffic->flows + flow;
}

uint32_t traffic_tuples(uint32_t flows)
{
	return TABLES * flows;
}

struct bench_tuple traffic_client(uint32_t index)
{
	struct bench_tuple tuple = { .destination_port = htons(BALANCER_PORT) };
	uint64_t random = weir_hash_mix(index + 1);

	/* An odd factor modulo 2^24: each client has an address of its own. */
	tuple.source = htonl(10u << 24 | (index * 0x9e3779u & 0xffffff));
	tuple.source_port = htons((uint16_t)(1024 + random % 60000));
	inet_pton(AF_INET, BALANCER_SERVICE, &tuple.destination);
	return tuple;
}

static void fill_tuples(struct traffic *traffic)
{
	struct bench_tuple *tuples = wrapper_tuples(traffic->wrapper);

	for (uint32_t i = 0; i < traffic->flows; i++) {
		struct bench_tuple foreign = traffic_client(i);

		inet_pton(AF_INET, FOREIGN_ADDRESS, &foreign.destination);
		tuples[place_of(traffic, TRAFFIC_TCP_TO_BACKEND, i)] = traffic_client(i);
		tuples[place_of(traffic, TRAFFIC_UDP_TO_BACKEND, i)] = traffic_client(i);
		tuples[place_of(traffic, TRAFFIC_NOT_OURS, i)] = foreign;
		tuples[place_of(traffic, TRAFFIC_NO_FLOW, i)] = traffic_client(traffic->flows + i);
	}
}

void traffic_init(struct traffic *traffic, struct wrapper *wrapper, const uint32_t *group_sizes,
		  uint32_t group_count)
{
	*traffic = (struct traffic){ .wrapper = wrapper, .group_count = group_count };
	for (uint32_t i = 0; i < group_count; i++) {
		traffic->group_size[i] = group_sizes[i];
		traffic->group_first[i] = traffic->flows;
		traffic->flows += group_sizes[i];
		traffic->sequence[TRAFFIC_TCP_TO_BACKEND][i] = CLIENT_START + 1;
		traffic->sequence[TRAFFIC_TCP_TO_CLIENT][i] = BACKEND_START + 1;
	}
	fill_tuples(traffic);
}

static void put16(uint8_t *frame, size_t at, uint16_t value)
{
	frame[at] = (uint8_t)(value >> 8);
	frame[at + 1] = (uint8_t)value;
}

static void put32(uint8_t *frame, size_t at, uint32_t value)
{
	put16(frame, at, (uint16_t)(value >> 16));
	put16(frame, at + 2, (uint16_t)value);
}

/*
 * Headers without the tuple. The checksums are not right: balancers only add to them, and a bench
 * that had to compute them would measure itself.
 */
static void fill_headers(struct bench_state *state, uint8_t protocol, uint16_t ip_length)
{
	uint8_t *frame = state->frame;

	*state = (struct bench_state){ .fresh = state->fresh };
	memcpy(frame, "\x02\0\0\0\x01\0\x02\0\0\0\0\x02\x08\0", 14);
	frame[14] = 0x45;
	put16(frame, 16, ip_length);
	put16(frame, 20, 0x4000); /* don't fragment */
	frame[22] = 64;           /* TTL */
	frame[23] = protocol;
	put16(frame, 24, 0x1234);
	inet_pton(AF_INET, BALANCER_SERVICE, &state->fresh_tuple.destination);
	state->fresh_tuple.destination_port = htons(BALANCER_PORT);
}

static void fill_tcp(struct bench_state *state, uint8_t flags, uint16_t payload, uint32_t sequence,
		     uint32_t acknowledgement)
{
	fill_headers(state, IPPROTO_TCP, (uint16_t)(40 + payload));
	state->sequenced = 1;
	state->sequence = sequence;
	state->sequence_step = payload;
	put32(state->frame, BENCH_SEQUENCE_AT, sequence);
	put32(state->frame, BENCH_ACKNOWLEDGEMENT_AT, acknowledgement);
	state->frame[46] = 5 << 4; /* header of five words */
	state->frame[47] = flags;
	put16(state->frame, 48, 0xffff);
	put16(state->frame, 50, 0x1234);
}

static void fill_udp(struct bench_state *state)
{
	uint16_t length = BENCH_FRAME - 34;

	fill_headers(state, IPPROTO_UDP, (uint16_t)(20 + length));
	put16(state->frame, 38, length);
	put16(state->frame, 40, 0x1234);
}

/* Sends each of @count tuples of @kind once, with the frame that is set up. */
static int send_each(struct traffic *traffic, enum traffic_kind kind, uint32_t first,
		     uint32_t count)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);

	state->first = place_of(traffic, kind, first);
	state->count = count;
	return wrapper_run(traffic->wrapper, BENCH_WEIR, count, NULL, NULL);
}

/* Notes the tuples of the replies to @count flows that wait for one. */
static int find_replies(struct traffic *traffic, bool udp, uint32_t first, uint32_t count,
			const struct datapath *datapath)
{
	enum traffic_kind kind = udp ? TRAFFIC_UDP_TO_CLIENT : TRAFFIC_TCP_TO_CLIENT;
	struct bench_tuple *tuples = wrapper_tuples(traffic->wrapper);
	const struct datapath_tables *tables = datapath_tables(datapath);
	uint32_t found = 0;

	for (uint32_t i = 0; i < tables->records[WEIR_IPV4] && found < count; i++) {
		const struct weir_flow4 *flow = &tables->flows4[i];
		struct bench_tuple *tuple = &tuples[place_of(traffic, kind, first + found)];

		if (flow->flow.control.state != WEIR_FLOW_HALF_OPEN ||
		    (flow->flow.control.flags & WEIR_FLOW_REPLIED) ||
		    !(flow->flow.control.flags & WEIR_FLOW_UDP) == udp)
			continue;
		tuple->source = flow->backend.source;
		tuple->destination = flow->backend.destination;
		tuple->source_port = flow->flow.backend_ports.source;
		tuple->destination_port = flow->flow.backend_ports.destination;
		found++;
	}
	return found == count ? 0 : -ENOENT;
}

/* Three ways of shaking hands, for flows [first, first + count). */
static int open_tcp(struct traffic *traffic, uint32_t first, uint32_t count,
		    const struct datapath *datapath)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);
	int r;

	fill_tcp(state, TCP_SYN, 0, CLIENT_START, 0);
	r = send_each(traffic, TRAFFIC_TCP_TO_BACKEND, first, count);
	if (!r)
		r = find_replies(traffic, false, first, count, datapath);
	if (r)
		return r;
	fill_tcp(state, TCP_SYN | TCP_ACK, 0, BACKEND_START, CLIENT_START + 1);
	r = send_each(traffic, TRAFFIC_TCP_TO_CLIENT, first, count);
	if (r)
		return r;
	fill_tcp(state, TCP_ACK, 0, CLIENT_START + 1, BACKEND_START + 1);
	return send_each(traffic, TRAFFIC_TCP_TO_BACKEND, first, count);
}

static int open_udp(struct traffic *traffic, uint32_t first, uint32_t count,
		    const struct datapath *datapath)
{
	int r;

	fill_udp(wrapper_state(traffic->wrapper));
	r = send_each(traffic, TRAFFIC_UDP_TO_BACKEND, first, count);
	if (!r)
		r = find_replies(traffic, true, first, count, datapath);
	if (r)
		return r;
	return send_each(traffic, TRAFFIC_UDP_TO_CLIENT, first, count);
}

static void shuffle(struct traffic *traffic, enum traffic_kind kind)
{
	struct bench_tuple *all = wrapper_tuples(traffic->wrapper);
	uint64_t random = kind;

	for (uint32_t group = 0; group < traffic->group_count; group++) {
		struct bench_tuple *tuples =
			&all[place_of(traffic, kind, traffic->group_first[group])];

		for (uint32_t left = traffic->group_size[group]; left > 1; left--) {
			uint32_t other = weir_hash_mix(++random) % left;
			struct bench_tuple tuple = tuples[other];

			tuples[other] = tuples[left - 1];
			tuples[left - 1] = tuple;
		}
	}
}

typedef int (*open_fn)(struct traffic *traffic, uint32_t first, uint32_t count,
		       const struct datapath *datapath);

static int open_all(struct traffic *traffic, open_fn open, const struct datapath *datapath)
{
	uint32_t first, count;
	int r = 0;

	for (first = 0; first < traffic->flows && !r; first += count) {
		count = traffic->flows - first;
		if (count > OPEN_AT_ONCE)
			count = OPEN_AT_ONCE;
		r = open(traffic, first, count, datapath);
	}
	return r;
}

int traffic_open_flows(struct traffic *traffic, const struct datapath *datapath, bool udp,
		       struct error *error)
{
	int r = open_all(traffic, open_tcp, datapath);

	/* UDP last: these stay in the ring until they are promoted. */
	if (!r && udp)
		r = open_all(traffic, open_udp, datapath);
	if (r)
		return error_set(error, r, "cannot open %u flows: %s", traffic->flows,
				 r == -ENOENT ? "the program under test did not make them" :
						strerror(-r));
	for (int kind = 0; kind < TABLES; kind++)
		shuffle(traffic, kind);
	return 0;
}

int traffic_promote_udp(struct traffic *traffic, const struct datapath *datapath,
			struct error *error)
{
	const struct datapath_tables *tables = datapath_tables(datapath);
	int r;

	fill_udp(wrapper_state(traffic->wrapper));
	r = send_each(traffic, TRAFFIC_UDP_TO_BACKEND, 0, traffic->flows);
	if (r)
		return error_set(error, r, "cannot run the program: %s", strerror(-r));
	if (tables->shared->udp_established[WEIR_IPV4] != traffic->flows)
		return error_set(error, -ENOENT, "%u of %u UDP flows are established",
				 tables->shared->udp_established[WEIR_IPV4], traffic->flows);
	return 0;
}

int traffic_run(struct traffic *traffic, enum traffic_kind kind, uint32_t group,
		enum bench_target target, uint32_t packets, double *ns, uint32_t *verdict)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);
	uint32_t *position = &traffic->position[kind][group];
	uint32_t *sequence = &traffic->sequence[kind][group];
	int r;

	switch (kind) {
	case TRAFFIC_UDP_TO_BACKEND:
	case TRAFFIC_UDP_TO_CLIENT:
		fill_udp(state);
		break;
	case TRAFFIC_NEW_FLOW:
		fill_tcp(state, TCP_SYN, 0, CLIENT_START, 0);
		state->fresh_tuples = 1;
		break;
	case TRAFFIC_TCP_TO_CLIENT:
		fill_tcp(state, TCP_PSH | TCP_ACK, PAYLOAD, *sequence, CLIENT_START + 1);
		break;
	default:
		fill_tcp(state, TCP_PSH | TCP_ACK, PAYLOAD, *sequence, BACKEND_START + 1);
		break;
	}
	if (kind != TRAFFIC_NEW_FLOW) {
		state->first = place_of(traffic, kind, traffic->group_first[group]);
		state->count = traffic->group_size[group];
		state->position = *position;
		state->resized = kind == TRAFFIC_NO_FLOW;
	}
	r = wrapper_run(traffic->wrapper, target, packets, ns, verdict);
	*position = state->position;
	*sequence = state->sequence;
	return r;
}
