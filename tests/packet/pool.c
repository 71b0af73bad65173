// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/pool.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "tests/packet/harness.h"
#include "weir.skel.h"

#define IDLE 4

/* Most test programs want no more sizes than these, and no test has more open at a time. */
static struct datapath *idle[IDLE];

static size_t mapped_length(const struct bpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t value = (bpf_map__value_size(map) + 7) & ~7UL;

	return (value * bpf_map__max_entries(map) + page - 1) / page * page;
}

static void zero_mapped(const struct bpf_map *map)
{
	size_t length = mapped_length(map);
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	assert_true(memory != MAP_FAILED);
	memset(memory, 0, length);
	munmap(memory, length);
}

/* Of a per-CPU array, for all CPUs. */
static void zero_array(const struct bpf_map *map)
{
	size_t values = bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY ?
				(size_t)libbpf_num_possible_cpus() :
				1;
	size_t size = ((bpf_map__value_size(map) + 7) & ~7UL) * values;
	_cleanup_free_ void *zero = calloc(1, size);

	assert_non_null(zero);
	if (bpf_map__map_flags(map) & BPF_F_MMAPABLE) {
		zero_mapped(map);
		return;
	}
	for (uint32_t i = 0; i < bpf_map__max_entries(map); i++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), &i, zero, BPF_ANY), 0);
}

static void delete_all(const struct bpf_map *map)
{
	_cleanup_free_ void *key = malloc(bpf_map__key_size(map));

	assert_non_null(key);
	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(map), key), 0);
}

static void pop_all(const struct bpf_map *map)
{
	_cleanup_free_ void *value = malloc(bpf_map__value_size(map));

	assert_non_null(value);
	while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(map), NULL, value))
		;
}

static int ignore(void *user, void *data, size_t size)
{
	return 0;
}

static void drain(const struct bpf_map *map)
{
	struct ring_buffer *ring = ring_buffer__new(bpf_map__fd(map), ignore, NULL, NULL);

	assert_non_null(ring);
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
}

static void reset_map(const struct bpf_map *map)
{
	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		zero_array(map);
		break;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LPM_TRIE:
	case BPF_MAP_TYPE_DEVMAP_HASH:
		delete_all(map);
		break;
	case BPF_MAP_TYPE_QUEUE:
		pop_all(map);
		break;
	case BPF_MAP_TYPE_RINGBUF:
		drain(map);
		break;
	case BPF_MAP_TYPE_PROG_ARRAY:
		break; /* filled by loading, never changed */
	default:
		fail_msg("cannot reset map %s", bpf_map__name(map));
	}
}

void pool_reset(struct datapath *datapath)
{
	const struct bpf_map *map;

	ring_buffer__free(datapath->events);
	datapath->events = NULL;
	bpf_object__for_each_map(map, datapath->skeleton->obj) {
		/* Constants: frozen by loading. */
		if (!bpf_map__is_internal(map))
			reset_map(map);
	}
	assert_int_equal(object_fill(datapath), 0);
}

struct datapath *pool_take(const struct datapath_sizes *sizes)
{
	struct datapath *datapath;
	struct error error;

	for (size_t i = 0; i < IDLE; i++) {
		datapath = idle[i];
		if (!datapath || memcmp(&datapath->tables.sizes, sizes, sizeof(*sizes)))
			continue;
		idle[i] = NULL;
		pool_reset(datapath);
		return datapath;
	}
	if (datapath_open(sizes, NULL, &datapath, NULL, &error)) {
		print_error("%s\n", error.text);
		fail();
	}
	return datapath;
}

void pool_give(struct datapath *datapath)
{
	if (!datapath)
		return;
	/* What is attached or pinned ends, or stays, by closing. */
	if (datapath->pins || datapath->failures || datapath->attachment_count) {
		datapath_close(datapath);
		return;
	}
	datapath_close(idle[IDLE - 1]);
	memmove(idle + 1, idle, (IDLE - 1) * sizeof(*idle));
	idle[0] = datapath;
}
