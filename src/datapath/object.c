// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "src/datapath/records.h"
#include "weir.skel.h"

/* Ids that are made free in one go: the CPU takes no packets meanwhile. */
#define FILL_CHUNK 16384

#define VERIFIER_LOG_SIZE (64 * 1024)

static size_t page_align(size_t length)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (length + page - 1) / page * page;
}

/* An array's values lie at multiples of 8 bytes. */
static size_t array_memory(const struct bpf_map *map)
{
	size_t value = (bpf_map__value_size(map) + 7) & ~7UL;

	return page_align(value * bpf_map__max_entries(map));
}

/* Maps an array's memory into this process. NULL and errno on failure. */
static void *map_array(struct datapath *datapath, const struct bpf_map *map, int protection)
{
	size_t length = array_memory(map);
	void *memory = mmap(NULL, length, protection, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED)
		return NULL;
	datapath->mappings[datapath->mapping_count++] = (struct mapping){ memory, length };
	return memory;
}

int object_map_tables(struct datapath *datapath)
{
	struct datapath_tables *tables = &datapath->tables;
	struct weir *skeleton = datapath->skeleton;
	const int both = PROT_READ | PROT_WRITE;

	tables->root = map_array(datapath, skeleton->maps.root, both);
	tables->runtime = map_array(datapath, skeleton->maps.runtime, both);
	tables->listeners = map_array(datapath, skeleton->maps.listeners, both);
	tables->port_ranges = map_array(datapath, skeleton->maps.port_ranges, both);
	tables->services = map_array(datapath, skeleton->maps.services, both);
	tables->service_names = map_array(datapath, skeleton->maps.service_names, both);
	tables->service_state = map_array(datapath, skeleton->maps.service_state, both);
	tables->slots = map_array(datapath, skeleton->maps.slots, both);
	tables->backends = map_array(datapath, skeleton->maps.backends, both);
	tables->loads = map_array(datapath, skeleton->maps.loads, both);
	tables->audits = map_array(datapath, skeleton->maps.audits, both);
	tables->hops = map_array(datapath, skeleton->maps.next_hops, both);
	tables->snat_addresses = map_array(datapath, skeleton->maps.snat_addresses, both);
	tables->snat_ports = map_array(datapath, skeleton->maps.snat_ports, both);
	tables->shared = map_array(datapath, skeleton->maps.shared, both);
	tables->flows4 = map_array(datapath, skeleton->maps.flows4, PROT_READ);
	tables->flows6 = map_array(datapath, skeleton->maps.flows6, PROT_READ);
	datapath->meta = map_array(datapath, skeleton->maps.meta, both);
	if (!tables->root || !tables->runtime || !tables->listeners || !tables->port_ranges ||
	    !tables->services || !tables->service_state || !tables->slots || !tables->backends ||
	    !tables->loads || !tables->audits || !tables->hops || !tables->snat_addresses ||
	    !tables->snat_ports || !tables->shared || !tables->flows4 || !tables->flows6 ||
	    !tables->service_names || !datapath->meta)
		return -errno;
	return 0;
}

/*
 * When all flows are in use, a bucket of fifteen places has 2.7 entries on average: one tuple in
 * six million finds it full. The spare ones keep that true of very small tables.
 */
static uint32_t index_buckets(uint32_t flows)
{
	return flows / 4 * 3 + 64;
}

/*
 * When all are in use, a bucket of eight places has two sessions on average: one in six thousand is the ninth
 * in its own and pushes out another.
 */
uint32_t object_session_buckets(uint32_t sessions)
{
	return sessions / 2 + 1;
}

/* Secret, so that nobody can choose clients that all meet in one bucket. */
static int draw_index_key(struct weir *skeleton)
{
	uint64_t key[WEIR_INDEX_KEYS];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -errno;
	for (size_t i = 0; i < WEIR_INDEX_KEYS; i++)
		skeleton->rodata->index_key[i] = key[i];
	return 0;
}

static int set_sizes(struct datapath *datapath, struct error *error)
{
	const struct datapath_sizes *sizes = &datapath->tables.sizes;
	struct weir *skeleton = datapath->skeleton;
	uint32_t records[] = { sizes->flows + RECORDS_SPARE, sizes->flows_v6 + RECORDS_SPARE };
	uint32_t buckets = index_buckets(sizes->flows + sizes->flows_v6);
	const struct {
		struct bpf_map *map;
		uint32_t entries;
	} wanted[] = {
		{ skeleton->maps.listeners, sizes->listeners },
		{ skeleton->maps.port_ranges, sizes->port_ranges ? sizes->port_ranges : 1 },
		{ skeleton->maps.services, sizes->services },
		{ skeleton->maps.service_names, sizes->services },
		{ skeleton->maps.service_state, sizes->services },
		{ skeleton->maps.slots, sizes->slots },
		{ skeleton->maps.backends, sizes->backends },
		{ skeleton->maps.loads, sizes->backends },
		{ skeleton->maps.audits, sizes->backends },
		{ skeleton->maps.traffic, sizes->backends },
		{ skeleton->maps.next_hops, sizes->hops },
		{ skeleton->maps.snat_addresses, sizes->snat_addresses },
		{ skeleton->maps.snat_ports, 2 },
		{ skeleton->maps.port_queues, sizes->port_queues },
		{ skeleton->maps.ring4, sizes->half_open },
		{ skeleton->maps.ring6, sizes->half_open_v6 ? sizes->half_open_v6 : 1 },
		{ skeleton->maps.flows4, records[WEIR_IPV4] },
		{ skeleton->maps.flows6, records[WEIR_IPV6] },
		{ skeleton->maps.flow_index, buckets },
		{ skeleton->maps.free_records4, records[WEIR_IPV4] },
		{ skeleton->maps.free_records6, records[WEIR_IPV6] },
		{ skeleton->maps.sessions, object_session_buckets(sizes->sessions) },
	};

	int r = 0;

	for (size_t i = 0; !r && i < sizeof(wanted) / sizeof(wanted[0]); i++)
		r = bpf_map__set_max_entries(wanted[i].map, wanted[i].entries);
	if (r)
		return error_set(error, r, "cannot set table sizes: %s", strerror(-r));
	memcpy(datapath->tables.records, records, sizeof(records));
	skeleton->rodata->half_open_places[WEIR_IPV4] = sizes->half_open;
	skeleton->rodata->half_open_places[WEIR_IPV6] = bpf_map__max_entries(skeleton->maps.ring6);
	skeleton->rodata->index_buckets = buckets;
	skeleton->rodata->session_buckets = bpf_map__max_entries(skeleton->maps.sessions);
	r = draw_index_key(skeleton);
	return r ? error_set(error, r, "cannot draw random numbers: %s", strerror(-r)) : 0;
}

int object_run(const struct bpf_program *program, void *argument, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = argument, .data_size_in = (uint32_t)size,
		    .data_out = argument, .data_size_out = (uint32_t)size);
	int r = bpf_prog_test_run_opts(bpf_program__fd(program), &options);

	return r ? r : options.retval == XDP_PASS ? 0 : -EINVAL;
}

int object_sum(const struct datapath *datapath, const struct bpf_map *map, uint32_t index,
	       uint64_t *sum, size_t size)
{
	size_t words = size / sizeof(uint64_t);
	_cleanup_free_ uint64_t *values = calloc((size_t)datapath->cpus, size);
	int r;

	if (!values)
		return -ENOMEM;
	r = bpf_map__lookup_elem(map, &index, sizeof(index), values, size * (size_t)datapath->cpus,
				 0);
	if (r)
		return r;
	memset(sum, 0, size);
	for (int cpu = 0; cpu < datapath->cpus; cpu++)
		for (size_t i = 0; i < words; i++)
			sum[i] += values[(size_t)cpu * words + i];
	return 0;
}

int object_fill(struct datapath *datapath)
{
	const struct datapath_tables *tables = &datapath->tables;
	const struct bpf_program *program = datapath->skeleton->progs.weir_fill;
	struct weir_sweep chunk = {};
	int r = 0;

	tables->runtime->hz = datapath->hz;
	for (uint32_t place = 0; !r && place < records_count(tables); place += chunk.count) {
		chunk.first = records_id(tables, place, FILL_CHUNK, &chunk.count);
		r = object_run(program, &chunk, sizeof(chunk));
	}
	return r;
}

int object_reset_reasons(struct datapath *datapath)
{
	uint8_t nothing[ETH_HLEN] = {};

	return object_run(datapath->skeleton->progs.weir_reset_reasons, nothing, sizeof(nothing));
}

uint32_t object_program_id(const struct weir *skeleton)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(skeleton->progs.weir_xdp), &info, &size))
		return 0;
	return info.id;
}

/* The object, whose verifier will complain to @log. *ret_err: errno, if it is NULL. */
static struct weir *open_object(char *log, int *ret_err, struct error *error)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = log,
		    .kernel_log_size = VERIFIER_LOG_SIZE);
	struct weir *skeleton = log ? weir__open_opts(&options) : NULL;

	if (!log)
		*ret_err = error_set(error, -ENOMEM, "out of memory");
	else if (!skeleton)
		*ret_err = error_set(error, -errno, "cannot open the BPF object: %s",
				     strerror(errno));
	return skeleton;
}

static int load_object(struct weir *skeleton, const char *log, struct error *error)
{
	int r = weir__load(skeleton);
	size_t length;

	if (r == -EPERM)
		return error_set(error, r,
				 "cannot load the BPF program: %s; weir needs root, or "
				 "CAP_BPF + CAP_NET_ADMIN + CAP_PERFMON",
				 strerror(-r));
	if (r) {
		/* The verifier's last words are the ones that matter. */
		length = strlen(log);
		return error_set(error, r, "cannot load the BPF program: %s%s%s", strerror(-r),
				 length ? ": " : "", log + (length > 300 ? length - 300 : 0));
	}
	return 0;
}

int object_load(struct datapath *datapath, struct error *error)
{
	_cleanup_free_ char *log = calloc(1, VERIFIER_LOG_SIZE);
	int r;

	datapath->skeleton = open_object(log, &r, error);
	if (!datapath->skeleton)
		return r;
	r = datapath->adopted ? pins_adopt(datapath, error) : set_sizes(datapath, error);
	return r ? r : load_object(datapath->skeleton, log, error);
}

/* All maps of @from but the sessions, of which there are to be @buckets. */
static int share_maps(const struct weir *from, uint32_t buckets, struct weir *to)
{
	const struct bpf_map *map;
	int r = bpf_map__set_max_entries(to->maps.sessions, buckets);

	bpf_object__for_each_map(map, from->obj) {
		struct bpf_map *same = bpf_object__find_map_by_name(to->obj, bpf_map__name(map));

		if (!r && !bpf_map__is_internal(map) && same != to->maps.sessions)
			r = bpf_map__reuse_fd(same, bpf_map__fd(map));
	}
	return r;
}

int object_load_beside(const struct weir *from, uint32_t buckets, struct weir **ret,
		       struct error *error)
{
	_cleanup_free_ char *log = calloc(1, VERIFIER_LOG_SIZE);
	struct weir *skeleton;
	int r;

	skeleton = open_object(log, &r, error);
	if (!skeleton)
		return r;
	r = share_maps(from, buckets, skeleton);
	if (r) {
		error_set(error, r, "cannot share the tables: %s", strerror(-r));
	} else {
		memcpy(skeleton->rodata, from->rodata, sizeof(*skeleton->rodata));
		skeleton->rodata->session_buckets = buckets;
		r = load_object(skeleton, log, error);
	}
	if (r)
		weir__destroy(skeleton);
	else
		*ret = skeleton;
	return r;
}
