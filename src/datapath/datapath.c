// SPDX-License-Identifier: GPL-2.0-only
#include "src/datapath/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "weir.skel.h"

/*
 * Records beyond the limit of live flows: they rest in the queue of free ids, so that an id is never
 * used again at once (doc/decisions/0003).
 */
#define RECORDS_SPARE 4096

/* How long to watch the clocks to tell jiffies per second; a tick is 1 to 10 ms. */
#define CALIBRATION_NS (60 * 1000 * 1000)

#define EVENTS_AT_ONCE 256
#define VERIFIER_LOG_SIZE (64 * 1024)

struct datapath {
	struct weir *skeleton;
	struct datapath_tables tables;
	struct mapping {
		void *memory;
		size_t length;
	} mappings[16];
	size_t mapping_count;
	struct attachment {
		uint32_t ifindex;
		int link; /* bpf_link */
	} * attachments;
	size_t attachment_count;
	struct ring_buffer *events;
	int events_left; /* that the current call may take */
	datapath_event_fn take;
	void *take_user;
	int cpus;
	uint32_t program_id;
	uint32_t hz;
};

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return 0;
}

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

static int map_tables(struct datapath *datapath)
{
	struct datapath_tables *tables = &datapath->tables;
	struct weir *skeleton = datapath->skeleton;
	const int both = PROT_READ | PROT_WRITE;

	tables->root = map_array(datapath, skeleton->maps.root, both);
	tables->runtime = map_array(datapath, skeleton->maps.runtime, both);
	tables->listeners = map_array(datapath, skeleton->maps.listeners, both);
	tables->services = map_array(datapath, skeleton->maps.services, both);
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
	if (!tables->root || !tables->runtime || !tables->listeners || !tables->services ||
	    !tables->service_state || !tables->slots || !tables->backends || !tables->loads ||
	    !tables->audits || !tables->hops || !tables->snat_addresses || !tables->snat_ports ||
	    !tables->shared || !tables->flows4)
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

/* Secret, so that nobody can choose clients that all meet in one bucket. */
static int draw_index_key(struct weir *skeleton)
{
	uint64_t key[4];

	if (getrandom(key, sizeof(key), 0) != sizeof(key))
		return -errno;
	for (size_t i = 0; i < 4; i++)
		skeleton->rodata->index_key[i] = key[i];
	return 0;
}

static int set_sizes(struct weir *skeleton, const struct datapath_sizes *sizes)
{
	uint32_t records = sizes->flows + RECORDS_SPARE;
	uint32_t buckets = index_buckets(sizes->flows);
	const struct {
		struct bpf_map *map;
		uint32_t entries;
	} wanted[] = {
		{ skeleton->maps.listeners, sizes->listeners },
		{ skeleton->maps.services, sizes->services },
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
		{ skeleton->maps.ring, sizes->half_open },
		{ skeleton->maps.flows4, records },
		{ skeleton->maps.index4, buckets },
		{ skeleton->maps.free_records, records },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		int r = bpf_map__set_max_entries(wanted[i].map, wanted[i].entries);

		if (r)
			return r;
	}
	skeleton->rodata->half_open_places = sizes->half_open;
	skeleton->rodata->index_buckets = buckets;
	return draw_index_key(skeleton);
}

static int run_syscall_program(const struct bpf_program *program, void *context, size_t size)
{
	LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = context, .ctx_size_in = (uint32_t)size);

	return bpf_prog_test_run_opts(bpf_program__fd(program), &options);
}

static int read_clock(struct datapath *datapath, struct weir_clock *clock)
{
	return run_syscall_program(datapath->skeleton->progs.weir_read_clock, clock,
				   sizeof(*clock));
}

/* The kernel does not tell HZ; one of the four values that can be built fits what is seen. */
static int calibrate_hz(struct datapath *datapath)
{
	static const uint32_t built[] = { 100, 250, 300, 1000 };
	struct timespec pause = { .tv_nsec = CALIBRATION_NS };
	struct weir_clock before, after;
	double seen, best = 1e9;
	int r;

	r = read_clock(datapath, &before);
	if (r)
		return r;
	nanosleep(&pause, NULL);
	r = read_clock(datapath, &after);
	if (r)
		return r;
	seen = 1e9 * (double)(after.jiffies - before.jiffies) /
	       (double)(after.time_ns - before.time_ns);
	for (size_t i = 0; i < sizeof(built) / sizeof(built[0]); i++) {
		double ratio = seen > built[i] ? seen / built[i] : built[i] / (seen + 1e-9);

		if (ratio < best) {
			best = ratio;
			datapath->hz = built[i];
		}
	}
	return 0;
}

static int load(struct datapath *datapath, struct error *error)
{
	_cleanup_free_ char *verifier = calloc(1, VERIFIER_LOG_SIZE);
	LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = verifier,
		    .kernel_log_size = VERIFIER_LOG_SIZE);
	struct weir *skeleton;
	size_t length;
	int r;

	if (!verifier)
		return error_set(error, -ENOMEM, "out of memory");
	skeleton = datapath->skeleton = weir__open_opts(&options);
	if (!skeleton)
		return error_set(error, -errno, "cannot open the BPF object: %s", strerror(errno));
	r = set_sizes(skeleton, &datapath->tables.sizes);
	if (r)
		return error_set(error, r, "cannot set table sizes: %s", strerror(-r));
	r = weir__load(skeleton);
	if (r == -EPERM)
		return error_set(error, r,
				 "cannot load the BPF program: %s; weir needs root, or "
				 "CAP_BPF + CAP_NET_ADMIN + CAP_PERFMON",
				 strerror(-r));
	if (r) {
		/* The verifier's last words are the ones that matter. */
		length = strlen(verifier);
		return error_set(error, r, "cannot load the BPF program: %s%s%s", strerror(-r),
				 length ? ": " : "", verifier + (length > 300 ? length - 300 : 0));
	}
	return 0;
}

static int prepare(struct datapath *datapath, struct error *error)
{
	struct weir_sweep all = { .count = datapath->tables.records };
	struct bpf_prog_info info = {};
	uint32_t info_size = sizeof(info);
	int r;

	r = map_tables(datapath);
	if (r)
		return error_set(error, r, "cannot map the BPF tables: %s", strerror(-r));
	r = bpf_obj_get_info_by_fd(bpf_program__fd(datapath->skeleton->progs.weir_xdp), &info,
				   &info_size);
	if (r)
		return error_set(error, r, "cannot read the BPF program's id: %s", strerror(-r));
	datapath->program_id = info.id;
	r = run_syscall_program(datapath->skeleton->progs.weir_fill, &all, sizeof(all));
	if (!r)
		r = calibrate_hz(datapath);
	if (r)
		return error_set(error, r, "cannot run BPF programs: %s", strerror(-r));
	datapath->tables.runtime->hz = datapath->hz;
	return 0;
}

int datapath_open(const struct datapath_sizes *sizes, struct datapath **ret, struct error *error)
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));
	int r;

	if (!datapath)
		return error_set(error, -ENOMEM, "out of memory");
	libbpf_set_print(quiet);
	datapath->tables.sizes = *sizes;
	datapath->tables.records = sizes->flows + RECORDS_SPARE;
	datapath->cpus = libbpf_num_possible_cpus();
	r = datapath->cpus < 0 ? error_set(error, datapath->cpus, "cannot count the CPUs") : 0;
	if (!r)
		r = load(datapath, error);
	if (!r)
		r = prepare(datapath, error);
	if (r) {
		datapath_close(datapath);
		return r;
	}
	*ret = datapath;
	return 0;
}

void datapath_close(struct datapath *datapath)
{
	if (!datapath)
		return;
	datapath_detach(datapath);
	ring_buffer__free(datapath->events);
	for (size_t i = 0; i < datapath->mapping_count; i++)
		munmap(datapath->mappings[i].memory, datapath->mappings[i].length);
	weir__destroy(datapath->skeleton);
	free(datapath->attachments);
	free(datapath);
}

const struct datapath_tables *datapath_tables(const struct datapath *datapath)
{
	return &datapath->tables;
}

int datapath_attach(struct datapath *datapath, uint32_t ifindex, bool native, struct error *error)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	struct attachment *grown;
	int fd;

	grown = reallocarray(datapath->attachments, datapath->attachment_count + 1, sizeof(*grown));
	if (!grown)
		return error_set(error, -ENOMEM, "out of memory");
	datapath->attachments = grown;
	fd = bpf_link_create(bpf_program__fd(datapath->skeleton->progs.weir_xdp), (int)ifindex,
			     BPF_XDP, &options);
	if (fd == -EBUSY)
		return error_set(error, fd,
				 "another XDP program sits on this interface; see 'bpftool net "
				 "show', take it off with 'ip link set dev IF xdp off'");
	if (fd < 0)
		return error_set(error, fd, "cannot attach the XDP program in %s mode: %s",
				 native ? "native" : "generic", strerror(-fd));
	grown[datapath->attachment_count++] = (struct attachment){ ifindex, fd };
	return 0;
}

void datapath_detach_from(struct datapath *datapath, uint32_t ifindex)
{
	for (size_t i = datapath->attachment_count; i-- > 0;) {
		if (datapath->attachments[i].ifindex != ifindex)
			continue;
		close(datapath->attachments[i].link);
		datapath->attachments[i] = datapath->attachments[--datapath->attachment_count];
	}
}

void datapath_detach(struct datapath *datapath)
{
	while (datapath->attachment_count)
		close(datapath->attachments[--datapath->attachment_count].link);
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

/* Adds up, word by word, the per-CPU values of @map at @index. @size: multiple of 8 bytes. */
static int sum_over_cpus(const struct datapath *datapath, const struct bpf_map *map, uint32_t index,
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

int datapath_read_counters(struct datapath *datapath, struct weir_counters *ret)
{
	return sum_over_cpus(datapath, datapath->skeleton->maps.counters, 0, (uint64_t *)ret,
			     sizeof(*ret));
}

int datapath_read_traffic(struct datapath *datapath, uint32_t backend, struct weir_traffic *ret)
{
	return sum_over_cpus(datapath, datapath->skeleton->maps.traffic, backend, (uint64_t *)ret,
			     sizeof(*ret));
}

int datapath_sweep(struct datapath *datapath, struct weir_sweep *sweep)
{
	return run_syscall_program(datapath->skeleton->progs.weir_sweep, sweep, sizeof(*sweep));
}

int datapath_find_ports(struct datapath *datapath, struct weir_port_search *search)
{
	return run_syscall_program(datapath->skeleton->progs.weir_find_ports, search,
				   sizeof(*search));
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

	return read_clock(datapath, &clock) ? 0 : clock.jiffies;
}

uint32_t datapath_hz(const struct datapath *datapath)
{
	return datapath->hz;
}

int datapath_xdp_fd(const struct datapath *datapath)
{
	return bpf_program__fd(datapath->skeleton->progs.weir_xdp);
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

/* Stops libbpf from reading on for as long as new events come in. */
static int take_event(void *user, void *data, size_t size)
{
	struct datapath *datapath = user;

	if (size >= sizeof(struct weir_event))
		datapath->take(data, datapath->take_user);
	return --datapath->events_left ? 0 : -EAGAIN;
}

int datapath_open_events(struct datapath *datapath, datapath_event_fn take, void *user)
{
	if (!datapath->events) {
		datapath->events = ring_buffer__new(bpf_map__fd(datapath->skeleton->maps.events),
						    take_event, datapath, NULL);
		if (!datapath->events)
			return -errno;
	}
	datapath->take = take;
	datapath->take_user = user;
	return 0;
}

int datapath_events_fd(const struct datapath *datapath)
{
	return ring_buffer__epoll_fd(datapath->events);
}

int datapath_poll_events(struct datapath *datapath)
{
	int taken;

	datapath->events_left = EVENTS_AT_ONCE;
	taken = ring_buffer__consume(datapath->events);
	return taken < 0 && taken != -EAGAIN ? taken : 0;
}
