// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/base/cleanup.h"

#include "tests/packet/direct.h"
#include "tests/packet/pinned.h"

/* Tables that were made for nat alone get room for sessions of dsr and ipip. */

#define MANY 4096

/* Interfaces that are down: what the kernel sends by itself would be counted. */
static void make_interfaces(void)
{
	assert_int_equal(system("ip link add down0 type veth peer name down1"), 0);
}

static void remove_interfaces(void)
{
	assert_int_equal(system("ip link delete down0"), 0);
}

static struct world *world_without_sessions(void)
{
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct datapath *datapath = NULL;
	struct error error = {};

	sizes.sessions = 0;
	if (datapath_open(&sizes, PINS, &datapath, NULL, &error))
		fail_msg("%s", error.text);
	return world_of(datapath);
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info;
}

/* How many places the sessions have, which are those that are pinned. */
static uint32_t places(struct world *world)
{
	_cleanup_close_ int pinned = pin_get("maps/sessions"), used = world_map(world, "sessions");

	assert_int_equal(info_of(pinned).id, info_of(used).id);
	assert_int_equal(pin_count("new"), -1);
	return info_of(used).max_entries * WEIR_SESSION_PLACES;
}

static struct datapath_sessions *make(struct world *world, uint32_t sessions)
{
	struct datapath_sessions *made = NULL;
	struct error error = {};

	if (datapath_sessions_make(world->datapath, sessions, &made, &error))
		fail_msg("%s", error.text);
	return made;
}

static void use(struct world *world, struct datapath_sessions *made)
{
	struct error error = {};

	if (datapath_sessions_use(world->datapath, made, &error))
		fail_msg("%s", error.text);
	datapath_sessions_drop(made);
}

static void attach(struct world *world, const char *name, bool native)
{
	struct error error = {};

	if (datapath_attach(world->datapath, if_nametoindex(name), native, &error))
		fail_msg("%s", error.text);
}

static void assert_attached(struct world *world)
{
	static const char *const names[] = { "down0", "down1" };

	for (size_t i = 0; i < 2; i++) {
		LIBBPF_OPTS(bpf_xdp_query_opts, query);

		assert_int_equal(bpf_xdp_query((int)if_nametoindex(names[i]), 0, &query), 0);
		assert_int_equal(query.prog_id, datapath_program_id(world->datapath));
	}
}

/* Each of @count flows from @port on finds the session that its SYN has made. */
static void remembers(struct world *world, uint16_t port, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct segment in = tcp_segment(CLIENT, port + i, WEIR, DIRECT_PORT, SYN);
		uint32_t backend = i % 2 ? BACKEND_2 : BACKEND_1;

		send_to(world, &in, WEIR_REASON_NEW_FLOW, backend);
		in.flags = ACK;
		send_to(world, &in, WEIR_REASON_TO_BACKEND, backend);
	}
}

static void go_on(struct world *world, uint16_t port, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct segment in = tcp_segment(CLIENT, port + i, WEIR, DIRECT_PORT, ACK);

		send_to(world, &in, WEIR_REASON_TO_BACKEND, i % 2 ? BACKEND_2 : BACKEND_1);
	}
}

static void while_packets_are_forwarded(void **state)
{
	struct world *world = world_without_sessions();
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	struct datapath_sessions *made;
	uint32_t program;

	make_interfaces();
	attach(world, "down0", true);
	attach(world, "down1", false);
	talk_establish(&talk);
	assert_int_equal(places(world), WEIR_SESSION_PLACES);
	program = datapath_program_id(world->datapath);
	made = make(world, MANY);
	assert_int_equal(datapath_program_id(world->datapath), program);
	assert_attached(world);
	use(world, made);
	assert_int_not_equal(datapath_program_id(world->datapath), program);
	assert_attached(world);
	assert_true(places(world) >= MANY);
	talk_client(&talk, ACK, 100);
	talk_backend(&talk, ACK, 1000);
	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	remembers(world, 50000, 64);
	go_on(world, 50000, 64);
	/* Enough is enough. */
	assert_null(make(world, MANY));
	assert_null(make(world, 0));
	/* The next process has them. */
	world_use(world, NULL);
	world_use(world, open_pins(true));
	go_on(world, 50000, 64);
	assert_true(places(world) >= MANY);
	world_close(world);
	remove_interfaces();
}

static unsigned int sessions_in(struct world *world)
{
	_cleanup_close_ int map = world_map(world, "sessions");
	struct weir_session_bucket bucket;
	unsigned int count = 0;

	for (uint32_t i = 0; !bpf_map_lookup_elem(map, &i, &bucket); i++)
		for (uint32_t k = 0; k < WEIR_SESSION_PLACES; k++)
			count += bucket.sessions[k].owner.word != 0;
	return count;
}

static void made_but_not_used(void **state)
{
	struct world *world = world_without_sessions();
	uint32_t before = places(world);

	direct_serve(world, WEIR_MODE_IPIP, WEIR_SCHEDULER_RR);
	datapath_sessions_drop(make(world, MANY));
	assert_int_equal(places(world), before);
	/* weir_slow makes sessions where weir_xdp looks for them. */
	remembers(world, 50000, 2);
	assert_int_equal(sessions_in(world), 2);
	datapath_sessions_drop(NULL);
	world_close(world);
}

static void a_failure_changes_nothing(void **state)
{
	struct world *world = world_without_sessions();
	struct datapath_sessions *made = make(world, MANY);
	struct error error = {};
	uint32_t program = datapath_program_id(world->datapath);

	make_interfaces();
	attach(world, "down0", true);
	attach(world, "down1", true);
	assert_int_equal(mkdir(PINS "/new", 0700), 0);
	assert_int_equal(datapath_sessions_use(world->datapath, made, &error), -EEXIST);
	assert_non_null(strstr(error.text, "cannot pin"));
	datapath_sessions_drop(made);
	assert_int_equal(datapath_program_id(world->datapath), program);
	assert_attached(world);
	assert_int_equal(places(world), WEIR_SESSION_PLACES);
	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	remembers(world, 50000, 2);
	world_close(world);
	remove_interfaces();
}

static void when_taken_over(void **state)
{
	struct world *world = world_without_sessions();
	struct talk talk = talk_tcp(world, CLIENT, 40000);

	talk_establish(&talk);
	world_use(world, NULL);
	world_use(world, open_pins(true));
	assert_true(places(world) >= 1024);
	talk_client(&talk, ACK, 100);
	direct_serve(world, WEIR_MODE_DSR, WEIR_SCHEDULER_RR);
	remembers(world, 50000, 64);
	world_use(world, NULL);
	world_use(world, open_pins(true));
	go_on(world, 50000, 64);
	world_close(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pinned_test(while_packets_are_forwarded),
		pinned_test(made_but_not_used),
		pinned_test(a_failure_changes_nothing),
		pinned_test(when_taken_over),
	};

	return pinned_tests(tests);
}
