// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>

#include "src/base/cleanup.h"

#include "tests/packet/talk.h"

/* New flows that cannot be: what was taken is given back, and the sender is told. */

enum { DESTINATION_UNREACHABLE = 3, PORT_UNREACHABLE = 3, TIME_EXCEEDED = 11 };

static void refused(struct world *world, const struct segment *syn, enum weir_reason reason)
{
	struct segment out = tcp_segment(syn->destination, syn->destination_port, syn->source,
					 syn->source_port, RST | ACK);
	struct frame frame_in = frame_of(syn), frame_out;

	out.to = syn->from;
	out.from = syn->to;
	out.id = out.window = 0;
	out.acknowledgement = syn->sequence + 1;
	frame_out = frame_of(&out);
	world_send(world, &frame_in, reason, XDP_TX, &frame_out);
}

static void unreachable(struct world *world, const struct segment *datagram,
			enum weir_reason reason)
{
	struct frame in = frame_of(datagram);
	struct frame out = icmp_error(datagram->from, datagram->to, datagram->destination,
				      datagram->source, DESTINATION_UNREACHABLE, PORT_UNREACHABLE,
				      &in);

	world_send(world, &in, reason, XDP_TX, &out);
}

static void dropped(struct world *world, const struct segment *segment, enum weir_reason reason)
{
	struct frame frame = frame_of(segment);

	world_send(world, &frame, reason, XDP_DROP, NULL);
}

static void open_many(struct world *world, struct talk *talks, int count, uint16_t first_port)
{
	for (int i = 0; i < count; i++) {
		talks[i] = talk_tcp(world, CLIENT, (uint16_t)(first_port + i));
		talk_open(&talks[i]);
	}
}

static void flows_full(void **state)
{
	struct world *world = world_open(5, 64);
	struct talk talks[4], more = talk_tcp(world, CLIENT, 50000);
	struct segment syn = client_segment(&more, SYN, 0);
	struct segment datagram = udp_datagram(CLIENT, 50000, WEIR, 53, 5);

	world->tables->runtime->flows_limit[frame_family()] = 4;
	open_many(world, talks, 4, 40000);
	for (int i = 0; i < 3; i++)
		refused(world, &syn, WEIR_REASON_FLOWS_FULL);
	unreachable(world, &datagram, WEIR_REASON_FLOWS_FULL);
	world->tables->runtime->reset_rate = 0;
	dropped(world, &syn, WEIR_REASON_FLOWS_FULL_SILENT);
	service_of(world, DNS)->flags = WEIR_SERVICE_SILENT;
	dropped(world, &datagram, WEIR_REASON_FLOWS_FULL_SILENT);
	talk_backend(&talks[0], SYN | ACK, 0); /* known flows go on */
	talk_client(&talks[0], ACK, 0);
	assert_flows(world, 3, 1, 0);
	world->tables->runtime->flows_limit[frame_family()] = 5;
	talk_open(&more);
	assert_flows(world, 4, 1, 0);
	world_close(world);
}

static void snat_exhausted(void **state)
{
	struct world *world = *state;
	struct talk talks[4], more = talk_tcp(world, CLIENT, 50000);
	struct segment syn = client_segment(&more, SYN, 0);
	const uint32_t addresses[] = { WEIR, IP4(192, 168, 178, 110) };

	world_snat_ports(world, 2000, 2001); /* two for each backend */
	open_many(world, talks, 4, 40000);
	for (int i = 0; i < 4; i++)
		assert_in_range(talks[i].snat_port, 2000, 2001);
	refused(world, &syn, WEIR_REASON_SNAT_EXHAUSTED);
	world->tables->runtime->reset_rate = 0;
	dropped(world, &syn, WEIR_REASON_SNAT_EXHAUSTED_SILENT);
	service_of(world, WEB)->flags = WEIR_SERVICE_SILENT;
	dropped(world, &syn, WEIR_REASON_SNAT_EXHAUSTED_SILENT);
	assert_flows(world, 4, 0, 0);
	world_read_counters(world);
	assert_true(world->counters.snat_probes >= 3 * 100);
	world_snat_addresses(world, addresses, 2);
	talk_open(&more);
	assert_int_equal(more.snat, addresses[1]);
	assert_flows(world, 5, 0, 0);
}

static void snat_exhausted_udp(void **state)
{
	struct world *world = *state;
	struct talk talks[2] = { talk_udp(world, CLIENT, 1), talk_udp(world, CLIENT, 2) };
	struct segment datagram = udp_datagram(CLIENT, 3, WEIR, 53, 5);
	struct talk tcp = talk_tcp(world, CLIENT, 3);

	world_snat_ports(world, 2000, 2000);
	talk_open(&talks[0]);
	talk_open(&talks[1]);
	unreachable(world, &datagram, WEIR_REASON_SNAT_EXHAUSTED);
	talk_open(&tcp); /* TCP has ports of its own */
	assert_flows(world, 3, 0, 0);
}

static void no_port_allowed_at_all(void **state)
{
	struct talk talk = talk_tcp(*state, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);
	struct world *world = *state;

	world->tables->snat_ports[0].count = 0;
	world->tables->snat_ports[0].allowed[40000 / 64] = 0;
	refused(world, &syn, WEIR_REASON_SNAT_EXHAUSTED);
	assert_flows(world, 0, 0, 0);
}

static void set_valid(struct world *world, uint32_t hop, bool valid)
{
	world->tables->hops[hop].destination.flags = valid ? WEIR_HOP_VALID : 0;
}

static void no_next_hop_new(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct segment syn = client_segment(&talk, SYN, 0);
	struct segment fin;
	uint16_t hop = world->tables->backends[1].hop;

	set_valid(world, hop, false);
	dropped(world, &syn, WEIR_REASON_NO_NEXT_HOP);
	world->unsent++;
	assert_flows(world, 1, 0, 0);
	set_valid(world, hop, true);
	/* The flow waits for the SYN to come again. */
	talk.backend_id = talk_flow(&talk)->backend_id;
	assert_int_equal(talk.backend_id, 1);
	talk.backend = BACKEND_1;
	talk.backend_port = 8000;
	talk.snat = WEIR;
	talk.snat_port = ntohs(talk_flow(&talk)->backend_ports.destination);
	talk_client_with(&talk, &syn);
	talk.client_next++;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 0);
	assert_state(&talk, ESTABLISHED);

	set_valid(world, hop, false);
	fin = client_segment(&talk, ACK, 10);
	dropped(world, &fin, WEIR_REASON_NO_NEXT_HOP);
	set_valid(world, hop, true);
	talk_client(&talk, ACK, 10);
}

static void no_next_hop_to_client(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000), lost = talk_tcp(world, CLIENT, 40001);
	struct segment reply;

	talk_open(&talk);
	set_valid(world, HOP_GATEWAY, false);
	reply = backend_segment(&talk, SYN | ACK, 0);
	dropped(world, &reply, WEIR_REASON_NO_NEXT_HOP);
	set_valid(world, HOP_GATEWAY, true);
	talk_backend(&talk, SYN | ACK, 0);

	/* Neither gateway nor the link itself is known: the flow has no way back. */
	world_gateway(world, GATEWAY, "weir0", 0);
	world_gateway(world, 0, "weir0", 0);
	talk_open(&lost);
	reply = backend_segment(&lost, SYN | ACK, 0);
	dropped(world, &reply, WEIR_REASON_NO_NEXT_HOP);
}

static void expired(struct world *world, struct segment segment)
{
	struct frame in, out;

	segment.ttl = 1;
	in = frame_of(&segment);
	out = icmp_error(segment.from, segment.to, segment.destination, segment.source,
			 TIME_EXCEEDED, 0, &in);
	world_send(world, &in, WEIR_REASON_TTL_EXCEEDED, XDP_TX, &out);
}

/* TTL 1 on a known flow, from either side: told to the sender, and the flow is as before. */
static void ttl_of_a_known_flow(void **state)
{
	struct talk tcp = talk_tcp(*state, CLIENT, 40000), udp = talk_udp(*state, CLIENT, 40000);
	struct segment odd;

	talk_establish(&tcp);
	talk_open(&udp);
	expired(*state, client_segment(&tcp, RST | ACK, 0));
	expired(*state, backend_segment(&tcp, RST | ACK, 0));
	expired(*state, client_segment(&udp, 0, 100));
	expired(*state, backend_segment(&udp, 0, 100));
	odd = backend_segment(&tcp, ACK, 33);
	odd.options_length = 24;
	expired(*state, odd);
	assert_false(talk_flow(&udp)->control.flags & WEIR_FLOW_REPLIED);
	assert_flows(*state, 1, 1, 0);
}

/* What a packet of a known flow finds is counted for its backend. */
static void traffic_is_counted(void **state)
{
	struct world *world = *state;
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	size_t headers = ETHERNET_LENGTH + frame_ip_length() + 20;
	struct weir_traffic traffic;

	talk_establish(&talk);                /* two headers in, one out */
	talk_client(&talk, ACK | PSH, 1000);  /* in */
	talk_backend(&talk, ACK | PSH, 1);    /* out */
	talk_backend(&talk, ACK | PSH, 1460); /* out */
	assert_int_equal(datapath_read_traffic(world->datapath, talk.backend_id, &traffic), 0);
	assert_int_equal(traffic.in_packets, 3);
	assert_int_equal(traffic.in_bytes, 3 * headers + 1000);
	assert_int_equal(traffic.out_packets, 3);
	assert_int_equal(traffic.out_bytes, 3 * headers + 1 + 1460);
	assert_int_equal(world->tables->loads[talk.backend_id].total, 1);
}

/* Addresses that no host can send from, and the service's own: no flow, no answer. */
static void strange_sources(void **state)
{
	const uint32_t sources[] = {
		IP4(0, 0, 0, 0),   IP4(0, 1, 2, 3),   IP4(127, 0, 0, 1),       IP4(224, 0, 0, 1),
		IP4(239, 1, 2, 3), IP4(240, 0, 0, 1), IP4(255, 255, 255, 255), WEIR,
	};

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct segment segment = tcp_segment(sources[i], 40000, WEIR, 8000, SYN);
		struct frame frame = frame_of(&segment);

		world_send(*state, &frame, WEIR_REASON_BAD_SOURCE, XDP_DROP, NULL);
		segment = udp_datagram(sources[i], 40000, WEIR, 53, 20);
		frame = frame_of(&segment);
		world_send(*state, &frame, WEIR_REASON_BAD_SOURCE, XDP_DROP, NULL);
		segment = udp_datagram(sources[i], 40000, WEIR, 8001, 20); /* without backend */
		frame = frame_of(&segment);
		world_send(*state, &frame, WEIR_REASON_BAD_SOURCE, XDP_DROP, NULL);
	}
	assert_flows(*state, 0, 0, 0);
}

/* Their neighbours are hosts. */
static void sources_at_the_edge(void **state)
{
	const uint32_t sources[] = { IP4(1, 0, 0, 0), IP4(126, 255, 255, 255), IP4(128, 0, 0, 0),
				     IP4(223, 255, 255, 255) };

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct segment segment = tcp_segment(sources[i], 40000, WEIR, 8000, SYN);
		struct frame frame = frame_of(&segment);

		assert_int_equal(world_run(*state, &frame).reason, WEIR_REASON_NEW_FLOW);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_full),    world_test(snat_exhausted),
		world_test(snat_exhausted_udp),  world_test(no_port_allowed_at_all),
		world_test(no_next_hop_new),     world_test(no_next_hop_to_client),
		world_test(ttl_of_a_known_flow), world_test(traffic_is_counted),
		world_test(strange_sources),     world_test(sources_at_the_edge),
	};

	return packet_tests(tests);
}
