// SPDX-License-Identifier: GPL-2.0-only
#include "bench/wrapper.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "wrapper.skel.h"

struct wrapper {
	struct wrapper_bpf *skeleton;
	struct bench_tuple *tuples;
	size_t length; /* bytes mapped at @tuples */
	uint32_t ifindex;
};

int wrapper_open(uint32_t tuples, uint32_t ifindex, struct wrapper **ret, struct error *error)
{
	struct wrapper *wrapper = calloc(1, sizeof(*wrapper));
	int r;

	if (!wrapper)
		return error_set(error, -ENOMEM, "out of memory");
	wrapper->ifindex = ifindex;
	wrapper->tuples = MAP_FAILED;
	wrapper->length = ((size_t)tuples * sizeof(struct bench_tuple) + 4095) & ~4095UL;
	wrapper->skeleton = wrapper_bpf__open();
	r = wrapper->skeleton ? 0 : -errno;
	if (!r)
		r = bpf_map__set_max_entries(wrapper->skeleton->maps.tuples, tuples);
	if (!r)
		r = wrapper_bpf__load(wrapper->skeleton);
	if (!r) {
		wrapper->tuples = mmap(NULL, wrapper->length, PROT_READ | PROT_WRITE, MAP_SHARED,
				       bpf_map__fd(wrapper->skeleton->maps.tuples), 0);
		r = wrapper->tuples == MAP_FAILED ? -errno : 0;
	}
	/*
	 * On an interface, the program stays known to the kernel's XDP dispatcher. Otherwise each run
	 * would enter and remove it and wait for two grace periods.
	 */
	if (!r)
		r = bpf_xdp_attach((int)ifindex,
				   bpf_program__fd(wrapper->skeleton->progs.bench_wrapper),
				   XDP_FLAGS_SKB_MODE, NULL);
	if (!r)
		r = wrapper_set_target(wrapper, BENCH_NOTHING,
				       bpf_program__fd(wrapper->skeleton->progs.bench_nothing));
	if (r) {
		wrapper_close(wrapper);
		return error_set(error, r, "cannot load the wrapper program: %s", strerror(-r));
	}
	*ret = wrapper;
	return 0;
}

void wrapper_close(struct wrapper *wrapper)
{
	if (!wrapper)
		return;
	bpf_xdp_detach((int)wrapper->ifindex, XDP_FLAGS_SKB_MODE, NULL);
	if (wrapper->tuples != MAP_FAILED)
		munmap(wrapper->tuples, wrapper->length);
	wrapper_bpf__destroy(wrapper->skeleton);
	free(wrapper);
}

struct bench_tuple *wrapper_tuples(struct wrapper *wrapper)
{
	return wrapper->tuples;
}

struct bench_state *wrapper_state(struct wrapper *wrapper)
{
	return &wrapper->skeleton->bss->state;
}

int wrapper_program(const struct wrapper *wrapper)
{
	return bpf_program__fd(wrapper->skeleton->progs.bench_wrapper);
}

int wrapper_set_target(struct wrapper *wrapper, enum bench_target target, int program)
{
	uint32_t key = target, value = (uint32_t)program;

	return bpf_map__update_elem(wrapper->skeleton->maps.targets, &key, sizeof(key), &value,
				    sizeof(value), BPF_ANY);
}

static double cpu_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

int wrapper_run(struct wrapper *wrapper, enum bench_target target, uint32_t packets, double *ns,
		uint32_t *verdict)
{
	int program = wrapper_program(wrapper);
	uint32_t length = wrapper->skeleton->bss->state.length;
	struct xdp_md context = { .data_end = length, .ingress_ifindex = wrapper->ifindex };
	uint8_t frame[BENCH_FRAME6] = {};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = (int)packets);
	double start;
	int r;

	wrapper->skeleton->bss->state.target = target;
	start = cpu_time_ns();
	r = bpf_prog_test_run_opts(program, &options);
	if (r)
		return r;
	if (ns)
		*ns = (cpu_time_ns() - start) / packets;
	if (verdict)
		*verdict = options.retval;
	return 0;
}
