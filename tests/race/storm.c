// SPDX-License-Identifier: GPL-2.0-only
#include "tests/race/storm.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "src/base/cleanup.h"

/* Packets of a long run, of all lanes together. */
#define LONG_GOAL 10000000
#define MOST_CLIENTS 9000000
#define CHUNK 512
#define QUEUE 1 /* of backend 1; backend 2 has the next */

static void pause_ms(long ms)
{
	const struct timespec time = { .tv_nsec = ms * 1000000 };

	nanosleep(&time, NULL);
}

static void walk(struct storm *storm)
{
	const struct world *world = storm->world;

	for (uint32_t first = 0; first < world->records; first += CHUNK) {
		struct weir_sweep chunk = { .first = world->first_record + first, .count = CHUNK };

		if (datapath_sweep(storm->world->datapath, &chunk))
			return;
		storm->expired += chunk.expired;
		storm->freed += chunk.freed;
		storm->established += chunk.established;
		storm->quarantine += chunk.quarantine;
	}
	storm->walks++;
}

/* The flows of one client after the other, and sometimes of all. */
static void kill_some(struct storm *storm, uint32_t round)
{
	struct weir_kill kill = { .first = storm->world->first_record,
				  .count = storm->world->records };

	if (round % 8)
		kill.client_port = htons(
			(uint16_t)(STORM_FIRST_PORT + round * 7 % storm->client_count));
	if (!datapath_kill(storm->world->datapath, &kill))
		storm->killed += kill.killed;
}

static void *sweeper_main(void *user)
{
	struct storm *storm = user;
	uint32_t round = 0;
	cpu_set_t both;

	/* On either CPU: it gets between two instructions of itself only as a preempted task. */
	CPU_ZERO(&both);
	for (int cpu = 0; cpu < STORM_LANES; cpu++)
		CPU_SET(cpu, &both);
	sched_setaffinity(0, sizeof(both), &both);
	while (!atomic_load(&storm->stop)) {
		for (uint32_t id = 1; storm->plan->queues && id <= 2; id++) {
			struct weir_port_search search = { .backend_id = id, .count = 64 };

			datapath_find_ports(storm->world->datapath, &search);
		}
		walk(storm);
		for (int i = 0; storm->plan->kills && i < 16; i++) {
			kill_some(storm, round++);
			pause_ms(1);
		}
		datapath_grace();
		sched_yield();
	}
	return NULL;
}

static void set_timeouts(struct world *world, uint32_t flows_ms, uint32_t time_wait_ms)
{
	uint32_t time = jiffies_of_ms(world, flows_ms);

	for (uint32_t id = WEB; id <= DNS; id++)
		service_of(world, id)->timeouts = (struct weir_timeouts){ 4 * time, time, time,
									  time, 4 * time };
	world->tables->runtime->time_wait = jiffies_of_ms(world, time_wait_ms);
}

/* Takes ids away, so that the few that are left come again at once. */
static void keep_ids(struct storm *storm, uint32_t leave)
{
	_cleanup_close_ int queue = world_map(
		storm->world, frame_family() == WEIR_IPV6 ? "free_records6" : "free_records4");
	uint32_t keep = storm->world->records - leave;

	storm->kept_ids = calloc(keep, sizeof(*storm->kept_ids));
	assert_non_null(storm->kept_ids);
	for (; storm->kept < keep; storm->kept++)
		assert_int_equal(
			bpf_map_lookup_and_delete_elem(queue, NULL, &storm->kept_ids[storm->kept]),
			0);
}

static void return_ids(struct storm *storm)
{
	_cleanup_close_ int queue = world_map(storm->world, "free_records4");

	for (uint32_t i = 0; i < storm->kept; i++)
		assert_int_equal(bpf_map_update_elem(queue, NULL, &storm->kept_ids[i], 0), 0);
	free(storm->kept_ids);
}

static void storm_open(struct storm *storm, const struct storm_plan *plan)
{
	struct world *world = world_open(plan->flows, plan->half_open);

	storm->plan = plan;
	storm->world = world;
	storm->client_count = plan->clients ? plan->clients : MOST_CLIENTS;
	storm->clients = calloc(storm->client_count, sizeof(*storm->clients));
	assert_non_null(storm->clients);
	storm->goal = getenv("WEIR_LONG") ? LONG_GOAL : 0;
	world_snat_ports(world, plan->first_port, plan->last_port);
	set_timeouts(world, plan->timeout_ms, plan->time_wait_ms);
	for (uint32_t id = 1; plan->queues && id <= 2; id++)
		world->tables->backends[id].port_queue = QUEUE + id - 1;
	if (plan->ids)
		keep_ids(storm, plan->ids);
	for (int i = 0; i < STORM_LANES; i++)
		storm->lanes[i] = (struct storm_lane){
			.storm = storm,
			.number = i,
			.random = (uint64_t)time(NULL) << 32 | (uint64_t)i << 31,
		};
}

static void blow(struct storm *storm)
{
	assert_int_equal(pthread_create(&storm->sweeper, NULL, sweeper_main, storm), 0);
	for (int i = 0; i < STORM_LANES; i++)
		assert_int_equal(pthread_create(&storm->lanes[i].thread, NULL, storm_lane_main,
						&storm->lanes[i]),
				 0);
	if (!storm->goal) {
		for (uint32_t i = 0; i < 10 * storm->plan->seconds; i++)
			pause_ms(100);
		atomic_store(&storm->stop, true);
	}
	for (int i = 0; i < STORM_LANES; i++)
		pthread_join(storm->lanes[i].thread, NULL);
	atomic_store(&storm->stop, true);
	pthread_join(storm->sweeper, NULL);
}

/* Each client was translated through no more pairs than it had flows. */
static void verify_pairs(const struct storm *storm)
{
	for (uint32_t i = 0; i < storm->client_count; i++) {
		const struct storm_client *client = &storm->clients[i];
		uint32_t pairs = 0;

		while (pairs < STORM_PAIRS && client->pairs[pairs])
			pairs++;
		if (pairs <= client->flows)
			continue;
		print_error("client %u: %u flows, seen through:", i, client->flows);
		for (uint32_t pair = 0; pair < pairs; pair++)
			print_error(" %u:%u", client->pairs[pair] >> 16,
				    client->pairs[pair] & 0xffff);
		print_error("\n");
		fail();
	}
}

static void report(const struct storm *storm)
{
	const struct storm_lane *lanes = storm->lanes;
	uint64_t flows = 0;

	for (uint32_t id = 1; id < storm->world->backends; id++)
		flows += storm->world->tables->loads[id].total;
	printf("# %lu + %lu packets: %lu forwarded, %lu answered, %lu passed, %lu dropped; %lu "
	       "flows; %lu walks: %lu expired, %lu freed, %lu killed\n",
	       lanes[0].sent, lanes[1].sent, lanes[0].forwarded + lanes[1].forwarded,
	       lanes[0].answered + lanes[1].answered, lanes[0].passed + lanes[1].passed,
	       lanes[0].dropped + lanes[1].dropped, flows, storm->walks, storm->expired,
	       storm->freed, storm->killed);
	for (int i = 0; i < STORM_LANES; i++)
		if (lanes[i].failure[0])
			print_error("CPU %d: %s\n", i, lanes[i].failure);
}

/* Flows that were made, but whose first packet lost the race to leave. */
static void count_unsent(struct storm *storm)
{
	struct world *world = storm->world;
	uint64_t total = 0;

	for (int i = 0; i < STORM_LANES; i++)
		world->sent += storm->lanes[i].sent;
	world_read_counters(world);
	for (uint32_t id = 1; id < world->backends; id++)
		total += world->tables->loads[id].total;
	world->unsent = total - world->counters.reasons[WEIR_REASON_NEW_FLOW];
	assert_true(world->unsent <= world->counters.reasons[WEIR_REASON_RACED]);
}

/* Everything expires: nothing may be left. */
static void settle(struct storm *storm)
{
	set_timeouts(storm->world, 0, 0);
	for (int i = 0; i < 6; i++) {
		pause_ms(20);
		walk(storm);
		assert_int_equal(datapath_grace(), 0);
	}
	assert_flows(storm->world, 0, 0, 0);
	assert_int_equal(storm->world->tables->shared->records[frame_family()], 0);
	assert_int_equal(storm->world->tables->shared->udp_established[frame_family()], 0);
}

void storm_run(const struct storm_plan *plan)
{
	struct storm storm = { 0 };

	storm_open(&storm, plan);
	blow(&storm);
	report(&storm);
	for (int i = 0; i < STORM_LANES; i++)
		assert_int_equal(storm.lanes[i].failure[0], 0);
	verify_pairs(&storm);
	count_unsent(&storm);
	world_verify(storm.world);
	settle(&storm);
	if (plan->ids)
		return_ids(&storm);
	world_close(storm.world);
	free(storm.clients);
}
