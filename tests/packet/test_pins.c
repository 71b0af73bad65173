// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/meta.h"

#include "src/base/cleanup.h"

#include "tests/packet/pinned.h"

/* The next process goes on where the last one stopped, or says why it cannot. */

#define TEXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const struct datapath_sizes *usual_sizes(void)
{
	static struct datapath_sizes sizes;

	sizes = world_sizes(FLOWS, HALF_OPEN);
	return &sizes;
}

/* Both ways, with every byte compared. */
static void goes_on(struct talk *talk)
{
	talk_client(talk, ACK, 100);
	talk_backend(talk, ACK, 1000);
	assert_state(talk, ESTABLISHED);
}

static void flows_and_counters_go_on(void **state)
{
	struct world *world = world_of(open_pins(false));
	struct talk old = talk_tcp(world, CLIENT, 40000), new = talk_tcp(world, CLIENT, 40001);
	struct weir_counters before;
	struct weir_traffic traffic;
	uint32_t program;

	talk_establish(&old);
	goes_on(&old);
	before = world->counters;
	program = datapath_program_id(world->datapath);
	for (int i = 0; i < 3; i++) {
		world_use(world, NULL);
		world_use(world, open_pins(true));
		assert_int_not_equal(datapath_program_id(world->datapath), program);
		world_read_counters(world);
		assert_memory_equal(&world->counters, &before, sizeof(before));
		goes_on(&old);
		before = world->counters;
	}
	assert_int_equal(datapath_read_traffic(world->datapath, old.backend_id, &traffic), 0);
	assert_int_equal(traffic.in_packets, 2 + 4 * 1);
	/* New ones, too: ids, ports and the turn of the backends go on. */
	talk_establish(&new);
	assert_int_not_equal(new.backend_id, old.backend_id);
	goes_on(&new);
	goes_on(&old);
	assert_flows(world, 0, 2, 0);
	world_close(world);
}

static void sizes_are_those_of_the_tables(void **state)
{
	struct datapath_sizes smaller = world_sizes(FLOWS / 2, HALF_OPEN / 2);
	const struct datapath_tables *tables;
	struct datapath *datapath = open_pins(false);
	uint32_t records = datapath_tables(datapath)->records[frame_family()];
	struct error error;
	bool adopted;

	datapath_tables(datapath)->runtime->trace = 1;
	strcpy(datapath_tables(datapath)->service_names[63].text, "web");
	datapath_close(datapath);
	smaller.backends /= 2;
	assert_int_equal(datapath_open(&smaller, PINS, &datapath, &adopted, &error), 0);
	assert_true(adopted);
	tables = datapath_tables(datapath);
	assert_memory_equal(&tables->sizes, usual_sizes(), sizeof(tables->sizes));
	assert_int_equal(tables->records[frame_family()], records);
	assert_string_equal(tables->service_names[63].text, "web");
	/* Whoever listened is gone. */
	assert_int_equal(tables->runtime->trace, 0);
	assert_true(datapath_hz(datapath) >= 100);
	datapath_close(datapath);
}

static void refuses_larger_sizes(void **state)
{
	struct datapath_sizes sizes = *usual_sizes();

	datapath_close(open_pins(false));
	sizes.flows *= 2;
	open_fails(&sizes, -E2BIG,
		   TEXTS("room for 1024 live flows", "wants 2048", PINS,
			 "weir --instance test detach", "cuts all connections"));
	sizes = *usual_sizes();
	sizes.half_open++;
	open_fails(&sizes, -E2BIG, TEXTS("room for 64 half-open flows", "wants 65"));
	sizes = *usual_sizes();
	sizes.services++;
	open_fails(&sizes, -E2BIG, TEXTS("room for 64 services", "wants 65"));
	sizes = *usual_sizes();
	sizes.port_queues++;
	open_fails(&sizes, -E2BIG, TEXTS("room for 4 port queues", "wants 5"));
	/* Nothing was harmed. */
	datapath_close(open_pins(true));
}

static void refuses_other_versions(void **state)
{
	struct weir_meta good, bad;

	datapath_close(open_pins(false));
	good = bad = meta_get();
	bad.abi++;
	meta_set(&bad);
	open_fails(usual_sizes(), -EPROTO,
		   TEXTS("another version", PINS, "weir --instance test detach"));
	bad = good;
	bad.layout++;
	meta_set(&bad);
	open_fails(usual_sizes(), -EPROTO, TEXTS("another version"));
	bad = good;
	bad.magic++;
	meta_set(&bad);
	open_fails(usual_sizes(), -EPROTO, TEXTS("another version"));
	meta_set(&good);
	datapath_close(open_pins(true));
	assert_int_equal(unlink(PINS "/maps/ring4"), 0);
	open_fails(usual_sizes(), -EPROTO, TEXTS("some are missing", "detach"));
	assert_int_equal(unlink(PINS "/maps/meta"), 0);
	open_fails(usual_sizes(), -EPROTO, TEXTS("damaged", "detach"));
}

static void other_reasons_are_counted_anew(void **state)
{
	struct world *world = world_of(open_pins(false));
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct weir_counters zero = {};
	struct weir_meta meta;

	talk_establish(&talk);
	world_use(world, NULL);
	meta = meta_get();
	meta.reasons++;
	meta_set(&meta);
	world_use(world, open_pins(true));
	world_read_counters(world);
	assert_int_equal(world->counters.packets, 0);
	assert_memory_equal(world->counters.reasons, zero.reasons, sizeof(zero.reasons));
	world->sent = 0;
	world->unsent = 1; /* of those that are counted now */
	assert_flows(world, 0, 1, 0);
	goes_on(&talk);
	/* Once. */
	world_use(world, NULL);
	world_use(world, open_pins(true));
	world_read_counters(world);
	assert_int_equal(world->counters.packets, 2);
	world_use(world, NULL);
	free(world);
}

/* What a process killed at some moment may leave; tests/packet/test_pins_killed.c finds the moments. */
static void incomplete_ones_are_removed(void **state)
{
	struct weir_meta meta;

	assert_true(mkdir("/sys/fs/bpf/weir", 0700) == 0 || errno == EEXIST);
	assert_int_equal(mkdir(PINS, 0700), 0);
	datapath_close(open_pins(false));
	assert_int_equal(rename(PINS "/maps", PINS "/new"), 0);
	assert_int_equal(unlink(PINS "/new/meta"), 0);
	datapath_close(open_pins(false));
	assert_int_equal(pin_count("new"), -1);
	meta = meta_get();
	assert_int_equal(meta.complete, 1);
	meta.complete = 0;
	meta_set(&meta);
	datapath_close(open_pins(false));
	/* Left-overs beside complete ones. */
	assert_int_equal(mkdir(PINS "/new", 0700), 0);
	datapath_close(open_pins(true));
	assert_int_equal(pin_count("new"), -1);
}

static void one_process_at_a_time(void **state)
{
	struct datapath *datapath = open_pins(false);
	struct error error;

	open_fails(usual_sizes(), -EBUSY,
		   TEXTS("instance 'test'", PINS, "weir --instance test status"));
	assert_int_equal(datapath_remove_pins(PINS, &error), -EBUSY);
	assert_non_null(strstr(error.text, "instance 'test'"));
	assert_true(pin_count("maps") > 10);
	datapath_close(datapath);
	datapath_close(open_pins(true));
}

static void after_a_failure_nothing_is_left(void **state)
{
	struct datapath_sizes sizes = *usual_sizes();

	sizes.slots = 0;
	open_fails(&sizes, -EINVAL, TEXTS("cannot load"));
	assert_int_equal(access(PINS, F_OK), -1);
}

static void removes_pins(void **state)
{
	struct error error;

	assert_int_equal(datapath_remove_pins(PINS, &error), 0);
	datapath_close(open_pins(false));
	assert_int_equal(datapath_remove_pins(PINS, &error), 1);
	assert_int_equal(access(PINS, F_OK), -1);
	assert_int_equal(datapath_remove_pins(PINS, &error), 0);
	/* Never anything that cannot be pins. */
	assert_int_equal(datapath_remove_pins("/sys/fs", &error), -EINVAL);
}

/* As after `ip netns exec`, which mounts a new /sys. */
static void mounts_bpffs(void **state)
{
	struct datapath *datapath;
	struct error error = {};
	bool adopted;

	assert_int_equal(mount("sysfs", "/sys", "sysfs", 0, NULL), 0);
	datapath_close(open_pins(false));
	datapath_close(open_pins(true));
	assert_int_equal(datapath_remove_pins(PINS, &error), 1);
	assert_int_equal(umount2("/sys", MNT_DETACH), 0);

	assert_int_equal(datapath_open(usual_sizes(), "/dev/shm/weir", &datapath, &adopted, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "mount -t bpf"));
	assert_int_equal(access("/dev/shm/weir", F_OK), -1);
	assert_int_equal(
		datapath_open(usual_sizes(), "/sys/fs/bpf/a.b", &datapath, &adopted, &error),
		-EINVAL);
	assert_non_null(strstr(error.text, "dot"));
	assert_int_equal(datapath_open(usual_sizes(), "pins", &datapath, &adopted, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "absolute path"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pinned_test(flows_and_counters_go_on),
		pinned_test(sizes_are_those_of_the_tables),
		pinned_test(refuses_larger_sizes),
		pinned_test(refuses_other_versions),
		pinned_test(other_reasons_are_counted_anew),
		pinned_test(incomplete_ones_are_removed),
		pinned_test(one_process_at_a_time),
		pinned_test(after_a_failure_nothing_is_left),
		pinned_test(removes_pins),
		pinned_test(mounts_bpffs),
	};

	return pinned_tests(tests);
}
