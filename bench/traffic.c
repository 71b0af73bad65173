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

#define HEADERS 54 /* Ethernet, IPv4, TCP; IPv6 frames have the same payload */
#define PAYLOAD (BENCH_FRAME - HEADERS)

/* Flows that are opened at once: all of them are half open for a while and stand in the ring. */
#define OPEN_AT_ONCE 16384

#define FOREIGN_ADDRESS "192.168.178.9"

/* Kinds of traffic with a table of tuples of their own: those before this one. */
#define TABLES TRAFFIC_YARDSTICK

/* What the frames of a kind are like; those that say nothing are segments from clients, in IPv4. */
static const struct form {
	enum traffic_kind tuples; /* whose tuples it takes */
	bool ipv6;
	bool udp;
	bool reply;
	bool fresh;
	enum bench_resized resized;
} forms[TRAFFIC_KINDS] = {
	[TRAFFIC_TCP_TO_BACKEND] = { .tuples = TRAFFIC_TCP_TO_BACKEND },
	[TRAFFIC_TCP_TO_CLIENT] = { .tuples = TRAFFIC_TCP_TO_CLIENT, .reply = true },
	[TRAFFIC_UDP_TO_BACKEND] = { .tuples = TRAFFIC_UDP_TO_BACKEND, .udp = true },
	[TRAFFIC_UDP_TO_CLIENT] = { .tuples = TRAFFIC_UDP_TO_CLIENT, .udp = true },
	[TRAFFIC_NOT_OURS] = { .tuples = TRAFFIC_NOT_OURS },
	[TRAFFIC_NO_FLOW] = { .tuples = TRAFFIC_NO_FLOW, .resized = BENCH_RESIZED_TAIL },
	[TRAFFIC_TCP6_TO_CLIENT] = { .tuples = TRAFFIC_TCP6_TO_CLIENT,
				     .ipv6 = true,
				     .reply = true },
	[TRAFFIC_DSR] = { .tuples = TRAFFIC_DSR },
	[TRAFFIC_IPIP] = { .tuples = TRAFFIC_IPIP, .resized = BENCH_RESIZED_HEAD },
	[TRAFFIC_YARDSTICK] = { .tuples = TRAFFIC_TCP_TO_BACKEND },
	[TRAFFIC_YARDSTICK6] = { .tuples = TRAFFIC_TCP_TO_BACKEND, .ipv6 = true },
	[TRAFFIC_TCP6_TO_BACKEND] = { .tuples = TRAFFIC_TCP_TO_BACKEND, .ipv6 = true },
	[TRAFFIC_NOT_OURS6] = { .tuples = TRAFFIC_NOT_OURS, .ipv6 = true },
	[TRAFFIC_DSR6] = { .tuples = TRAFFIC_DSR, .ipv6 = true },
	[TRAFFIC_IPIP6] = { .tuples = TRAFFIC_IPIP, .ipv6 = true, .resized = BENCH_RESIZED_HEAD },
	[TRAFFIC_NEW_FLOW] = { .fresh = true },
	[TRAFFIC_NEW_FLOW6] = { .ipv6 = true, .fresh = true },
};

bool traffic_is_ipv6(enum traffic_kind kind)
{
	return forms[kind].ipv6;
}

bool traffic_is_udp(enum traffic_kind kind)
{
	return forms[kind].udp;
}

bool traffic_is_fresh(enum traffic_kind kind)
{
	return forms[kind].fresh;
}

/* Frames of IPv6, those that are resized, and those of new flows take the wrapper longer. */
enum traffic_kind traffic_wrapper(enum traffic_kind kind)
{
	if (forms[kind].resized || forms[kind].fresh)
		return kind;
	return forms[kind].ipv6 ? TRAFFIC_YARDSTICK6 : TRAFFIC_YARDSTICK;
}

static uint32_t place_of(const struct traffic *traffic, enum traffic_kind kind, uint32_t flow)
{
	return (uint32_t)forms[kind].tuples * traffic->flows + flow;
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

static struct bench_tuple client_to(uint32_t index, uint16_t port)
{
	struct bench_tuple tuple = traffic_client(index);

	tuple.destination_port = htons(port);
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
		tuples[place_of(traffic, TRAFFIC_DSR, i)] = client_to(i, BALANCER_PORT_DSR);
		tuples[place_of(traffic, TRAFFIC_IPIP, i)] = client_to(i, BALANCER_PORT_IPIP);
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
		for (int kind = 0; kind < TRAFFIC_KINDS; kind++)
			traffic->sequence[kind][i] = (forms[kind].reply ? BACKEND_START :
									  CLIENT_START) +
						     1;
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

	*state = (struct bench_state){ .fresh = state->fresh, .length = BENCH_FRAME };
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

static void fill_tcp6(struct bench_state *state, uint8_t flags, uint16_t payload, uint32_t sequence,
		      uint32_t acknowledgement)
{
	uint8_t *frame = state->frame;

	fill_tcp(state, flags, payload, sequence, acknowledgement);
	memmove(frame + BENCH_PORTS6_AT, frame + BENCH_PORTS_AT, BENCH_FRAME - BENCH_PORTS_AT);
	state->length = BENCH_FRAME6;
	put16(frame, 12, 0x86dd);
	put32(frame, 14, 6u << 28);
	put16(frame, 18, (uint16_t)(20 + payload));
	frame[20] = IPPROTO_TCP;
	frame[21] = 64; /* hop limit */
	inet_pton(AF_INET6, WORLD_PREFIX6, frame + BENCH_SOURCE6_AT);
	inet_pton(AF_INET6, WORLD_PREFIX6, frame + BENCH_DESTINATION6_AT);
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

static bool waits_for_reply(const struct weir_flow *flow, bool udp)
{
	return flow->control.state == WEIR_FLOW_HALF_OPEN &&
	       !(flow->control.flags & WEIR_FLOW_REPLIED) &&
	       !(flow->control.flags & WEIR_FLOW_UDP) == !udp;
}

/* The tuple of the replies to flow @i of @family, if it waits for one. */
static bool find_reply(const struct datapath_tables *tables, enum weir_family family, uint32_t i,
		       bool udp, struct bench_tuple *ret)
{
	const struct weir_flow4 *flow4 = &tables->flows4[i];
	const struct weir_flow6 *flow6 = &tables->flows6[i];
	const struct weir_flow *flow = family == WEIR_IPV6 ? &flow6->flow : &flow4->flow;

	if (!waits_for_reply(flow, udp))
		return false;
	ret->source = family == WEIR_IPV6 ? flow6->backend.source.word[3] : flow4->backend.source;
	ret->destination = family == WEIR_IPV6 ? flow6->backend.destination.word[3] :
						 flow4->backend.destination;
	ret->source_port = flow->backend_ports.source;
	ret->destination_port = flow->backend_ports.destination;
	return true;
}

/* Notes the tuples of the replies, of @kind, to @count flows that wait for one. */
static int find_replies(struct traffic *traffic, enum traffic_kind kind, uint32_t first,
			uint32_t count, const struct datapath *datapath)
{
	enum weir_family family = kind == TRAFFIC_TCP6_TO_CLIENT ? WEIR_IPV6 : WEIR_IPV4;
	struct bench_tuple *tuples = wrapper_tuples(traffic->wrapper);
	const struct datapath_tables *tables = datapath_tables(datapath);
	uint32_t found = 0;

	for (uint32_t i = 0; i < tables->records[family] && found < count; i++)
		found += find_reply(tables, family, i, kind == TRAFFIC_UDP_TO_CLIENT,
				    &tuples[place_of(traffic, kind, first + found)]);
	return found == count ? 0 : -ENOENT;
}

typedef void (*fill_fn)(struct bench_state *state, uint8_t flags, uint16_t payload,
			uint32_t sequence, uint32_t acknowledgement);

/* Three ways of shaking hands, for flows [first, first + count) of nat. */
static int shake_hands(struct traffic *traffic, fill_fn fill, enum traffic_kind to_backend,
		       enum traffic_kind to_client, uint32_t first, uint32_t count,
		       const struct datapath *datapath)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);
	int r;

	fill(state, TCP_SYN, 0, CLIENT_START, 0);
	r = send_each(traffic, to_backend, first, count);
	if (!r)
		r = find_replies(traffic, to_client, first, count, datapath);
	if (r)
		return r;
	fill(state, TCP_SYN | TCP_ACK, 0, BACKEND_START, CLIENT_START + 1);
	r = send_each(traffic, to_client, first, count);
	if (r)
		return r;
	fill(state, TCP_ACK, 0, CLIENT_START + 1, BACKEND_START + 1);
	return send_each(traffic, to_backend, first, count);
}

static int open_tcp(struct traffic *traffic, uint32_t first, uint32_t count,
		    const struct datapath *datapath)
{
	return shake_hands(traffic, fill_tcp, TRAFFIC_TCP_TO_BACKEND, TRAFFIC_TCP_TO_CLIENT, first,
			   count, datapath);
}

static int open_tcp6(struct traffic *traffic, uint32_t first, uint32_t count,
		     const struct datapath *datapath)
{
	return shake_hands(traffic, fill_tcp6, TRAFFIC_TCP6_TO_BACKEND, TRAFFIC_TCP6_TO_CLIENT,
			   first, count, datapath);
}

/* Sessions of dsr and ipip: weir sees the client's side alone. */
static int open_session(struct traffic *traffic, enum traffic_kind kind, uint32_t first,
			uint32_t count)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);
	fill_fn fill = forms[kind].ipv6 ? fill_tcp6 : fill_tcp;

	fill(state, TCP_SYN, 0, CLIENT_START, 0);
	state->resized = forms[kind].resized;
	return send_each(traffic, kind, first, count);
}

static int open_direct(struct traffic *traffic, uint32_t first, uint32_t count,
		       const struct datapath *datapath)
{
	int r = open_session(traffic, TRAFFIC_DSR, first, count);

	(void)datapath;
	return r ? r : open_session(traffic, TRAFFIC_IPIP, first, count);
}

static int open_direct6(struct traffic *traffic, uint32_t first, uint32_t count,
			const struct datapath *datapath)
{
	int r = open_session(traffic, TRAFFIC_DSR6, first, count);

	(void)datapath;
	return r ? r : open_session(traffic, TRAFFIC_IPIP6, first, count);
}

static int open_udp(struct traffic *traffic, uint32_t first, uint32_t count,
		    const struct datapath *datapath)
{
	int r;

	fill_udp(wrapper_state(traffic->wrapper));
	r = send_each(traffic, TRAFFIC_UDP_TO_BACKEND, first, count);
	if (!r)
		r = find_replies(traffic, TRAFFIC_UDP_TO_CLIENT, first, count, datapath);
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

int traffic_open_flows(struct traffic *traffic, const struct datapath *datapath,
		       const bool families[WEIR_FAMILIES], bool udp, struct error *error)
{
	/* UDP last: these stay in the ring until they are promoted. */
	const struct {
		open_fn open;
		bool wanted;
	} steps[] = {
		{ open_tcp, families[WEIR_IPV4] },
		{ open_direct, families[WEIR_IPV4] },
		{ open_tcp6, families[WEIR_IPV6] },
		{ open_direct6, families[WEIR_IPV6] },
		{ open_udp, udp },
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !r; i++)
		if (steps[i].wanted)
			r = open_all(traffic, steps[i].open, datapath);
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

/* The frame of the next segment or datagram of @kind, but for its tuple. */
static void fill_kind(struct bench_state *state, enum traffic_kind kind, uint32_t sequence)
{
	const struct form *form = &forms[kind];
	fill_fn fill = form->ipv6 ? fill_tcp6 : fill_tcp;

	if (form->udp)
		fill_udp(state);
	else if (form->fresh)
		fill(state, TCP_SYN, 0, CLIENT_START, 0);
	else
		fill(state, TCP_PSH | TCP_ACK, PAYLOAD, sequence,
		     (form->reply ? CLIENT_START : BACKEND_START) + 1);
	state->fresh_tuples = form->fresh;
	state->resized = form->resized;
}

int traffic_run(struct traffic *traffic, enum traffic_kind kind, uint32_t group,
		enum bench_target target, uint32_t packets, double *ns, uint32_t *verdict)
{
	struct bench_state *state = wrapper_state(traffic->wrapper);
	uint32_t *position = &traffic->position[kind][group];
	uint32_t *sequence = &traffic->sequence[kind][group];
	int r;

	fill_kind(state, kind, *sequence);
	if (!forms[kind].fresh) {
		state->first = place_of(traffic, kind, traffic->group_first[group]);
		state->count = traffic->group_size[group];
		state->position = *position;
	}
	r = wrapper_run(traffic->wrapper, target, packets, ns, verdict);
	*position = state->position;
	*sequence = state->sequence;
	return r;
}
