// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi/hash.h"
#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "weir.skel.h"

#define NS_PER_S 1000000000L

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return 0;
}

/* The kernel does not tell HZ, but how far the clock that goes by ticks goes with each. 0: it is not known. */
static uint32_t ticks_per_second(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_sec || !tick.tv_nsec)
		return 0;
	return (uint32_t)((NS_PER_S + tick.tv_nsec / 2) / tick.tv_nsec);
}

/* What a new object needs before the first packet; one that was taken over has it. */
static int fill(struct datapath *datapath, struct error *error)
{
	int r = object_fill(datapath);

	if (r)
		return error_set(error, r, "cannot run BPF programs: %s", strerror(-r));
	return datapath->pins ? pins_publish(datapath, error) : 0;
}

/* What was taken over, as far as it cannot go on as it is. */
static int mend(struct datapath *datapath, struct error *error)
{
	int r = datapath->reasons_differ ? object_reset_reasons(datapath) : 0;

	if (r)
		return error_set(error, r, "cannot reset the counters: %s", strerror(-r));
	r = datapath->sessions_grow ? pins_replace(datapath, datapath->skeleton->maps.sessions) : 0;
	if (r)
		return error_set(error, r, "cannot pin a larger table of sessions: %s",
				 strerror(-r));
	datapath->meta->reasons = pins_reasons();
	datapath->tables.runtime->hz = datapath->hz;
	datapath->tables.runtime->trace = 0;
	return 0;
}

static int prepare(struct datapath *datapath, struct error *error)
{
	int r = object_map_tables(datapath);

	if (r)
		return error_set(error, r, "cannot map the BPF tables: %s", strerror(-r));
	datapath->program_id = object_program_id(datapath->skeleton);
	datapath->hz = ticks_per_second();
	if (!datapath->hz)
		return error_set(
			error, -ENOTSUP,
			"the kernel does not say how many ticks a second has (clock_getres)");
	return datapath->adopted ? mend(datapath, error) : fill(datapath, error);
}

int datapath_open(const struct datapath_sizes *sizes, const char *pins, struct datapath **ret,
		  bool *ret_adopted, struct error *error)
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));
	int r;

	if (!datapath)
		return error_set(error, -ENOMEM, "out of memory");
	libbpf_set_print(quiet);
	datapath->lock = -1;
	datapath->tables.sizes = *sizes;
	datapath->cpus = libbpf_num_possible_cpus();
	r = datapath->cpus < 0 ? error_set(error, datapath->cpus, "cannot count the CPUs") : 0;
	if (!r && pins)
		r = pins_take(datapath, pins, error);
	datapath->adopted = r > 0;
	if (r >= 0)
		r = object_load(datapath, error);
	if (!r)
		r = prepare(datapath, error);
	if (r) {
		/* Nobody needs what this process has pinned of it. */
		if (datapath->pins && !datapath->adopted)
			datapath_detach(datapath);
		datapath_close(datapath);
		return r;
	}
	*ret = datapath;
	if (ret_adopted)
		*ret_adopted = datapath->adopted;
	return 0;
}

/* Links that are pinned stay, with all maps. */
void datapath_close(struct datapath *datapath)
{
	if (!datapath)
		return;
	while (datapath->attachment_count)
		close(datapath->attachments[--datapath->attachment_count].link);
	failures_close(datapath);
	ring_buffer__free(datapath->events);
	for (size_t i = 0; i < datapath->mapping_count; i++)
		munmap(datapath->mappings[i].memory, datapath->mappings[i].length);
	weir__destroy(datapath->skeleton);
	free(datapath->attachments);
	free(datapath->pins);
	if (datapath->lock >= 0)
		close(datapath->lock);
	free(datapath);
}

const struct datapath_tables *datapath_tables(const struct datapath *datapath)
{
	return &datapath->tables;
}

void datapath_store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

int datapath_set_gateway(struct datapath *datapath, const struct weir_gateway_key *key,
			 uint16_t hop)
{
	const struct bpf_map *map = datapath->skeleton->maps.gateways;
	uint32_t value = hop;
	int r;

	if (hop)
		return bpf_map__update_elem(map, key, sizeof(*key), &value, sizeof(value), BPF_ANY);
	r = bpf_map__delete_elem(map, key, sizeof(*key), 0);
	return r == -ENOENT ? 0 : r;
}

int datapath_list_gateways(struct datapath *datapath,
			   void (*tell)(const struct weir_gateway_key *key, uint16_t hop,
					void *user),
			   void *user)
{
	const struct bpf_map *map = datapath->skeleton->maps.gateways;
	struct weir_gateway_key key, *before = NULL;
	uint32_t hop;
	int r;

	while ((r = bpf_map__get_next_key(map, before, &key, sizeof(key))) == 0) {
		before = &key;
		if (bpf_map__lookup_elem(map, &key, sizeof(key), &hop, sizeof(hop), 0) == 0)
			tell(&key, (uint16_t)hop, user);
	}
	return r == -ENOENT ? 0 : r;
}

int datapath_read_counters(struct datapath *datapath, struct weir_counters *ret)
{
	return object_sum(datapath, datapath->skeleton->maps.counters, 0, (uint64_t *)ret,
			  sizeof(*ret));
}

int datapath_read_traffic(struct datapath *datapath, uint32_t backend, struct weir_traffic *ret)
{
	return object_sum(datapath, datapath->skeleton->maps.traffic, backend, (uint64_t *)ret,
			  sizeof(*ret));
}

int datapath_clear_traffic(struct datapath *datapath, uint32_t backend)
{
	size_t size = sizeof(struct weir_traffic) * (size_t)datapath->cpus;
	_cleanup_free_ struct weir_traffic *zero = calloc(1, size);

	if (!zero)
		return -ENOMEM;
	return bpf_map__update_elem(datapath->skeleton->maps.traffic, &backend, sizeof(backend),
				    zero, size, BPF_ANY);
}

int datapath_sweep(struct datapath *datapath, struct weir_sweep *sweep)
{
	return object_run(datapath->skeleton->progs.weir_sweep, sweep, sizeof(*sweep));
}

int datapath_kill(struct datapath *datapath, struct weir_kill *kill)
{
	return object_run(datapath->skeleton->progs.weir_kill, kill, sizeof(*kill));
}

int datapath_find_ports(struct datapath *datapath, struct weir_port_search *search)
{
	return object_run(datapath->skeleton->progs.weir_find_ports, search, sizeof(*search));
}

/* An update of a map of maps returns after a grace period: programs may still read the old one. */
static int grace_by_map_of_maps(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	_cleanup_close_ int inner = -1, outer = -1;
	uint32_t key = 0;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, sizeof(key), sizeof(key), 1, NULL);
	if (inner < 0)
		return inner;
	options.inner_map_fd = (uint32_t)inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, sizeof(key), sizeof(key), 1,
			       &options);
	if (outer < 0)
		return outer;
	return bpf_map_update_elem(outer, &key, &inner, BPF_ANY);
}

int datapath_grace(void)
{
	/* Waits for an RCU grace period, which ends after every XDP program that ran before. */
	if (!syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return 0;
	/* Not offered with nohz_full, nor by every sandbox. */
	return grace_by_map_of_maps();
}

uint64_t datapath_jiffies(struct datapath *datapath)
{
	struct weir_clock clock = {};

	if (object_run(datapath->skeleton->progs.weir_read_clock, &clock, sizeof(clock)))
		return 0;
	return clock.jiffies;
}

uint32_t datapath_hz(const struct datapath *datapath)
{
	return datapath->hz;
}

int datapath_xdp_fd(const struct datapath *datapath)
{
	return bpf_program__fd(datapath->skeleton->progs.weir_xdp);
}

int datapath_map_fd(const struct datapath *datapath, const char *name)
{
	return bpf_object__find_map_fd_by_name(datapath->skeleton->obj, name);
}

uint64_t datapath_hash(const struct datapath *datapath, const struct weir_tuple *tuple)
{
	return weir_keyed_hash(datapath->skeleton->rodata->index_key, tuple);
}

uint32_t datapath_program_id(const struct datapath *datapath)
{
	return datapath->program_id;
}

/* Bytes that the kernel says a map takes; its own estimate, without its bookkeeping. */
static uint64_t map_memory(const struct bpf_map *map)
{
	char path[64], line[128];
	uint64_t bytes = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", bpf_map__fd(map));
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "memlock: %lu", &bytes) == 1)
			break;
	return bytes;
}

uint64_t datapath_memory(const struct datapath *datapath)
{
	const struct bpf_map *map;
	uint64_t bytes = 0;

	bpf_object__for_each_map(map, datapath->skeleton->obj)
		bytes += map_memory(map);
	return bytes;
}
