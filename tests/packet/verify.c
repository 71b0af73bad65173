// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"

#include "tests/packet/harness.h"

/* What the records say, against which everything else is held. */
struct truth {
	struct weir_load *loads; /* by backend id: half_open, established, snat_ports */
	int64_t flows[WEIR_FLOW_STATES];
	uint32_t records; /* not free */
	uint32_t udp_established;
};

static bool is_live(uint8_t state)
{
	return state == WEIR_FLOW_HALF_OPEN || state == WEIR_FLOW_ESTABLISHED ||
	       state == WEIR_FLOW_CLOSING;
}

static void truth_add(const struct weir_flow *flow, struct truth *truth)
{
	struct weir_load *load = &truth->loads[flow->backend_id];
	uint8_t state = flow->control.state;

	truth->flows[state]++;
	if (state != WEIR_FLOW_FREE)
		truth->records++;
	if (is_live(state) || state == WEIR_FLOW_KILLED || state == WEIR_FLOW_QUARANTINE)
		load->snat_ports++;
	if (!is_live(state))
		return;
	if (state == WEIR_FLOW_HALF_OPEN)
		load->half_open++;
	if (state == WEIR_FLOW_ESTABLISHED) {
		load->established++;
		if (flow->control.flags & WEIR_FLOW_UDP)
			truth->udp_established++;
	}
}

static void truth_read(const struct world *world, struct truth *truth)
{
	*truth = (struct truth){
		.loads = calloc(world->tables->sizes.backends, sizeof(*truth->loads)),
	};
	assert_non_null(truth->loads);
	for (uint32_t i = 0; i < world->records; i++)
		truth_add(world_flow(world, i), truth);
}

static void verify_loads(const struct world *world, const struct truth *truth)
{
	const __u64 *reasons = world->counters.reasons;
	uint64_t made = reasons[WEIR_REASON_NEW_FLOW] + world->unsent;
	uint64_t total = 0;

	for (uint32_t i = 0; i < world->tables->sizes.backends; i++) {
		const struct weir_load *load = &world->tables->loads[i];

		assert_int_equal(load->half_open, truth->loads[i].half_open);
		assert_int_equal(load->established, truth->loads[i].established);
		assert_int_equal(load->snat_ports, truth->loads[i].snat_ports);
		total += load->total;
	}
	/* Two CPUs: a flow may be evicted before its first packet is on its way. */
	assert_in_range(total, made, made + reasons[WEIR_REASON_RACED]);
}

/* Counts the entries that lead to each record, those of the client in @seen[id][0]. */
static void read_index(const struct world *world, uint8_t (*seen)[2])
{
	_cleanup_close_ int index = world_map(world, "flow_index");
	struct weir_index_bucket bucket;

	for (uint32_t i = 0; !bpf_map_lookup_elem(index, &i, &bucket); i++) {
		assert_false(bucket.version & 1);
		for (uint32_t j = 0; j < WEIR_INDEX_ENTRIES; j++) {
			union weir_index entry = bucket.entries[j];
			uint32_t place;

			if (!entry.word)
				continue;
			assert_true(j < bucket.end);
			assert_true(entry.record - world->first_record < world->records);
			place = entry.record - world->first_record;
			assert_int_equal(entry.generation,
					 world_flow(world, place)->control.generation);
			seen[place][entry.mark & WEIR_INDEX_DIRECTION]++;
		}
	}
}

static void verify_index(const struct world *world)
{
	uint8_t(*seen)[2] = calloc(world->records, sizeof(*seen));

	assert_non_null(seen);
	read_index(world, seen);
	for (uint32_t i = 0; i < world->records; i++) {
		uint8_t state = world_flow(world, i)->control.state;
		bool found = is_live(state) || state == WEIR_FLOW_KILLED;
		bool rests = state == WEIR_FLOW_QUARANTINE;

		assert_int_equal(seen[i][WEIR_FROM_CLIENT], found);
		assert_int_equal(seen[i][WEIR_FROM_BACKEND], found || rests);
	}
	free(seen);
}

void world_verify(struct world *world)
{
	const struct weir_shared *shared = world->tables->shared;
	struct truth truth;
	uint64_t sum = 0;

	world_read_counters(world);
	for (int i = 0; i < WEIR_REASON_COUNT; i++)
		sum += world->counters.reasons[i];
	assert_int_equal(sum, world->sent);
	assert_int_equal(world->counters.packets, world->sent);

	truth_read(world, &truth);
	for (int state = WEIR_FLOW_HALF_OPEN; state <= WEIR_FLOW_KILLED; state++)
		assert_int_equal(world->counters.flows[state], truth.flows[state]);
	assert_int_equal(shared->records[frame_family()], truth.records);
	assert_int_equal(shared->udp_established[frame_family()], truth.udp_established);
	verify_loads(world, &truth);
	verify_index(world);
	free(truth.loads);
}

void world_verify_ids(struct world *world)
{
	bool v6 = frame_family() == WEIR_IPV6;
	_cleanup_close_ int queue = world_map(world, v6 ? "free_records6" : "free_records4");
	_cleanup_free_ bool *seen = calloc(world->records, sizeof(*seen));
	uint32_t id;

	assert_non_null(seen);
	while (!bpf_map_lookup_and_delete_elem(queue, NULL, &id)) {
		id -= world->first_record;
		assert_true(id < world->records);
		assert_false(seen[id]);
		assert_int_equal(world_flow(world, id)->control.state, WEIR_FLOW_FREE);
		seen[id] = true;
	}
	for (id = 0; id < world->records; id++)
		assert_true(seen[id] == (world_flow(world, id)->control.state == WEIR_FLOW_FREE));
}

void assert_flows_(struct world *world, int half_open, int established, int closing,
		   const char *file, int line)
{
	int seen[WEIR_FLOW_STATES] = { 0 };

	for (uint32_t i = 0; i < world->records; i++)
		seen[world_flow(world, i)->control.state]++;
	world_verify(world);
	if (seen[WEIR_FLOW_HALF_OPEN] == half_open && seen[WEIR_FLOW_ESTABLISHED] == established &&
	    seen[WEIR_FLOW_CLOSING] == closing)
		return;
	print_error("expected %d half open, %d established, %d closing; got %d, %d, %d\n",
		    half_open, established, closing, seen[WEIR_FLOW_HALF_OPEN],
		    seen[WEIR_FLOW_ESTABLISHED], seen[WEIR_FLOW_CLOSING]);
	_fail(file, line);
}
