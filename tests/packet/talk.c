// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/talk.h"

#include <arpa/inet.h>

/* Both wrap soon: 32-bit sequence numbers and their sign. */
#define CLIENT_START 0xfffffff0u
#define BACKEND_START 0x7ffffff8u

static struct mac hop_of_client(uint32_t client)
{
	if (client >> 16 == CLIENT >> 16)
		return mac_of(GATEWAY);
	return mac_of(client >> 16 == FAR_CLIENT >> 16 ? FAR_GATEWAY : client);
}

struct talk talk_tcp(struct world *world, uint32_t client, uint16_t client_port)
{
	return (struct talk){
		.world = world,
		.protocol = PROTOCOL_TCP,
		.client = client,
		.client_port = client_port,
		.client_hop = hop_of_client(client),
		.sends = XDP_TX,
		.service = WEIR,
		.service_port = 8000,
		.client_next = CLIENT_START,
		.backend_next = BACKEND_START,
	};
}

struct talk talk_udp(struct world *world, uint32_t client, uint16_t client_port)
{
	struct talk talk = talk_tcp(world, client, client_port);

	talk.protocol = PROTOCOL_UDP;
	talk.service_port = 53;
	return talk;
}

struct segment client_segment(const struct talk *talk, uint8_t flags, size_t payload)
{
	struct segment segment = tcp_segment(talk->client, talk->client_port, talk->service,
					     talk->service_port, flags);

	segment.protocol = talk->protocol;
	segment.tags = talk->tags;
	segment.payload = payload;
	segment.sequence = talk->client_next;
	if (flags & ACK)
		segment.acknowledgement = talk->backend_next;
	return segment;
}

struct segment backend_segment(const struct talk *talk, uint8_t flags, size_t payload)
{
	struct segment segment = tcp_segment(talk->backend, talk->backend_port, talk->snat,
					     talk->snat_port, flags);

	segment.protocol = talk->protocol;
	segment.tags = talk->tags;
	segment.payload = payload;
	segment.sequence = talk->backend_next;
	if (flags & ACK)
		segment.acknowledgement = talk->client_next;
	return segment;
}

struct segment to_backend(const struct talk *talk, const struct segment *in)
{
	struct segment out = *in;

	out.to = mac_of(talk->backend);
	out.from = mac_of(WEIR);
	out.source = talk->snat;
	out.source_port = talk->snat_port;
	out.destination = talk->backend;
	out.destination_port = talk->backend_port;
	out.ttl--;
	return out;
}

struct segment to_client(const struct talk *talk, const struct segment *in)
{
	struct segment out = *in;

	out.to = talk->client_hop;
	out.from = mac_of(WEIR);
	out.source = talk->service;
	out.source_port = talk->service_port;
	out.destination = talk->client;
	out.destination_port = talk->client_port;
	out.ttl--;
	return out;
}

bool talk_has_flow(const struct talk *talk)
{
	struct segment segment = client_segment(talk, 0, 0);

	return flow_of(talk->world, &segment) != NULL;
}

const struct weir_flow *talk_flow(const struct talk *talk)
{
	struct segment segment = client_segment(talk, 0, 0);
	const struct weir_flow *flow = flow_of(talk->world, &segment);

	assert_non_null(flow);
	return flow;
}

static void forwarded(struct talk *talk, const struct segment *in, const struct segment *out,
		      enum weir_reason reason)
{
	struct frame frame_in = frame_of(in), frame_out = frame_of(out);

	world_send(talk->world, &frame_in, reason, talk->sends, &frame_out);
}

void talk_open_with(struct talk *talk, const struct segment *in)
{
	struct frame frame_in = frame_of(in), frame_out;
	struct outcome outcome = world_run(talk->world, &frame_in);
	const struct weir_flow *flow;
	const struct weir_backend *backend;
	struct segment out;

	assert_int_equal(outcome.reason, WEIR_REASON_NEW_FLOW);
	assert_int_equal(outcome.verdict, talk->sends);
	flow = talk_flow(talk);
	assert_int_equal(flow->control.state, WEIR_FLOW_HALF_OPEN);
	backend = &talk->world->tables->backends[flow->backend_id];
	talk->backend_id = flow->backend_id;
	talk->backend = ntohl(backend->address.word[3]);
	talk->backend_port = backend->port ? ntohs(backend->port) : talk->service_port;
	talk->snat = flow_snat(talk->world, flow);
	talk->snat_port = ntohs(flow->backend_ports.destination);
	out = to_backend(talk, in);
	frame_out = frame_of(&out);
	assert_int_equal(outcome.frame.length, frame_out.length);
	assert_memory_equal(outcome.frame.bytes, frame_out.bytes, frame_out.length);
}

void talk_client_with(struct talk *talk, const struct segment *in)
{
	struct segment out = to_backend(talk, in);

	forwarded(talk, in, &out, WEIR_REASON_TO_BACKEND);
}

void talk_backend_with(struct talk *talk, const struct segment *in)
{
	struct segment out = to_client(talk, in);

	forwarded(talk, in, &out, WEIR_REASON_TO_CLIENT);
}

static uint32_t sequence_length(uint8_t flags, size_t payload)
{
	return (uint32_t)payload + !!(flags & SYN) + !!(flags & FIN);
}

void talk_open(struct talk *talk)
{
	struct segment in = client_segment(talk, SYN, 0);

	talk_open_with(talk, &in);
	talk->client_next++;
}

void talk_client(struct talk *talk, uint8_t flags, size_t payload)
{
	struct segment in = client_segment(talk, flags, payload);

	talk_client_with(talk, &in);
	talk->client_next += sequence_length(flags, payload);
}

void talk_backend(struct talk *talk, uint8_t flags, size_t payload)
{
	struct segment in = backend_segment(talk, flags, payload);

	talk_backend_with(talk, &in);
	talk->backend_next += sequence_length(flags, payload);
}

void talk_establish(struct talk *talk)
{
	talk_open(talk);
	talk_backend(talk, SYN | ACK, 0);
	talk_client(talk, ACK, 0);
	assert_state(talk, ESTABLISHED);
}

void talk_client_in_vain(struct talk *talk, const struct segment *in)
{
	uint64_t before = talk_flow(talk)->control.word;

	talk_client_with(talk, in);
	assert_true(talk_flow(talk)->control.word == before);
}

void talk_backend_in_vain(struct talk *talk, const struct segment *in)
{
	uint64_t before = talk_flow(talk)->control.word;

	talk_backend_with(talk, in);
	assert_true(talk_flow(talk)->control.word == before);
}
