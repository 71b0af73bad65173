// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/packet/talk.h"

/*
 * A million established flows, a quarter of them in IPv6, as the limits are by default: nothing stalls,
 * nothing is lost, and it costs what it may.
 */

#define FLOWS (frame_family() == WEIR_IPV6 ? 250000 : 1000000)
#define ROOM (frame_family() == WEIR_IPV6 ? 262144 : 1048576)
#define HALF_OPEN 65536
#define CHUNK 16384
#define ADDRESSES 16
#define PORTS_PER_CLIENT 50000
#define FIRST_PORT 10000
/* Of kernel memory, a flow. */
#define MOST_BYTES (frame_family() == WEIR_IPV6 ? 400 : 256)

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* Client @number, as it stands in its record: records are handed out in order. */
static struct talk talk_number(struct world *world, uint32_t number)
{
	struct talk talk = talk_tcp(world, IP4(10, 0, 16, 0) + number / PORTS_PER_CLIENT,
				    (uint16_t)(FIRST_PORT + number % PORTS_PER_CLIENT));
	const struct weir_flow *flow = world_flow(world, number);

	talk.client_next++;
	talk.backend_id = flow->backend_id;
	talk.backend = flow_backend(world, flow);
	talk.backend_port = ntohs(flow->backend_ports.source);
	talk.snat = flow_snat(world, flow);
	talk.snat_port = ntohs(flow->backend_ports.destination);
	return talk;
}

static void run_quickly(struct world *world, const struct segment *segment)
{
	struct frame frame = frame_of(segment);

	assert_int_equal(world_run_quickly(world, &frame), XDP_TX);
}

static void establish_quickly(struct world *world, uint32_t number)
{
	struct talk talk = talk_number(world, number);
	struct segment segment;

	talk.client_next--;
	segment = client_segment(&talk, SYN, 0);
	run_quickly(world, &segment);
	talk = talk_number(world, number);
	segment = backend_segment(&talk, SYN | ACK, 0);
	run_quickly(world, &segment);
	talk.backend_next++;
	segment = client_segment(&talk, ACK, 0);
	run_quickly(world, &segment);
}

static struct world *a_million(void)
{
	struct world *world = world_open(ROOM, HALF_OPEN);
	uint32_t addresses[ADDRESSES];
	double start = now_ms();

	for (uint32_t i = 0; i < ADDRESSES; i++)
		addresses[i] = IP4(192, 168, 178, 100) + i;
	world_snat_addresses(world, addresses, ADDRESSES);
	world_snat_ports(world, FIRST_PORT, 65534);
	for (uint32_t i = 0; i < FLOWS; i++)
		establish_quickly(world, i);
	print_message("# %d handshakes in %.1f s\n", FLOWS, (now_ms() - start) / 1000);
	return world;
}

struct walk {
	struct weir_sweep sum;
	double longest_ms, all_ms;
};

static struct walk walk(struct world *world)
{
	struct walk walk = { 0 };

	memset(world->tables->audits, 0,
	       world->tables->sizes.backends * sizeof(*world->tables->audits));
	for (uint32_t first = 0; first < world->records;) {
		struct weir_sweep chunk = { .first = world->first_record + first, .count = CHUNK };
		double start = now_ms(), took;

		assert_int_equal(datapath_sweep(world->datapath, &chunk), 0);
		took = now_ms() - start;
		walk.all_ms += took;
		walk.longest_ms = took > walk.longest_ms ? took : walk.longest_ms;
		walk.sum.expired += chunk.expired;
		walk.sum.freed += chunk.freed;
		walk.sum.established += chunk.established;
		walk.sum.half_open += chunk.half_open;
		assert_in_range(chunk.count, 1, CHUNK);
		first += chunk.count;
	}
	return walk;
}

static void print_walk(const char *what, const struct walk *walk)
{
	print_message("# %s: %.1f ms in all, the longest chunk of %d records %.2f ms\n", what,
		      walk->all_ms, CHUNK, walk->longest_ms);
}

/* Each of some flows from all over gets its own packets, both ways, to the byte. */
static void traffic(struct world *world)
{
	for (uint32_t i = 0; i < 2000; i++) {
		struct talk talk = talk_number(world,
					       (uint32_t)(((uint64_t)i * 7919 * 499) % FLOWS));
		struct segment segment;

		talk.backend_next++;
		segment = client_segment(&talk, ACK | PSH, i % 100);
		talk_client_with(&talk, &segment);
		segment = backend_segment(&talk, ACK | PSH, i % 90);
		talk_backend_with(&talk, &segment);
	}
}

/* Bytes that the kernel takes for one more flow. */
static double bytes_a_flow(const struct world *million)
{
	struct world *small = world_open(1024, HALF_OPEN);
	double bytes = (double)(datapath_memory(million->datapath) -
				datapath_memory(small->datapath));

	world_close(small);
	return bytes / (ROOM - 1024);
}

static void one_million(void **state)
{
	struct world *world = a_million();
	const struct datapath_tables *tables = world->tables;
	double bytes = bytes_a_flow(world);
	struct walk result = walk(world);

	print_walk("walk", &result);
	print_message("# %.1f bytes of kernel memory a flow\n", bytes);
	assert_true(bytes <= MOST_BYTES);
	assert_int_equal(result.sum.established, FLOWS);
	assert_int_equal(result.sum.expired + result.sum.freed + result.sum.half_open, 0);
	assert_int_equal(tables->shared->records[frame_family()], FLOWS);
	for (uint32_t id = 1; id <= 2; id++) {
		assert_int_equal(tables->loads[id].established, FLOWS / 2);
		assert_int_equal(tables->loads[id].snat_ports, FLOWS / 2);
		assert_int_equal(tables->audits[id].established, FLOWS / 2);
	}
	traffic(world);
	world_verify(world);

	/* All expire at once. */
	memset(&service_of(world, WEB)->timeouts, 0, sizeof(struct weir_timeouts));
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	result = walk(world);
	print_walk("walk in which all expire", &result);
	assert_int_equal(result.sum.expired, FLOWS);
	result = walk(world);
	print_walk("walk in which all are freed", &result);
	assert_int_equal(result.sum.freed, FLOWS);
	assert_int_equal(tables->shared->records[frame_family()], 0);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_million) };

	return packet_tests(tests);
}
