// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/meta.h"

#include "src/base/cleanup.h"

#include "tests/packet/pinned.h"

/* Links: what is attached stays attached, by the same link, while programs come and go. */

static uint32_t interface(const char *name)
{
	uint32_t ifindex = if_nametoindex(name);

	assert_true(ifindex > 0);
	return ifindex;
}

static struct bpf_xdp_query_opts attached(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	assert_int_equal(bpf_xdp_query((int)ifindex, 0, &query), 0);
	return query;
}

static struct bpf_link_info link_called(const char *format, uint32_t ifindex)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	_cleanup_close_ int fd = -1;
	char name[64];

	snprintf(name, sizeof(name), format, ifindex);
	fd = pin_get(name);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	return info;
}

static struct bpf_link_info pinned_link(uint32_t ifindex, bool native)
{
	return link_called(native ? "link-%u-native" : "link-%u-generic", ifindex);
}

static void must_attach(struct datapath *datapath, uint32_t ifindex, bool native)
{
	struct error error = {};

	if (datapath_attach(datapath, ifindex, native, &error))
		fail_msg("%s", error.text);
}

static void keeps_the_link(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t ifindex = interface("weir0"), found[2] = {}, program, link;

	must_attach(datapath, ifindex, true);
	program = datapath_program_id(datapath);
	link = pinned_link(ifindex, true).id;
	datapath_close(datapath);
	assert_int_equal(attached(ifindex).prog_id, program);
	assert_int_equal(attached(ifindex).attach_mode, XDP_ATTACHED_DRV);

	datapath = open_pins(true);
	/* Until it is swapped, the old program does the work. */
	assert_int_equal(attached(ifindex).prog_id, program);
	assert_int_equal(datapath_attached(datapath, found, 2), 1);
	assert_int_equal(found[0], ifindex);
	assert_int_equal(datapath_attached_native(datapath, ifindex), 1);
	assert_int_equal(datapath_attached_native(datapath, interface("weir1")), -ENOENT);
	must_attach(datapath, ifindex, true);
	assert_int_not_equal(datapath_program_id(datapath), program);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	assert_int_equal(pinned_link(ifindex, true).id, link);
	/* Once more, by the same one: nothing changes. */
	must_attach(datapath, ifindex, true);
	assert_int_equal(pinned_link(ifindex, true).id, link);
	datapath_close(datapath);
}

static void changes_the_mode(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t ifindex = interface("weir0");

	must_attach(datapath, ifindex, false);
	assert_int_equal(attached(ifindex).attach_mode, XDP_ATTACHED_SKB);
	datapath_close(datapath);
	datapath = open_pins(true);
	assert_int_equal(datapath_attached_native(datapath, ifindex), 0);
	must_attach(datapath, ifindex, true);
	assert_int_equal(attached(ifindex).attach_mode, XDP_ATTACHED_DRV);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	assert_int_equal(datapath_attached(datapath, NULL, 0), 0);
	assert_int_equal(datapath_attached_native(datapath, ifindex), 1);
	datapath_close(datapath);
	/* One link, after all. */
	datapath = open_pins(true);
	assert_int_equal(datapath_attached(datapath, (uint32_t[4]){}, 4), 1);
	datapath_close(datapath);
}

static void detaches(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t first = interface("weir0"), second = interface("weir1"), found[4];
	_cleanup_close_ int held = -1;
	char name[64];

	must_attach(datapath, first, true);
	must_attach(datapath, second, false);
	assert_int_equal(datapath_attached(datapath, found, 4), 2);
	/* At once, though somebody looks at it. */
	snprintf(name, sizeof(name), "link-%u-native", first);
	held = pin_get(name);
	assert_true(held >= 0);
	datapath_detach_from(datapath, first);
	assert_int_equal(attached(first).prog_id, 0);
	assert_int_equal(attached(second).prog_id, datapath_program_id(datapath));
	assert_int_equal(datapath_attached(datapath, found, 4), 1);
	assert_int_equal(found[0], second);
	datapath_detach(datapath);
	assert_int_equal(attached(second).prog_id, 0);
	assert_int_equal(access(PINS, F_OK), -1);
	assert_int_equal(datapath_attached(datapath, found, 4), 0);
	datapath_close(datapath);
	assert_int_equal(access(PINS, F_OK), -1);
}

static void without_a_daemon(void **state)
{
	uint32_t ifindex = interface("weir0");
	struct datapath *datapath = open_pins(false);
	struct error error;

	must_attach(datapath, ifindex, true);
	datapath_close(datapath);
	assert_int_equal(datapath_remove_pins(PINS, &error), 1);
	assert_int_equal(attached(ifindex).prog_id, 0);
	assert_int_equal(access(PINS, F_OK), -1);
}

static void make_interface(void)
{
	assert_int_equal(system("ip link add gone0 index 4242 type veth peer name gone1"), 0);
}

static void interface_vanishes(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t ifindex, found[2];

	make_interface();
	ifindex = interface("gone0");
	must_attach(datapath, ifindex, false);
	/* Comes back while the daemon runs, or between two of them, with the index it had. */
	assert_int_equal(system("ip link delete gone0"), 0);
	assert_int_equal(datapath_attached(datapath, found, 2), 0);
	assert_int_equal(datapath_attached_native(datapath, ifindex), -ENOENT);
	make_interface();
	must_attach(datapath, ifindex, false);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	datapath_close(datapath);
	assert_int_equal(system("ip link delete gone0"), 0);
	assert_true(access(PINS "/link-4242-generic", F_OK) == 0);
	datapath = open_pins(true);
	assert_true(access(PINS "/link-4242-generic", F_OK) == -1);
	datapath_close(datapath);
}

static void another_program_is_there(void **state)
{
	struct datapath *other = open_pins(false), *datapath;
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	uint32_t ifindex = interface("weir0");
	struct error error;

	must_attach(other, ifindex, true);
	assert_int_equal(datapath_open(&sizes, PINS "2", &datapath, NULL, &error), 0);
	assert_int_equal(datapath_attach(datapath, ifindex, true, &error), -EBUSY);
	assert_non_null(strstr(error.text, "another XDP program"));
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(other));
	datapath_detach(datapath);
	datapath_close(datapath);
	datapath_close(other);
}

/* An interface that is only sent from becomes one that is balanced on, and back, by the same link. */
static void only_passes(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t ifindex = interface("weir1"), found[2] = {}, link;
	struct error error;

	assert_false(datapath_is_native(ifindex));
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	assert_true(datapath_is_native(ifindex));
	assert_int_not_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	link = link_called("pass-%u", ifindex).id;
	datapath_close(datapath);
	datapath = open_pins(true);
	assert_int_equal(datapath_passing(datapath, found, 2), 1);
	assert_int_equal(found[0], ifindex);
	assert_int_equal(datapath_attached(datapath, found, 2), 0);
	must_attach(datapath, ifindex, true);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	assert_int_equal(pinned_link(ifindex, true).id, link);
	assert_int_equal(datapath_passing(datapath, found, 2), 0);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	assert_int_not_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	assert_int_equal(link_called("pass-%u", ifindex).id, link);
	assert_int_equal(datapath_attached(datapath, found, 2), 0);
	/* The modes exclude each other. */
	must_attach(datapath, ifindex, false);
	assert_int_equal(attached(ifindex).attach_mode, XDP_ATTACHED_SKB);
	assert_int_equal(datapath_passing(datapath, found, 2), 0);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	assert_int_equal(attached(ifindex).attach_mode, XDP_ATTACHED_DRV);
	datapath_detach_pass(datapath, ifindex);
	assert_int_equal(attached(ifindex).prog_id, 0);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	datapath_close(datapath);
	assert_int_equal(datapath_remove_pins(PINS, &error), 1);
	assert_int_equal(attached(ifindex).prog_id, 0);
}

static void only_passes_without_pins(void **state)
{
	const struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	uint32_t ifindex = interface("weir1");
	struct datapath *datapath;
	struct error error;

	assert_int_equal(datapath_open(&sizes, NULL, &datapath, NULL, &error), 0);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	assert_int_not_equal(attached(ifindex).prog_id, 0);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), -EBUSY);
	must_attach(datapath, ifindex, true);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	/* Who passes is another one. */
	datapath_detach_pass(datapath, ifindex);
	assert_int_equal(attached(ifindex).prog_id, datapath_program_id(datapath));
	datapath_detach_from(datapath, ifindex);
	assert_int_equal(datapath_attach_pass(datapath, ifindex, &error), 0);
	datapath_detach_pass(datapath, ifindex);
	assert_int_equal(attached(ifindex).prog_id, 0);
	assert_int_equal(datapath_attach_pass(datapath, interface("lo"), &error), -EOPNOTSUPP);
	datapath_close(datapath);
}

/* The kernel's failures are counted on while no daemon runs. */
static void failures_are_counted(void **state)
{
	struct datapath *datapath = open_pins(false);
	struct error error;
	uint64_t failures = 1;
	uint32_t link;

	assert_int_equal(datapath_watch_failures(datapath, &error), 0);
	link = link_called("failures-refused", 0).id;
	assert_int_equal(datapath_read_failures(datapath, &failures), 0);
	assert_int_equal(failures, 0);
	datapath_close(datapath);
	assert_int_equal(link_called("failures-refused", 0).id, link);
	datapath = open_pins(true);
	assert_int_equal(datapath_watch_failures(datapath, &error), 0);
	assert_int_not_equal(link_called("failures-refused", 0).id, link);
	assert_int_not_equal(link_called("failures-dropped", 0).id, 0);
	datapath_detach(datapath);
	assert_int_equal(access(PINS, F_OK), -1);
	datapath_close(datapath);
}

/* While the old program still counts by its own list, the counters are not ours. */
static void counters_of_other_reasons_are_reset_by_the_swap(void **state)
{
	struct datapath *datapath = open_pins(false);
	uint32_t ifindex = interface("lo");
	struct weir_counters counters;
	struct weir_meta meta = meta_get();
	struct world *world = world_of(datapath);
	struct frame frame = { .length = 64 };

	must_attach(datapath, ifindex, false);
	meta.reasons++;
	meta_set(&meta);
	world_use(world, NULL);
	world_use(world, open_pins(true));
	world_run_quickly(world, &frame);
	assert_int_equal(datapath_read_counters(world->datapath, &counters), 0);
	assert_int_equal(counters.packets, 1);
	must_attach(world->datapath, ifindex, false);
	assert_int_equal(datapath_read_counters(world->datapath, &counters), 0);
	assert_int_equal(counters.packets, 0);
	world_use(world, NULL);
	free(world);
}

/* Indices of interfaces mean nothing there. */
static void another_network_namespace(void **state)
{
	struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct datapath *datapath = open_pins(false);
	struct weir_meta meta;

	must_attach(datapath, interface("weir0"), true);
	datapath_close(datapath);
	meta = meta_get();
	meta.network_namespace++;
	meta_set(&meta);
	open_fails(&sizes, -EPROTO, (const char *const[]){ "network namespace", "detach", NULL });
	/* Gone with its interfaces: nothing speaks against a new start. */
	meta.network_namespace--;
	meta_set(&meta);
	datapath = open_pins(true);
	datapath_detach_from(datapath, interface("weir0"));
	datapath_close(datapath);
	meta.network_namespace++;
	meta_set(&meta);
	datapath_close(open_pins(false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		pinned_test(keeps_the_link),
		pinned_test(changes_the_mode),
		pinned_test(detaches),
		pinned_test(without_a_daemon),
		pinned_test(interface_vanishes),
		pinned_test(another_program_is_there),
		pinned_test(only_passes),
		pinned_test(only_passes_without_pins),
		pinned_test(failures_are_counted),
		pinned_test(counters_of_other_reasons_are_reset_by_the_swap),
		pinned_test(another_network_namespace),
	};

	return pinned_tests(tests);
}
