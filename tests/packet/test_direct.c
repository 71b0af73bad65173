// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "abi/hash.h"

#include "src/base/cleanup.h"

#include "tests/packet/direct.h"

/* Modes dsr and ipip: each frame that leaves is compared whole with one built by other code. */

enum { TIME_EXCEEDED = 11, PORT = DIRECT_PORT };

#define MTU 1500
#define THIRD IP4(192, 168, 178, 13)

static struct segment syn_from(uint16_t port)
{
	return tcp_segment(CLIENT, port, WEIR, PORT, SYN);
}

static struct segment next_of(const struct segment *syn, uint8_t flags, size_t payload)
{
	struct segment next = *syn;

	next.flags = flags;
	next.payload = payload;
	next.sequence++;
	next.acknowledgement = 77;
	return next;
}

/* Makes all sessions look as if their last packet had come that much earlier. */
static void age(struct world *world, uint32_t jiffies)
{
	_cleanup_close_ int map = world_map(world, "sessions");
	struct weir_session_bucket bucket;

	for (uint32_t i = 0; !bpf_map_lookup_elem(map, &i, &bucket); i++) {
		for (uint32_t k = 0; k < WEIR_SESSION_PLACES; k++)
			bucket.sessions[k].last_seen -= jiffies;
		assert_int_equal(bpf_map_update_elem(map, &i, &bucket, BPF_ANY), 0);
	}
}

/* The backend that the hash of the tuple names, in the slots of the service. */
static uint32_t by_hash(struct world *world, const struct segment *segment)
{
	const struct weir_tuple tuple = tuple_of(segment);
	const union weir_range range = service_of(world, DIRECT)->slots;
	uint32_t place = weir_hash_scale(weir_hash_tuple(&tuple), range.length);
	uint32_t id = world->tables->slots[range.offset + place].backend;

	return ntohl(world->tables->backends[id].address.word[3]);
}

static uint32_t other(uint32_t backend)
{
	return backend == BACKEND_1 ? BACKEND_2 : BACKEND_1;
}

static struct weir_backend *backend_at(struct world *world, uint32_t service, uint32_t address)
{
	for (uint32_t id = 1; id < world->backends; id++)
		if (world->tables->backends[id].service == service &&
		    world->tables->backends[id].address.word[3] == htonl(address))
			return &world->tables->backends[id];
	fail();
	return NULL;
}

static uint64_t total(struct world *world, uint32_t address)
{
	return world->tables->loads[backend_at(world, DIRECT, address) - world->tables->backends]
		.total;
}

/* rr: SYNs in turn, each flow stays where it is, with options and payload of any kind. */
static void one_flow(struct world *world)
{
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK | PSH, 900);
	struct segment fin = next_of(&syn, FIN | ACK, 0);
	uint64_t before = total(world, BACKEND_1);
	struct weir_traffic traffic;

	syn.tos = 0xb9;
	syn.options_length = 8;
	memset(syn.options, 1, 8);
	syn.padding = 3;
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &syn, WEIR_REASON_TO_BACKEND, BACKEND_1); /* sent again */
	data.ttl = 2;
	data.id = 4711;
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	send_to(world, &syn, WEIR_REASON_TO_BACKEND, BACKEND_1); /* changes nothing: RFC 5961 */
	send_to(world, &fin, WEIR_REASON_TO_BACKEND, BACKEND_1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	assert_int_equal(total(world, BACKEND_1), before + 1);
	assert_int_equal(datapath_read_traffic(world->datapath,
					       (uint32_t)(backend_at(world, DIRECT, BACKEND_1) -
							  world->tables->backends),
					       &traffic),
			 0);
	assert_int_equal(traffic.in_packets, 6);
	assert_int_equal(traffic.out_packets, 0);
	age(world, service_of(world, DIRECT)->timeouts.tcp + 1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	/* Closed by the client: its next SYN is a new connection. */
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_2);
	assert_flows(world, 0, 0, 0);
}

static void dsr_one_flow(void **state)
{
	direct_serve(*state, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	one_flow(*state);
}

static void ipip_one_flow(void **state)
{
	direct_serve(*state, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	one_flow(*state);
}

static void datagrams(struct world *world)
{
	struct segment in = udp_datagram(CLIENT, 40000, WEIR, PORT, 100);

	send_to(world, &in, WEIR_REASON_NEW_FLOW, BACKEND_1);
	in.no_checksum = true;
	send_to(world, &in, WEIR_REASON_TO_BACKEND, BACKEND_1);
	in.source_port = 40001;
	send_to(world, &in, WEIR_REASON_NEW_FLOW, BACKEND_2);
	in.payload = 0;
	send_to(world, &in, WEIR_REASON_TO_BACKEND, BACKEND_2);
	/* Silence ends it. */
	age(world, service_of(world, DATAGRAMS)->timeouts.udp_established - 1000);
	send_to(world, &in, WEIR_REASON_TO_BACKEND, BACKEND_2);
	age(world, service_of(world, DATAGRAMS)->timeouts.udp_established + 1);
	send_to(world, &in, WEIR_REASON_NEW_FLOW, BACKEND_1);
}

static void dsr_udp(void **state)
{
	direct_serve(*state, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	datagrams(*state);
}

static void ipip_udp(void **state)
{
	direct_serve(*state, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	datagrams(*state);
}

/* Another node's flow: the hash decides, whatever the scheduler, and its session is made. */
static void without_session(struct world *world)
{
	for (uint16_t port = 50000; port < 50016; port++) {
		struct segment syn = syn_from(port), data = next_of(&syn, ACK, 10);
		struct segment reset = next_of(&syn, RST, 0);
		uint32_t backend = by_hash(world, &data);

		send_to(world, &reset, WEIR_REASON_HASHED, backend);
		send_to(world, &data, WEIR_REASON_HASHED, backend);
		send_to(world, &data, WEIR_REASON_TO_BACKEND, backend);
		/* A SYN cannot move it. */
		send_to(world, &syn, WEIR_REASON_TO_BACKEND, backend);
	}
	assert_int_equal(total(world, BACKEND_1) + total(world, BACKEND_2), 0);
}

static void dsr_without_session(void **state)
{
	direct_serve(*state, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	without_session(*state);
}

static void ipip_without_session(void **state)
{
	direct_serve(*state, WEIR_MODE_IPIP, WEIR_SCHEDULER_HASH);
	without_session(*state);
}

/* With scheduler hash, a node without state sends a flow where the first one did. */
static void two_nodes_agree(void **state)
{
	struct world *first = *state, *second = world_open(1024, 64);

	direct_serve(first, WEIR_MODE_DSR, WEIR_SCHEDULER_HASH);
	direct_serve(second, WEIR_MODE_DSR, WEIR_SCHEDULER_HASH);
	for (uint16_t port = 50000; port < 50016; port++) {
		struct segment syn = syn_from(port), data = next_of(&syn, ACK, 10);

		send_to(first, &syn, WEIR_REASON_NEW_FLOW, by_hash(first, &syn));
		send_to(second, &data, WEIR_REASON_HASHED, by_hash(first, &syn));
	}
	world_close(second);
}

/* A backend in no slot keeps its sessions, but a SYN that it never answered goes elsewhere. */
static void a_backend_that_drains(void **state)
{
	struct world *world = *state;
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK, 10);
	struct segment fresh = syn_from(40002);

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	fresh.source_port = 40001;
	send_to(world, &fresh, WEIR_REASON_NEW_FLOW, BACKEND_2);
	fresh.source_port = 40002;
	send_to(world, &fresh, WEIR_REASON_NEW_FLOW, BACKEND_1);
	backend_at(world, DIRECT, BACKEND_1)->use = WEIR_BACKEND_NO_NEW;
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	send_to(world, &syn, WEIR_REASON_TO_BACKEND, BACKEND_1);
	send_to(world, &fresh, WEIR_REASON_NEW_FLOW, BACKEND_2);
}

/* Set down, another address under its id, or another service's: its sessions hold no longer. */
static void a_backend_that_has_gone(void **state)
{
	struct world *world = *state;
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK, 10);
	struct weir_backend *backend;
	uint32_t home;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	home = by_hash(world, &data);
	if (home == BACKEND_1) { /* so that the session is not where the hash points */
		struct segment first = syn_from(39999);

		send_to(world, &first, WEIR_REASON_NEW_FLOW, BACKEND_1);
	}
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, other(home));
	send_to(world, &data, WEIR_REASON_TO_BACKEND, other(home));
	backend = backend_at(world, DIRECT, other(home));
	backend->use = WEIR_BACKEND_CUT;
	send_to(world, &data, WEIR_REASON_HASHED, home);
	backend->use = WEIR_BACKEND_OPEN;
	send_to(world, &data, WEIR_REASON_TO_BACKEND, home);

	backend = backend_at(world, DIRECT, home);
	backend->address = mapped(THIRD);
	send_to(world, &data, WEIR_REASON_HASHED, home); /* the hop is still the same */
	backend->address = mapped(home);
	send_to(world, &data, WEIR_REASON_HASHED, home);
	backend->service = DATAGRAMS;
	send_to(world, &data, WEIR_REASON_HASHED, home);
	backend->service = DIRECT;
}

static void last_hop(void **state)
{
	struct segment in = syn_from(40000);
	struct frame frame, out;

	for (enum weir_mode mode = WEIR_MODE_DSR; mode <= WEIR_MODE_IPIP; mode++) {
		direct_serve(*state, mode, WEIR_SCHEDULER_RR);
		in.ttl = 1;
		frame = frame_of(&in);
		out = icmp_error(in.from, in.to, WEIR, CLIENT, TIME_EXCEEDED, 0, &frame);
		world_send(*state, &frame, WEIR_REASON_TTL_EXCEEDED, XDP_TX, &out);
	}
}

/* The largest packet that fits, then one byte more: told of if it asks to be, as all of IPv6 do. */
static void too_big(void **state)
{
	bool v6 = frame_family() == WEIR_IPV6;
	struct world *world = *state;
	size_t room = MTU - 2 * frame_ip_length();
	struct segment data = tcp_segment(CLIENT, 40000, WEIR, PORT, ACK);
	struct segment datagram = udp_datagram(CLIENT, 40000, WEIR, PORT, room - 8 + 1);
	struct frame in, out;

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_HASH);
	data.payload = room - 20;
	send_to(world, &data, WEIR_REASON_HASHED, by_hash(world, &data));
	data.payload++;
	in = frame_of(&data);
	out = icmp_too_big(data.from, data.to, WEIR, CLIENT, (uint32_t)(MTU - frame_ip_length()),
			   &in);
	world_send(world, &in, WEIR_REASON_TOO_BIG, XDP_TX, &out);
	world->tables->runtime->icmp_rate = 0;
	world_send(world, &in, WEIR_REASON_TOO_BIG_SILENT, XDP_DROP, NULL);
	datagram.fragment = 0;
	in = frame_of(&datagram);
	world_send(world, &in, v6 ? WEIR_REASON_TOO_BIG_SILENT : WEIR_REASON_TOO_BIG_NO_DF,
		   XDP_DROP, NULL);
	datagram.payload--;
	send_to(world, &datagram, WEIR_REASON_NEW_FLOW, by_hash(world, &datagram));
	assert_int_equal(total(world, BACKEND_1) + total(world, BACKEND_2), 0);
}

/* The later ones go the way of the first one, whatever the scheduler says now; unknown ones pass. */
static void fragments(struct world *world, enum weir_mode mode)
{
	struct segment first = udp_datagram(CLIENT, 40000, WEIR, PORT, 96), later = first;
	struct frame in;

	direct_serve(world, mode, WEIR_SCHEDULER_RR);
	first.fragment = 0x2000;
	later.fragment = 0x2000 | 13;
	later.source_port = later.destination_port = 0;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t backend = i ? BACKEND_2 : BACKEND_1;

		later.id = first.id = (uint16_t)(0x200 + 10 * i);
		in = frame_of(&later);
		world_send(world, &in, WEIR_REASON_FRAGMENT, XDP_PASS, NULL);
		first.source_port++;
		send_to(world, &first, WEIR_REASON_NEW_FLOW, backend);
		send_to(world, &later, WEIR_REASON_LATER_FRAGMENT, backend);
		later.id++;
		in = frame_of(&later);
		world_send(world, &in, WEIR_REASON_FRAGMENT, XDP_PASS, NULL);
		later.id--;
	}
	later.ttl = 1;
	in = frame_of(&later);
	world_send(world, &in, WEIR_REASON_TTL_EXCEEDED_SILENT, XDP_DROP, NULL);
	later.ttl = 64;
	backend_at(world, DATAGRAMS, BACKEND_2)->use = WEIR_BACKEND_CUT;
	in = frame_of(&later);
	world_send(world, &in, WEIR_REASON_FRAGMENT, XDP_PASS, NULL);
}

static void fragments_dsr(void **state)
{
	fragments(*state, WEIR_MODE_DSR);
}

static void fragments_ipip(void **state)
{
	fragments(*state, WEIR_MODE_IPIP);
}

static void refused(void **state)
{
	struct world *world = *state;
	struct segment in = syn_from(40000), bad = in;
	struct frame frame;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	bad.source = IP4(127, 0, 0, 1);
	frame = frame_of(&bad);
	world_send(world, &frame, WEIR_REASON_BAD_SOURCE, XDP_DROP, NULL);
	world->tables->hops[backend_at(world, DIRECT, BACKEND_1)->hop].destination.flags = 0;
	frame = frame_of(&in);
	world_send(world, &frame, WEIR_REASON_NO_NEXT_HOP, XDP_DROP, NULL);
	service_of(world, DIRECT)->slots.length = 0;
	service_of(world, DIRECT)->flags = WEIR_SERVICE_SILENT;
	world_send(world, &frame, WEIR_REASON_NO_BACKEND_SILENT, XDP_DROP, NULL);
	assert_int_equal(total(world, BACKEND_1) + total(world, BACKEND_2), 0);
}

/* A client that forgot to close: its next SYN is a new connection in the end. */
static void an_old_session(void **state)
{
	struct world *world = *state;
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK, 10);

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	age(world, service_of(world, DIRECT)->timeouts.tcp - 1000);
	send_to(world, &syn, WEIR_REASON_TO_BACKEND, BACKEND_1);
	age(world, service_of(world, DIRECT)->timeouts.tcp + 1);
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_2);
}

/*
 * What a flow was found for once is not looked for again, until listeners change: then a session goes on
 * only at a service that is still there.
 */
static void listeners_change(void **state)
{
	struct world *world = *state;
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK, 10);
	struct weir_root *root = world->tables->root;
	struct frame frame = frame_of(&data);
	uint64_t listeners;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	listeners = root->listeners.word;
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	root->listeners.word = 0;
	root->listeners_since = datapath_jiffies(world->datapath);
	world_send(world, &frame, WEIR_REASON_NOT_OURS, XDP_PASS, NULL);
	root->listeners.word = listeners;
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
}

/* Its service is one of nat by now: a session is nothing there, and its tunnel is not what is left of it. */
static void mode_changes(void **state)
{
	struct world *world = *state;
	struct segment syn = syn_from(40000), data = next_of(&syn, ACK, 10);
	struct frame frame = frame_of(&data);

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
	service_of(world, DIRECT)->mode = WEIR_MODE_NAT;
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NO_FLOW);
	service_of(world, DIRECT)->mode = WEIR_MODE_DSR;
	send_to(world, &data, WEIR_REASON_TO_BACKEND, BACKEND_1);
}

/* Flows that never get beyond their SYN push out their own kind, not those that people work in. */
static void flood_of_syns(void **state)
{
	enum { FLOWS = 64, FLOOD = 20000 };
	struct world *world = *state;
	struct segment syn, data;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	for (uint32_t port = 40000; port < 40000 + FLOWS; port++) {
		syn = syn_from((uint16_t)port);
		data = next_of(&syn, ACK, 10);
		send_to(world, &syn, WEIR_REASON_NEW_FLOW, port % 2 ? BACKEND_2 : BACKEND_1);
		send_to(world, &data, WEIR_REASON_TO_BACKEND, port % 2 ? BACKEND_2 : BACKEND_1);
	}
	for (uint32_t i = 0; i < FLOOD; i++) {
		syn = tcp_segment(CLIENT + 1 + i / 10000, (uint16_t)(1024 + i % 10000), WEIR, PORT,
				  SYN);
		send_to(world, &syn, WEIR_REASON_NEW_FLOW, i % 2 ? BACKEND_2 : BACKEND_1);
	}
	for (uint32_t port = 40000; port < 40000 + FLOWS; port++) {
		syn = syn_from((uint16_t)port);
		data = next_of(&syn, ACK, 10);
		send_to(world, &data, WEIR_REASON_TO_BACKEND, port % 2 ? BACKEND_2 : BACKEND_1);
	}
}

/* Another CPU saw a packet of it since this one looked at the clock. */
static void seen_this_moment(void **state)
{
	struct world *world = *state;
	struct segment in = udp_datagram(CLIENT, 40000, WEIR, PORT, 100), syn = syn_from(40000);

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	send_to(world, &in, WEIR_REASON_NEW_FLOW, BACKEND_1);
	send_to(world, &syn, WEIR_REASON_NEW_FLOW, BACKEND_1);
	age(world, (uint32_t)-1000);
	send_to(world, &in, WEIR_REASON_TO_BACKEND, BACKEND_1);
	age(world, (uint32_t)-1000);
	send_to(world, &syn, WEIR_REASON_TO_BACKEND, BACKEND_1);
}

/* As many as were asked for, all at once: hardly any is forgotten. */
static void table_in_full_use(void **state)
{
	enum { FLOWS = 1024 };
	struct world *world = *state;
	uint32_t forgotten = 0;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	for (int round = 0; round < 2; round++) {
		for (uint32_t port = 30000; port < 30000 + FLOWS; port++) {
			struct segment syn = syn_from((uint16_t)port),
				       data = next_of(&syn, ACK, 10);
			struct frame frame = frame_of(round ? &data : &syn);

			world_run(world, &frame);
		}
	}
	world_read_counters(world);
	forgotten = (uint32_t)world->counters.reasons[WEIR_REASON_HASHED];
	assert_int_equal(forgotten + world->counters.reasons[WEIR_REASON_TO_BACKEND], FLOWS);
	assert_in_range(forgotten, 0, FLOWS / 100);
}

/* Connections that are over, in every place, do not make new ones push out each other before they are answered. */
static void places_of_what_is_over(void **state)
{
	enum { OVER = 20000, FLOWS = 512 };
	struct world *world = *state;

	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	for (uint32_t i = 0; i < OVER + 2 * FLOWS; i++) {
		uint32_t place = i < OVER ? i : OVER + (i - OVER) % FLOWS;
		struct segment in = tcp_segment(CLIENT + place / 10000,
						(uint16_t)(1024 + place % 10000), WEIR, PORT,
						i < OVER || i >= OVER + FLOWS ? ACK : SYN);
		struct frame frame = frame_of(&in);

		if (i == OVER)
			age(world, service_of(world, DIRECT)->timeouts.tcp + 1);
		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	world_read_counters(world);
	assert_int_equal(world->counters.reasons[WEIR_REASON_HASHED], OVER);
	assert_int_equal(world->counters.reasons[WEIR_REASON_TO_BACKEND], FLOWS);
}

/* A driver that leaves little before the frame: so does metadata that another program put there. */
static void no_headroom(void **state)
{
	enum { METADATA = 212 };
	struct world *world = *state;
	struct segment in = syn_from(40000);
	struct frame frame = frame_of(&in);
	uint8_t bytes[METADATA + FRAME_MOST] = { 0 }, out[FRAME_MOST];
	struct xdp_md context = {
		.data = METADATA,
		.data_end = METADATA + (uint32_t)frame.length,
		.ingress_ifindex = world->ingress,
	};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = bytes, .data_size_in = context.data_end,
		    .data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
		    .ctx_size_in = sizeof(context), .repeat = 1);
	int r;

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	memcpy(bytes + METADATA, frame.bytes, frame.length);
	r = bpf_prog_test_run_opts(datapath_xdp_fd(world->datapath), &options);
	if (r == -EINVAL) {
		print_message("# this kernel takes 32 bytes of metadata at most\n");
		return;
	}
	assert_int_equal(r, 0);
	world->sent++;
	world_read_counters(world);
	assert_int_equal(world->counters.reasons[WEIR_REASON_NO_HEADROOM], 1);
	assert_int_equal(options.retval, XDP_DROP);
}

/* Several source addresses spread over the backend's receive queues; one flow keeps one. */
static void outer_sources(void **state)
{
	const uint32_t addresses[] = { WEIR, WEIR + 1 };
	struct world *world = *state;
	size_t last_of_source = ETHERNET_LENGTH + (frame_family() == WEIR_IPV6 ? 23 : 15);
	uint32_t seen[2] = { 0 };

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	world_snat_addresses(world, addresses, 2);
	for (uint16_t port = 40000; port < 40032; port++) {
		struct segment syn = syn_from(port), data = next_of(&syn, ACK, 10);
		struct frame frames[2] = { frame_of(&syn), frame_of(&data) };
		uint8_t last[2];

		for (int i = 0; i < 2; i++)
			last[i] = world_run(world, &frames[i]).frame.bytes[last_of_source];
		assert_int_equal(last[0], last[1]);
		assert_in_range(last[0], 10, 11);
		seen[last[0] - 10]++;
	}
	assert_true(seen[0] > 5 && seen[1] > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(dsr_one_flow),
		world_test(ipip_one_flow),
		world_test(dsr_udp),
		world_test(ipip_udp),
		world_test(dsr_without_session),
		world_test(ipip_without_session),
		world_test(two_nodes_agree),
		world_test(a_backend_that_drains),
		world_test(a_backend_that_has_gone),
		world_test(last_hop),
		world_test(too_big),
		world_test(refused),
		world_test(fragments_dsr),
		world_test(fragments_ipip),
		world_test(an_old_session),
		world_test(listeners_change),
		world_test(mode_changes),
		world_test(flood_of_syns),
		world_test(seen_this_moment),
		world_test(table_in_full_use),
		world_test(places_of_what_is_over),
		world_test(no_headroom),
		world_test(outer_sources),
	};

	return packet_tests(tests);
}
