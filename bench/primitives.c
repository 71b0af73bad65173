// SPDX-License-Identifier: GPL-2.0-only
#include "bench/primitives.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "primitives.skel.h"

#define ROUNDS 3
#define PACKETS 200000

struct primitive primitives[PRIMITIVES] = {
	{ .name = "call of an own function, and its return", .times = PRIMITIVE_TIMES },
	{ .name = "call of a helper that does next to nothing", .times = PRIMITIVE_TIMES },
	{ .name = "tail call to a fixed program", .times = 1 },
	{ .name = "bpf_xdp_adjust_head", .times = PRIMITIVE_TIMES },
	{ .name = "bpf_ktime_get_ns", .times = PRIMITIVE_TIMES },
	{ .name = "bpf_jiffies64", .times = PRIMITIVE_TIMES },
	{ .name = "counter in a per-CPU array", .times = PRIMITIVE_TIMES },
	{ .name = "the same, atomic", .times = PRIMITIVE_TIMES },
	{ .name = "bpf_csum_diff over 20 bytes", .times = PRIMITIVE_TIMES },
};

static int run(struct traffic *traffic, const struct bpf_program *program, double *least)
{
	uint32_t verdict;
	double ns;
	int r;

	r = wrapper_set_target(traffic->wrapper, BENCH_PRIMITIVE, bpf_program__fd(program));
	if (!r)
		r = traffic_run(traffic, TRAFFIC_YARDSTICK, 0, BENCH_PRIMITIVE, PACKETS, &ns,
				&verdict);
	if (r)
		return r;
	if (!*least || ns < *least)
		*least = ns;
	return verdict == XDP_TX ? 0 : -EPROTO;
}

static int run_all(struct traffic *traffic, struct primitives_bpf *skeleton, double *nothing,
		   uint32_t load)
{
	const struct bpf_program *const programs[PRIMITIVES] = {
		skeleton->progs.primitive_call,          skeleton->progs.primitive_helper,
		skeleton->progs.primitive_tail_call_one, skeleton->progs.primitive_adjust_head,
		skeleton->progs.primitive_time,          skeleton->progs.primitive_jiffies,
		skeleton->progs.primitive_count,         skeleton->progs.primitive_count_atomic,
		skeleton->progs.primitive_checksum,
	};
	int r = run(traffic, skeleton->progs.primitive_nothing, nothing);

	for (size_t i = 0; i < PRIMITIVES && !r; i++)
		r = run(traffic, programs[i], &primitives[i].ns[load]);
	return r;
}

int primitives_measure(struct traffic *traffic, uint32_t load, struct error *error)
{
	struct primitives_bpf *skeleton = primitives_bpf__open_and_load();
	uint32_t key = 0, value;
	double nothing = 0;
	int r;

	if (!skeleton)
		return error_set(error, -errno, "cannot load the primitives: %s", strerror(errno));
	value = (uint32_t)bpf_program__fd(skeleton->progs.primitive_nothing);
	r = bpf_map__update_elem(skeleton->maps.jumps, &key, sizeof(key), &value, sizeof(value),
				 BPF_ANY);
	for (int round = 0; round < ROUNDS && !r; round++)
		r = run_all(traffic, skeleton, &nothing, load);
	for (size_t i = 0; i < PRIMITIVES; i++)
		primitives[i].ns[load] -= nothing;
	primitives_bpf__destroy(skeleton);
	return r ? error_set(error, r, "cannot run the primitives: %s", strerror(-r)) : 0;
}
