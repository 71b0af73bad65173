// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include "tests/packet/talk.h"

/* A client keeps its backend. Those are three, of a service on port 7000. */

enum { SERVICE = 30, PORT = 7000, COUNT = 3 };

static const enum weir_scheduler schedulers[] = {
	WEIR_SCHEDULER_RR,  WEIR_SCHEDULER_WRR,    WEIR_SCHEDULER_HASH,   WEIR_SCHEDULER_LC,
	WEIR_SCHEDULER_WLC, WEIR_SCHEDULER_SOURCE, WEIR_SCHEDULER_MAGLEV, WEIR_SCHEDULER_P2C,
};

static void serve(struct world *world, uint32_t backend, bool on)
{
	world->tables->backends[backend].serves_since = on ? datapath_jiffies(world->datapath) : 0;
}

/* Slots of the backends that serve. */
static void schedule(struct world *world, uint32_t first, enum weir_scheduler scheduler)
{
	struct slot_candidate candidates[COUNT];
	size_t count = 0;

	for (uint32_t id = first; id < first + COUNT; id++)
		if (world->tables->backends[id].serves_since)
			candidates[count++] = (struct slot_candidate){ id, 1, 0 };
	world_slots(world, SERVICE, scheduler, candidates, count);
}

static uint32_t service_with(struct world *world, enum weir_scheduler scheduler,
			     uint32_t timeout_ms)
{
	uint32_t first = world->backends;

	world_service(world, SERVICE, WEIR, PORT, PROTOCOL_TCP, 0);
	service_of(world, SERVICE)->affinity = jiffies_of_ms(world, timeout_ms);
	for (uint32_t i = 0; i < COUNT; i++)
		serve(world, world_backend(world, SERVICE, BACKEND_1 + i, 8000), true);
	schedule(world, first, scheduler);
	return first;
}

static uint32_t backend_of(struct world *world, uint32_t client, uint16_t port)
{
	struct segment syn = tcp_segment(client, port, WEIR, PORT, SYN);
	struct frame frame = frame_of(&syn);

	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NEW_FLOW);
	return flow_of(world, &syn)->backend_id;
}

static void assert_stays(struct world *world, uint32_t client, uint16_t port, uint32_t backend)
{
	for (uint16_t i = 0; i < 8; i++)
		assert_int_equal(backend_of(world, client, (uint16_t)(port + i)), backend);
}

/* Whatever the scheduler is, or becomes. */
static void across_schedulers(void **state)
{
	for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
		struct world *world = world_open(1024, 1024);
		uint32_t first = service_with(world, schedulers[i], 60000);
		uint32_t one = backend_of(world, CLIENT, 30000), other;

		assert_stays(world, CLIENT, 31000, one);
		other = backend_of(world, CLIENT + 1, 30000);
		assert_stays(world, CLIENT + 1, 31000, other);
		for (size_t j = 0; j < sizeof(schedulers) / sizeof(schedulers[0]); j++) {
			schedule(world, first, schedulers[j]);
			assert_stays(world, CLIENT, (uint16_t)(32000 + 10 * j), one);
			assert_stays(world, CLIENT + 1, (uint16_t)(32000 + 10 * j), other);
		}
		world_close(world);
	}
}

/* Clients that keep their backend take no turns: others get theirs. */
static void turns_go_on(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000);
	struct segment syn;
	struct frame frame;

	for (uint32_t i = 0; i < 9; i++) {
		assert_int_equal(backend_of(world, CLIENT + i, 30000), first + i % 3);
		assert_stays(world, CLIENT + i, 31000, first + i % 3);
		world->tables->runtime->flows_limit[frame_family()] =
			0; /* nor do they give any back */
		syn = tcp_segment(CLIENT + i, 33000, WEIR, PORT, SYN);
		frame = frame_of(&syn);
		assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_FLOWS_FULL);
		world->tables->runtime->flows_limit[frame_family()] = 1000;
	}
}

static void without_it_nothing_is_kept(void **state)
{
	uint32_t first = service_with(*state, WEIR_SCHEDULER_RR, 0);

	for (uint16_t i = 0; i < 6; i++)
		assert_int_equal(backend_of(*state, CLIENT, (uint16_t)(30000 + i)), first + i % 3);
}

static void expires(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 300);

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	for (uint16_t i = 1; i < 5; i++) { /* each new flow begins the time anew */
		usleep(150000);
		assert_int_equal(backend_of(world, CLIENT, (uint16_t)(30000 + i)), first);
	}
	usleep(350000);
	assert_int_equal(backend_of(world, CLIENT, 30010), first + 1);
	assert_stays(world, CLIENT, 30020, first + 1);
}

/* What it had with the client is over, even if it comes back. */
static void the_backend_goes(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_SOURCE, 60000);
	uint32_t gone = backend_of(world, CLIENT, 30000), other;

	usleep(20000);
	serve(world, gone, false);
	schedule(world, first, WEIR_SCHEDULER_LC);
	other = backend_of(world, CLIENT, 30001);
	assert_int_not_equal(other, gone);
	serve(world, gone, true);
	schedule(world, first, WEIR_SCHEDULER_SOURCE);
	assert_stays(world, CLIENT, 30010, other);
}

/* The client was away meanwhile. */
static void the_backend_was_away(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000);

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	usleep(20000);
	serve(world, first, true); /* anew */
	assert_int_equal(backend_of(world, CLIENT, 30001), first + 1);
}

/* Its id is another service's now. */
static void the_id_is_anothers(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000);

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	world->tables->backends[first].service = WEB;
	assert_int_equal(backend_of(world, CLIENT, 30001), first + 1);
	world->tables->backends[first].service = SERVICE;
}

/* Then it is the scheduler's choice, which the client keeps from then on. */
static void the_backend_is_full(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000), other;

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	world->tables->backends[first].max_connections = 1;
	other = backend_of(world, CLIENT, 30001);
	assert_int_not_equal(other, first);
	world->tables->backends[first].max_connections = 0;
	assert_stays(world, CLIENT, 30010, other);
}

/* Nobody waits for ports while others have some. */
static void the_backend_has_no_ports(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000);
	struct segment syn = tcp_segment(CLIENT, 30001, WEIR, PORT, SYN);
	struct frame frame = frame_of(&syn);

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	world->tables->backends[first].snat.length = 0;
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_SNAT_EXHAUSTED);
	assert_int_equal(backend_of(world, CLIENT, 30001), first + 1);
	assert_stays(world, CLIENT, 30010, first + 1);
}

/* Each service has its own. */
static void services_apart(void **state)
{
	struct world *world = *state;
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 60000);
	struct segment syn = tcp_segment(CLIENT, 30000, WEIR, 8000, SYN);
	struct frame frame = frame_of(&syn);

	assert_int_equal(backend_of(world, CLIENT, 30000), first);
	assert_int_equal(world_run(world, &frame).reason, WEIR_REASON_NEW_FLOW);
	assert_int_equal(flow_of(world, &syn)->backend_id, 1);
	assert_stays(world, CLIENT, 30010, first);
}

/* More clients than places: the oldest ones are forgotten, all are served. */
static void more_clients_than_places(void **state)
{
	struct world *world = world_open(1024, 64);
	uint32_t first = service_with(world, WEIR_SCHEDULER_RR, 600000);

	for (uint32_t i = 0; i < WEIR_AFFINITIES + 10000; i++) {
		struct segment syn = tcp_segment(CLIENT + i, 30000, WEIR, PORT, SYN);
		struct frame frame = frame_of(&syn);

		assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
	}
	assert_in_range(backend_of(world, CLIENT, 30001), first, first + 2);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(across_schedulers),
		world_test(turns_go_on),
		world_test(without_it_nothing_is_kept),
		world_test(expires),
		world_test(the_backend_goes),
		world_test(the_backend_was_away),
		world_test(the_id_is_anothers),
		world_test(the_backend_is_full),
		world_test(the_backend_has_no_ports),
		world_test(services_apart),
		cmocka_unit_test(more_clients_than_places),
	};

	return packet_tests(tests);
}
