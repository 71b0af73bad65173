// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/daemon/shortage.h"

#include "tests/packet/talk.h"

/*
 * The search for a source port when most are in use. As many flows as the ring has places are half
 * open: each new one pushes the oldest out, so that the share of ports in use stays as it is.
 */

#define SERVICE 30
#define PORTS 2000
#define FIRST_PORT 2000
#define QUEUE 1
#define SECOND_ADDRESS IP4(192, 168, 178, 110)
/* What one search may look at: 128 random places without a queue, 8 with one and what that holds. */
#define MOST_PROBES 128
#define MOST_PROBES_WITH_QUEUE 24

static struct talk client(struct world *world, uint32_t number)
{
	struct talk talk = talk_tcp(world, IP4(10, 0, 8, 0) + number / 20000,
				    (uint16_t)(40000 + number % 20000));

	talk.service_port = 7000;
	return talk;
}

/* One backend, PORTS source ports, @used of them taken; a ring of @half_open places. */
static struct world *crowded_in(uint32_t half_open, uint32_t used)
{
	struct world *world = world_open(2 * PORTS + 16, half_open);
	uint32_t backend;

	world_service(world, SERVICE, WEIR, 7000, PROTOCOL_TCP, 0);
	backend = world_backend(world, SERVICE, BACKEND_1, 80);
	world_slots(world, SERVICE, WEIR_SCHEDULER_RR, &(struct slot_candidate){ backend, 1, 0 },
		    1);
	world_snat_ports(world, FIRST_PORT, FIRST_PORT + PORTS - 1);
	for (uint32_t i = 0; i < used; i++) {
		struct talk talk = talk_tcp(world, NEIGHBOUR,
					    (uint16_t)(FIRST_PORT + i * 7919 % PORTS));

		talk.service_port = 7000;
		talk_open(&talk);
		assert_int_equal(talk.snat_port, talk.client_port);
	}
	return world;
}

static struct world *crowded(uint32_t used)
{
	return crowded_in(used, used);
}

static struct weir_backend *backend_of(struct world *world)
{
	return &world->tables->backends[world->backends - 1];
}

static struct weir_load *load_of(struct world *world)
{
	return &world->tables->loads[world->backends - 1];
}

/* What the daemon does now and then for a backend with a queue. */
static struct weir_port_search look(struct world *world, struct shortage_queue *queue)
{
	struct weir_port_search search = { .backend_id = world->backends - 1,
					   .first = queue->next };
	bool clear;

	search.count = shortage_look(queue, load_of(world)->snat_ports,
				     PORTS * backend_of(world)->snat.length, &clear);
	search.clear = clear;
	assert_int_equal(datapath_find_ports(world->datapath, &search), 0);
	queue->waiting = search.waiting;
	queue->next += search.count;
	return search;
}

static struct weir_port_search find(struct world *world, uint32_t first, uint32_t count, bool clear)
{
	struct weir_port_search search = {
		.backend_id = world->backends - 1, .first = first, .count = count, .clear = clear
	};

	assert_int_equal(datapath_find_ports(world->datapath, &search), 0);
	return search;
}

/* How many of @tries new flows find no port. The daemon looks after the queue each @period flows. */
static uint32_t refused(struct world *world, uint32_t tries, uint32_t period)
{
	uint64_t before, most = period ? MOST_PROBES_WITH_QUEUE : MOST_PROBES;
	struct shortage_queue queue = { .backend = world->backends - 1 };
	uint32_t failures = 0;

	backend_of(world)->port_queue = period ? QUEUE : 0;
	for (uint32_t i = 0; i < tries; i++) {
		struct talk talk = client(world, i);
		struct segment syn = client_segment(&talk, SYN, 0);
		struct frame frame = frame_of(&syn);
		enum weir_reason reason;

		if (period && i % period == 0)
			look(world, &queue);
		load_of(world)->cursor = (uint64_t)rand(); /* the rotation is of no help */
		world_read_counters(world);
		before = world->counters.snat_probes;
		reason = world_run(world, &frame).reason;
		assert_true(reason == WEIR_REASON_NEW_FLOW || reason == WEIR_REASON_SNAT_EXHAUSTED);
		failures += reason == WEIR_REASON_SNAT_EXHAUSTED;
		assert_true(world->counters.snat_probes - before <= most);
	}
	return failures;
}

static void search(uint32_t used, uint32_t tries, uint32_t period, uint32_t most_failures)
{
	struct world *world = crowded(used);
	uint32_t failures = refused(world, tries, period);

	print_message("# %u of %u ports in use, %s queue: %u of %u refused, %.1f probes each\n",
		      used, PORTS, period ? "with" : "no", failures, tries,
		      (double)world->counters.snat_probes / tries);
	assert_true(failures <= most_failures);
	assert_int_equal(load_of(world)->snat_ports, used);
	assert_flows(world, (int)used, 0, 0);
	world_close(world);
}

/* < 0.1 % */
static void ninety_percent(void **state)
{
	search(PORTS / 10 * 9, 20000, 0, 20);
	search(PORTS / 10 * 9, 20000, 50, 20);
}

/* < 1 % with the queue; without one, chance finds most */
static void ninety_nine_percent(void **state)
{
	search(PORTS / 100 * 99, 10000, 0, 3000);
	search(PORTS / 100 * 99, 20000, 50, 200);
	search(PORTS / 100 * 99, 20000, 15, 200);
}

static void hundred_percent(uint32_t period)
{
	struct world *world = crowded(PORTS);
	struct talk talk = talk_tcp(world, NEIGHBOUR, FIRST_PORT);

	talk.service_port = 7000;
	talk.backend = BACKEND_1;
	talk.backend_port = 80;
	talk.snat = WEIR;
	talk.snat_port = FIRST_PORT;
	talk.client_next++;
	talk_backend(&talk, SYN | ACK, 0);
	talk_client(&talk, ACK, 0);
	assert_int_equal(refused(world, 3000, period), 3000);
	assert_int_equal(world->counters.reasons[WEIR_REASON_SNAT_EXHAUSTED], 3000);
	for (int i = 0; i < 20; i++) {
		talk_backend(&talk, ACK | PSH, 500);
		talk_client(&talk, ACK | PSH, 50);
	}
	assert_int_equal(world->tables->shared->records[frame_family()], PORTS);
	assert_flows(world, PORTS - 1, 1, 0);
	world_close(world);
}

static void all_in_use(void **state)
{
	hundred_percent(0);
	hundred_percent(50);
}

/* Takes one flow away, and gives its port back. */
static uint16_t release(struct world *world, uint16_t client_port)
{
	struct talk talk = talk_tcp(world, NEIGHBOUR, client_port);
	struct weir_sweep one = { .count = 1 };
	struct segment reset;

	talk.service_port = 7000;
	reset = client_segment(&talk, RST, 0);
	reset.sequence++;
	talk.backend = BACKEND_1;
	talk.backend_port = 80;
	talk.snat = WEIR;
	talk.snat_port = ntohs(talk_flow(&talk)->backend_ports.destination);
	talk_client_with(&talk, &reset);
	flow_age(world, talk_flow(&talk), jiffies_of_ms(world, 4000000));
	one.first = flow_id(world, talk_flow(&talk));
	assert_int_equal(datapath_sweep(world->datapath, &one), 0);
	assert_int_equal(one.expired, 1);
	return talk.snat_port;
}

/* A port that is given back is the next one to go, though nobody looked for it. */
static void released_ports_wait_in_the_queue(void **state)
{
	struct world *world = crowded_in(2 * PORTS, PORTS);
	uint16_t released[30];

	backend_of(world)->port_queue = QUEUE;
	assert_int_equal(find(world, 0, PORTS, true).found, 0);
	for (uint16_t i = 0; i < 30; i++)
		released[i] = release(world, FIRST_PORT + 50 * i);
	assert_int_equal(find(world, 0, 0, false).waiting, 30);
	for (uint16_t i = 0; i < 30; i++) {
		struct talk talk = client(world, i);
		bool known = false;

		talk_open(&talk);
		for (uint16_t j = 0; j < 30; j++)
			known |= released[j] == talk.snat_port;
		assert_true(known);
	}
	assert_flows(world, PORTS, 0, 0);
	world_close(world);
}

/* Each free port is found, once, and no other. */
static void the_search_finds_what_is_free(void **state)
{
	struct world *world = crowded(PORTS - 40);
	struct weir_port_search all;

	backend_of(world)->port_queue = QUEUE;
	all = find(world, 0, PORTS, true);
	assert_int_equal(all.found, 40);
	assert_int_equal(all.waiting, 40);
	assert_int_equal(find(world, 0, PORTS / 2, true).found +
				 find(world, PORTS / 2, PORTS / 2, false).found,
			 40);
	assert_int_equal(find(world, 0, 0, false).waiting, 40);
	assert_int_equal(find(world, PORTS, PORTS, false).found, 40); /* the space is a ring */
	assert_int_equal(find(world, 0, 0, true).waiting, 0);
	/* No queue, no search. */
	backend_of(world)->port_queue = 0;
	assert_int_equal(find(world, 0, PORTS, true).found, 0);
	world_close(world);
}

/* More free ports than the queue has places. */
static void the_queue_is_full(void **state)
{
	struct world *world = *state;
	struct weir_port_search all;

	world_snat_ports(world, 20000, 29999);
	world->backends = 2; /* look at backend 1 */
	backend_of(world)->port_queue = QUEUE;
	all = find(world, 0, 10000, true);
	assert_int_equal(all.found, WEIR_PORT_QUEUE_PLACES);
	assert_int_equal(all.waiting, WEIR_PORT_QUEUE_PLACES);
	all = find(world, 0, 10000, false);
	assert_int_equal(all.found, 0);
	assert_int_equal(all.waiting, WEIR_PORT_QUEUE_PLACES);
	world->backends = 5;
}

/* All that waits in the queue has been taken otherwise: a few tries, and on to chance. */
static void stale_entries(void **state)
{
	struct world *world = crowded(PORTS - 400);
	struct talk talk;

	backend_of(world)->port_queue = QUEUE;
	assert_int_equal(find(world, 0, PORTS, true).found, 400);
	backend_of(world)->port_queue = 0;
	assert_int_equal(refused(world, PORTS, 0), 0); /* other ports are free by now */
	backend_of(world)->port_queue = QUEUE;
	for (uint32_t i = 0; i < 200; i++) {
		talk = client(world, PORTS + i);
		talk_open(&talk);
		talk_backend(&talk, SYN | ACK, 0);
	}
	assert_flows(world, PORTS - 400, 0, 0);
	world_close(world);
}

/* The client's own port goes before the queue and before chance. */
static void own_port_first(void **state)
{
	struct world *world = crowded(PORTS);
	struct talk talk;
	uint16_t port;

	for (int queue = 0; queue <= QUEUE; queue++) {
		backend_of(world)->port_queue = (uint32_t)queue;
		port = release(world, (uint16_t)(FIRST_PORT + 1234 + queue));
		release(world, (uint16_t)(FIRST_PORT + 400 + queue));
		talk = talk_tcp(world, CLIENT, port);
		talk.service_port = 7000;
		talk_open(&talk);
		assert_int_equal(talk.snat_port, port);
	}
	world_close(world);
}

static void two_addresses(void **state)
{
	const uint32_t addresses[] = { WEIR, SECOND_ADDRESS };
	struct world *world = crowded(PORTS);
	uint32_t second = 0;

	world_snat_addresses(world, addresses, 2);
	backend_of(world)->port_queue = QUEUE;
	assert_int_equal(find(world, 0, 2 * PORTS, true).found, PORTS);
	for (uint32_t i = 0; i < 500; i++) {
		struct talk talk = client(world, i);

		talk_open(&talk);
		assert_true(talk.snat == WEIR || talk.snat == SECOND_ADDRESS);
		second += talk.snat == SECOND_ADDRESS;
		talk_backend(&talk, SYN | ACK, 0);
	}
	assert_true(second > 250);
	world_close(world);
}

/* A port that TCP uses is free for UDP, and the other way round. */
static void protocols_have_ports_of_their_own(void **state)
{
	struct world *world = crowded(PORTS);

	world_service(world, SERVICE, WEIR, 7000, PROTOCOL_UDP, 0);
	world_slots(world, SERVICE, WEIR_SCHEDULER_RR,
		    &(struct slot_candidate){ world->backends - 1, 1, 0 }, 1);
	for (uint32_t i = 0; i < 100; i++) {
		struct talk talk = client(world, i);

		talk.protocol = PROTOCOL_UDP;
		talk_open(&talk);
		talk_backend(&talk, 0, 50);
	}
	world_close(world);
}

/*
 * Opens flows of clients from number @from on until no port is left; returns how many. Each gets one of
 * ports @first to @last of @address.
 */
static uint32_t open_all(struct world *world, uint32_t from, uint32_t address, uint16_t first,
			 uint16_t last)
{
	for (uint32_t i = 0;; i++) {
		struct talk talk = client(world, from + i);
		struct segment syn = client_segment(&talk, SYN, 0);
		struct frame frame = frame_of(&syn);
		enum weir_reason reason = world_run(world, &frame).reason;
		const struct weir_flow *flow = flow_of(world, &syn);

		if (reason == WEIR_REASON_SNAT_EXHAUSTED)
			return i;
		assert_int_equal(reason, WEIR_REASON_NEW_FLOW);
		assert_int_equal(flow_snat(world, flow), address);
		assert_in_range(ntohs(flow->backend_ports.destination), first, last);
	}
}

/* The host wants the ports for itself: what waits in the queue is not used any more. */
static void table_switched(void **state)
{
	struct world *world = crowded_in(2 * PORTS, PORTS - 200);
	struct weir_snat_ports *next = &world->tables->snat_ports[1];

	backend_of(world)->port_queue = QUEUE;
	assert_int_equal(find(world, 0, PORTS, true).found, 200);
	memset(next, 0, sizeof(*next));
	for (uint16_t port = 30000; port < 30006; port++) {
		next->port[next->count++] = port;
		next->allowed[port / 64] |= 1ULL << (port % 64);
	}
	world->tables->runtime->snat_table = 1;
	assert_int_equal(open_all(world, 0, WEIR, 30000, 30005), 6);
	release(world, FIRST_PORT); /* waits in the queue in vain, too */
	assert_int_equal(open_all(world, 100, WEIR, 30000, 30005), 0);
	assert_flows(world, PORTS - 200 - 1 + 6, 0, 0);
	world_close(world);
}

/* The route to the backend has another source address now. */
static void address_changed(void **state)
{
	const uint32_t next = SECOND_ADDRESS;
	struct world *world = crowded_in(2 * PORTS, PORTS - 200);

	backend_of(world)->port_queue = QUEUE;
	world_snat_ports(world, FIRST_PORT, FIRST_PORT + 5);
	world_snat_addresses(world, &next, 1);
	release(world, FIRST_PORT); /* of the old address */
	assert_int_equal(open_all(world, 0, SECOND_ADDRESS, FIRST_PORT, FIRST_PORT + 5), 6);
	assert_flows(world, PORTS - 200 - 1 + 6, 0, 0);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ninety_percent),
		cmocka_unit_test(ninety_nine_percent),
		cmocka_unit_test(all_in_use),
		cmocka_unit_test(released_ports_wait_in_the_queue),
		cmocka_unit_test(the_search_finds_what_is_free),
		world_test(the_queue_is_full),
		cmocka_unit_test(stale_entries),
		cmocka_unit_test(own_port_first),
		cmocka_unit_test(two_addresses),
		cmocka_unit_test(protocols_have_ports_of_their_own),
		cmocka_unit_test(table_switched),
		cmocka_unit_test(address_changed),
	};

	return packet_tests(tests);
}
