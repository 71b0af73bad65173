// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "tests/packet/pool.h"
#include "tests/packet/talk.h"
#include "weir.skel.h"

/* An object that has been used must be, after a reset, what a freshly loaded one is: map by map. */

enum { USED_FLOWS = 128, SOIL = 0xa5 };

struct content {
	uint8_t *bytes;
	size_t length, room;
};

static void add(struct content *content, const void *bytes, size_t length)
{
	if (content->length + length > content->room) {
		content->room = 2 * (content->length + length);
		content->bytes = realloc(content->bytes, content->room);
	}
	if (!content->bytes)
		abort();
	memcpy(content->bytes + content->length, bytes, length);
	content->length += length;
}

static bool is_array(const struct bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_ARRAY ||
	       bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Constants, and the programs to jump to: nothing changes them after loading. */
static bool is_constant(const struct bpf_map *map)
{
	return bpf_map__is_internal(map) || bpf_map__type(map) == BPF_MAP_TYPE_PROG_ARRAY;
}

/* Bytes that one lookup fills. */
static size_t value_length(const struct bpf_map *map)
{
	size_t size = bpf_map__value_size(map);

	if (bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY)
		size = ((size + 7) & ~7UL) * (size_t)libbpf_num_possible_cpus();
	return size;
}

static void add_entries(const struct bpf_map *map, struct content *content)
{
	_cleanup_free_ void *next = malloc(bpf_map__key_size(map));
	_cleanup_free_ void *value = calloc(1, value_length(map));
	void *key = NULL;

	while (!bpf_map_get_next_key(bpf_map__fd(map), key, next)) {
		key = next;
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(map), key, value), 0);
		if (!is_array(map))
			add(content, key, bpf_map__key_size(map));
		add(content, value, value_length(map));
	}
}

/* How much there is to be read: the two positions stand on pages of their own. */
static void add_backlog(const struct bpf_map *map, struct content *content)
{
	long page = sysconf(_SC_PAGESIZE);
	const uint64_t *taken = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, bpf_map__fd(map),
				     0);
	const uint64_t *put = mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, bpf_map__fd(map),
				   page);
	uint64_t backlog;

	assert_true(taken != MAP_FAILED && put != MAP_FAILED);
	backlog = *put - *taken;
	add(content, &backlog, sizeof(backlog));
	munmap((void *)taken, (size_t)page);
	munmap((void *)put, (size_t)page);
}

/* What can be seen of a map without changing it: of a queue, its head. */
static struct content look_at(const struct bpf_map *map)
{
	struct content content = { 0 };
	_cleanup_free_ void *value = calloc(1, value_length(map));

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_RINGBUF:
		add_backlog(map, &content);
		break;
	case BPF_MAP_TYPE_QUEUE:
		if (!bpf_map_lookup_elem(bpf_map__fd(map), NULL, value))
			add(&content, value, bpf_map__value_size(map));
		break;
	default:
		add_entries(map, &content);
	}
	return content;
}

/* All of it, which empties a queue. */
static struct content take_out(const struct bpf_map *map)
{
	struct content content = look_at(map);
	_cleanup_free_ void *value = calloc(1, value_length(map));

	if (bpf_map__type(map) == BPF_MAP_TYPE_QUEUE)
		while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(map), NULL, value))
			add(&content, value, bpf_map__value_size(map));
	return content;
}

static void soil_array(const struct bpf_map *map)
{
	const uint32_t ends[] = { 0, bpf_map__max_entries(map) - 1 };
	_cleanup_free_ void *value = malloc(value_length(map));

	memset(value, SOIL, value_length(map));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), &ends[i], value, BPF_ANY),
				 0);
}

static void soil_hash(const struct bpf_map *map)
{
	_cleanup_free_ uint8_t *key = malloc(bpf_map__key_size(map));
	_cleanup_free_ uint8_t *value = malloc(value_length(map));

	memset(key, SOIL, bpf_map__key_size(map));
	memset(value, SOIL, value_length(map));
	if (bpf_map__type(map) == BPF_MAP_TYPE_LPM_TRIE)
		memcpy(key, &(uint32_t){ 8 }, sizeof(uint32_t));
	if (bpf_map__type(map) == BPF_MAP_TYPE_DEVMAP_HASH)
		memcpy(value, &(uint32_t){ if_nametoindex("weir0") }, sizeof(uint32_t));
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY), 0);
}

/* But for the events, which only the program can write. */
static void soil(const struct bpf_map *map)
{
	uint32_t id;

	if (is_array(map))
		soil_array(map);
	else if (bpf_map__type(map) == BPF_MAP_TYPE_QUEUE)
		assert_int_equal(bpf_map_lookup_and_delete_elem(bpf_map__fd(map), NULL, &id), 0);
	else if (bpf_map__type(map) != BPF_MAP_TYPE_RINGBUF)
		soil_hash(map);
}

static bool is_same(const struct content *a, const struct content *b)
{
	if (!a->bytes || !b->bytes)
		return a->length == b->length;
	return a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}

static void compare(const struct datapath *used, const struct datapath *fresh, bool equal,
		    struct content (*read)(const struct bpf_map *map))
{
	const struct bpf_map *a = NULL, *b = NULL;

	while ((a = bpf_object__next_map(used->skeleton->obj, a)) != NULL) {
		struct content left, right;

		b = bpf_object__next_map(fresh->skeleton->obj, b);
		if (is_constant(a))
			continue;
		left = read(a);
		right = read(b);
		if (is_same(&left, &right) != equal)
			fail_msg("map %s %s a fresh one", bpf_map__name(a),
				 equal ? "is not like" : "is still like");
		free(left.bytes);
		free(right.bytes);
	}
}

static struct datapath *loaded(const struct datapath_sizes *sizes)
{
	struct datapath *datapath = NULL;
	struct error error = {};

	if (datapath_open(sizes, NULL, &datapath, NULL, &error))
		print_error("%s\n", error.text);
	assert_non_null(datapath);
	return datapath;
}

/* As a test that has failed might leave it, and worse. */
static void soil_all(struct world *world)
{
	struct talk talk = talk_tcp(world, CLIENT, 40000);
	const struct bpf_map *map;

	world->tables->runtime->trace = 1;
	talk_open(&talk);
	bpf_object__for_each_map(map, world->datapath->skeleton->obj) {
		if (!is_constant(map))
			soil(map);
	}
}

static void every_map_is_reset(void **state)
{
	const struct datapath_sizes sizes = world_sizes(USED_FLOWS, USED_FLOWS);
	struct world *world = world_open(USED_FLOWS, USED_FLOWS);
	struct datapath *used = world->datapath, *fresh = loaded(&sizes);

	soil_all(world);
	compare(used, fresh, false, look_at);
	world_use(world, NULL);
	free(world);
	assert_ptr_equal(pool_take(&sizes), used);
	compare(used, fresh, true, take_out);
	datapath_close(used);
	datapath_close(fresh);
}

static void sizes_must_be_the_same(void **state)
{
	struct datapath_sizes sizes = world_sizes(USED_FLOWS, USED_FLOWS);
	struct datapath *first = pool_take(&sizes), *second;

	pool_give(first);
	sizes.half_open--;
	second = pool_take(&sizes);
	assert_ptr_not_equal(second, first);
	assert_int_equal(second->tables.sizes.half_open, USED_FLOWS - 1);
	pool_give(second);
}

static void two_at_a_time(void **state)
{
	const struct datapath_sizes sizes = world_sizes(USED_FLOWS, USED_FLOWS);
	struct datapath *first = pool_take(&sizes), *second = pool_take(&sizes);

	assert_ptr_not_equal(first, second);
	pool_give(first);
	pool_give(second);
}

/* Its program would go on with packets that other tests do not know of. */
static void what_is_attached_is_closed(void **state)
{
	const struct datapath_sizes sizes = world_sizes(USED_FLOWS, USED_FLOWS);
	struct datapath *datapath = pool_take(&sizes);
	uint32_t lo = if_nametoindex("lo");
	struct error error;

	assert_int_equal(datapath_attach(datapath, lo, false, &error), 0);
	pool_give(datapath);
	datapath = loaded(&sizes);
	assert_int_equal(datapath_attach(datapath, lo, false, &error), 0);
	datapath_close(datapath);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_map_is_reset),
		cmocka_unit_test(sizes_must_be_the_same),
		cmocka_unit_test(two_at_a_time),
		cmocka_unit_test(what_is_attached_is_closed),
	};

	return packet_tests(tests);
}
