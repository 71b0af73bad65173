// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "weir.skel.h"

/*
 * In the directory of pins, which is locked by its daemon:
 *
 *	maps/NAME           all maps; there as a whole or not at all
 *	new/NAME            maps that are being made or removed; a daemon was killed meanwhile
 *	link-IFINDEX-MODE   see links.c, as pass-IFINDEX
 *	failures-NAME       see egress.c
 */
#define MAPS "maps"
#define NEW "new"

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

static const char *join(char path[static BPFFS_PATH_SIZE], const char *pins, const char *folder,
			const char *name)
{
	snprintf(path, BPFFS_PATH_SIZE, "%s/%s%s%s", pins, folder, name ? "/" : "",
		 name ? name : "");
	return path;
}

/* FNV-1a, of numbers that are bytes or more. */
static uint64_t hash_number(uint64_t hash, uint32_t number)
{
	return (hash ^ number) * FNV_PRIME;
}

static uint64_t hash_text(const char *text)
{
	uint64_t hash = FNV_OFFSET;

	for (; *text; text++)
		hash = hash_number(hash, (uint8_t)*text);
	return hash;
}

/* A sum: the order of the maps in the object does not matter. */
uint64_t pins_layout(const struct datapath *datapath)
{
	const struct bpf_map *map;
	uint64_t sum = 0;

	bpf_object__for_each_map(map, datapath->skeleton->obj) {
		uint64_t hash = hash_text(bpf_map__name(map));

		hash = hash_number(hash, bpf_map__type(map));
		hash = hash_number(hash, bpf_map__key_size(map));
		hash = hash_number(hash, bpf_map__value_size(map));
		hash = hash_number(hash, bpf_map__map_flags(map));
		if (!bpf_map__is_internal(map))
			sum += hash;
	}
	return sum;
}

uint64_t pins_reasons(void)
{
#define NAME(NAME_, name_, help_) #name_ "\n"
	static const char *const names = WEIR_REASONS(NAME);

	return hash_text(names);
}

/* Tells network namespaces apart: links of another one look like ours, with the same indices. */
uint64_t pins_network_namespace(void)
{
	struct stat status;

	return stat("/proc/self/ns/net", &status) < 0 ? 0 : status.st_ino;
}

static int remove_file(const char *path, void *user)
{
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_folder(const char *path)
{
	int r = bpffs_for_each(path, remove_file, NULL);

	return r ? r : rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* All links go first: no packet may meet a program whose maps nobody looks after. */
static int remove_all(const char *pins)
{
	char maps[BPFFS_PATH_SIZE], new[BPFFS_PATH_SIZE];
	int r = links_unpin(pins, false);

	if (!r)
		r = remove_folder(join(new, pins, NEW, NULL));
	/* At once, so that there are never some of them only. */
	if (!r && rename(join(maps, pins, MAPS, NULL), new) < 0 && errno != ENOENT)
		r = -errno;
	return r ? r : remove_folder(new);
}

int pins_remove(const char *pins, struct error *error)
{
	int r = remove_all(pins);

	if (!r && rmdir(pins) < 0 && errno != ENOENT)
		r = -errno;
	return r ? error_set(error, r, "cannot remove the pins in %s: %s", pins, strerror(-r)) : 0;
}

int datapath_remove_pins(const char *pins, struct error *error)
{
	_cleanup_close_ int lock = -1;
	int r = bpffs_lock(pins, &lock, error);

	if (!r)
		r = pins_remove(pins, error);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* Reads the pinned `meta`: 1, 0 if there is none, or -EPROTO if it is not one of ours. */
static int read_meta(const char *pins, struct weir_meta *ret)
{
	char path[BPFFS_PATH_SIZE];
	_cleanup_close_ int fd = bpf_obj_get(join(path, pins, MAPS, "meta"));
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info), zero = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(*ret))
		return -EPROTO;
	return bpf_map_lookup_elem(fd, &zero, ret) ? -errno : 1;
}

static bool is_incomplete(const char *pins)
{
	struct weir_meta meta = {};

	return read_meta(pins, &meta) == 1 && !meta.complete &&
	       (!meta.magic || (meta.magic == WEIR_META_MAGIC && meta.abi == WEIR_ABI_VERSION));
}

/*
 * Nothing of it can do any harm or good: half made, or made in a network namespace that is gone with
 * all its interfaces.
 */
static bool is_rubbish(const char *pins)
{
	struct weir_meta meta = {};
	char path[BPFFS_PATH_SIZE];

	if (access(join(path, pins, MAPS, NULL), F_OK) < 0 || is_incomplete(pins))
		return true;
	return read_meta(pins, &meta) == 1 && meta.magic == WEIR_META_MAGIC &&
	       meta.abi == WEIR_ABI_VERSION && meta.network_namespace != pins_network_namespace() &&
	       !links_alive(pins);
}

/* Another process may remove the directory between making and locking it: then once more. */
static int make_and_lock(const char *path, int *ret_lock, struct error *error)
{
	int r;

	do {
		r = bpffs_make_directory(path, error);
		if (!r)
			r = bpffs_lock(path, ret_lock, error);
	} while (r == -ENOENT);
	return r;
}

int pins_take(struct datapath *datapath, const char *path, struct error *error)
{
	char new[BPFFS_PATH_SIZE];
	bool rubbish;
	int r = make_and_lock(path, &datapath->lock, error);

	if (r)
		return r;
	datapath->pins = strdup(path);
	if (!datapath->pins)
		return error_set(error, -ENOMEM, "out of memory");
	rubbish = is_rubbish(path);
	r = rubbish ? remove_all(path) : remove_folder(join(new, path, NEW, NULL));
	if (!r && !rubbish)
		r = links_unpin(path, true);
	if (r)
		return error_set(error, r, "cannot tidy up the pins in %s: %s", path, strerror(-r));
	return !rubbish;
}

/* The command that mends what cannot be taken over. */
static int refuse(const struct datapath *datapath, int code, struct error *error, const char *why)
{
	const char *name = strrchr(datapath->pins, '/') + 1;

	return error_set(error, code,
			 "%s holds tables %s; 'weir --instance %s detach' removes them, which cuts "
			 "all connections, then start again",
			 datapath->pins, why, name);
}

static int check_meta(const struct datapath *datapath, const struct weir_meta *meta,
		      struct error *error)
{
	if (meta->magic != WEIR_META_MAGIC || meta->abi != WEIR_ABI_VERSION ||
	    meta->layout != pins_layout(datapath))
		return refuse(datapath, -EPROTO, error,
			      "of another version of weir that this one cannot take over");
	if (meta->network_namespace != pins_network_namespace())
		return refuse(datapath, -EPROTO, error,
			      "of a weir in another network namespace (use --instance to run one "
			      "here, too)");
	return 0;
}

/* Made for no service of dsr or ipip, they hold nothing that would have to be kept. */
static bool are_too_few(const struct datapath *datapath, int sessions)
{
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);

	return !bpf_obj_get_info_by_fd(sessions, &info, &size) &&
	       info.max_entries < object_session_buckets(datapath->tables.sizes.sessions);
}

static int reuse_map(struct datapath *datapath, struct bpf_map *map, int fd)
{
	if (fd < 0)
		return -errno;
	if (map != datapath->skeleton->maps.sessions || !are_too_few(datapath, fd))
		return bpf_map__reuse_fd(map, fd);
	datapath->sessions_grow = true;
	return bpf_map__set_max_entries(map,
					object_session_buckets(datapath->tables.sizes.sessions));
}

static int reuse_maps(struct datapath *datapath, struct error *error)
{
	char path[BPFFS_PATH_SIZE];
	struct bpf_map *map;

	bpf_object__for_each_map(map, datapath->skeleton->obj) {
		_cleanup_close_ int fd = -1;
		int r;

		if (bpf_map__is_internal(map))
			continue;
		fd = bpf_obj_get(join(path, datapath->pins, MAPS, bpf_map__name(map)));
		r = reuse_map(datapath, map, fd);
		if (r == -ENOENT)
			return refuse(datapath, -EPROTO, error, "of which some are missing");
		if (r)
			return error_set(error, r, "cannot take over %s: %s", path, strerror(-r));
	}
	return 0;
}

/* Sizes as they are; the caller's, as they should be, are still in the tables. */
static int check_sizes(struct datapath *datapath, const struct weir_meta *meta, struct error *error)
{
	struct datapath_sizes *sizes = &datapath->tables.sizes;
	const struct weir *skeleton = datapath->skeleton;
	const struct {
		const char *name;
		uint32_t *size;
		uint32_t have;
	} rows[] = {
		{ "live flows", &sizes->flows, meta->flows[WEIR_IPV4] },
		{ "live IPv6 flows", &sizes->flows_v6, meta->flows[WEIR_IPV6] },
		{ "half-open flows", &sizes->half_open, meta->half_open_places[WEIR_IPV4] },
		{ "half-open IPv6 flows", &sizes->half_open_v6, meta->half_open_places[WEIR_IPV6] },
		{ "services", &sizes->services, bpf_map__max_entries(skeleton->maps.services) },
		{ "backends", &sizes->backends, bpf_map__max_entries(skeleton->maps.backends) },
		{ "scheduler slots", &sizes->slots, bpf_map__max_entries(skeleton->maps.slots) },
		{ "listen addresses", &sizes->listeners,
		  bpf_map__max_entries(skeleton->maps.listeners) },
		{ "ranges of ports", &sizes->port_ranges,
		  bpf_map__max_entries(skeleton->maps.port_ranges) },
		{ "next hops", &sizes->hops, bpf_map__max_entries(skeleton->maps.next_hops) },
		{ "source addresses", &sizes->snat_addresses,
		  bpf_map__max_entries(skeleton->maps.snat_addresses) },
		{ "port queues", &sizes->port_queues,
		  bpf_map__max_entries(skeleton->maps.port_queues) },
	};
	char why[128];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].have < *rows[i].size) {
			snprintf(why, sizeof(why),
				 "with room for %u %s, the configuration wants %u", rows[i].have,
				 rows[i].name, *rows[i].size);
			return refuse(datapath, -E2BIG, error, why);
		}
		*rows[i].size = rows[i].have;
	}
	datapath->tables.records[WEIR_IPV4] = bpf_map__max_entries(skeleton->maps.flows4);
	datapath->tables.records[WEIR_IPV6] = bpf_map__max_entries(skeleton->maps.flows6);
	return 0;
}

int pins_adopt(struct datapath *datapath, struct error *error)
{
	struct weir *skeleton = datapath->skeleton;
	struct weir_meta meta = {};
	int r = read_meta(datapath->pins, &meta);

	if (r == -EPROTO || r == 0)
		return refuse(datapath, -EPROTO, error, "that are not weir's, or damaged");
	if (r < 0)
		return error_set(error, r, "cannot read the pins in %s: %s", datapath->pins,
				 strerror(-r));
	r = check_meta(datapath, &meta, error);
	if (!r)
		r = reuse_maps(datapath, error);
	if (!r)
		r = check_sizes(datapath, &meta, error);
	if (r)
		return r;
	for (int i = 0; i < WEIR_FAMILIES; i++)
		skeleton->rodata->half_open_places[i] = meta.half_open_places[i];
	skeleton->rodata->index_buckets = meta.index_buckets;
	skeleton->rodata->session_buckets = bpf_map__max_entries(skeleton->maps.sessions);
	for (size_t i = 0; i < sizeof(meta.index_key) / sizeof(meta.index_key[0]); i++)
		skeleton->rodata->index_key[i] = meta.index_key[i];
	datapath->reasons_differ = meta.reasons != pins_reasons();
	return 0;
}

static void describe(struct datapath *datapath)
{
	const struct weir *skeleton = datapath->skeleton;
	struct weir_meta meta = {
		.magic = WEIR_META_MAGIC,
		.abi = WEIR_ABI_VERSION,
		.layout = pins_layout(datapath),
		.reasons = pins_reasons(),
		.network_namespace = pins_network_namespace(),
		.half_open_places = { skeleton->rodata->half_open_places[WEIR_IPV4],
				      skeleton->rodata->half_open_places[WEIR_IPV6] },
		.index_buckets = skeleton->rodata->index_buckets,
		.flows = { datapath->tables.sizes.flows, datapath->tables.sizes.flows_v6 },
	};

	for (size_t i = 0; i < sizeof(meta.index_key) / sizeof(meta.index_key[0]); i++)
		meta.index_key[i] = skeleton->rodata->index_key[i];
	*datapath->meta = meta;
}

int pins_publish(struct datapath *datapath, struct error *error)
{
	char new[BPFFS_PATH_SIZE], maps[BPFFS_PATH_SIZE], path[BPFFS_PATH_SIZE];
	struct bpf_map *map;
	int r;

	describe(datapath);
	r = mkdir(join(new, datapath->pins, NEW, NULL), 0700) < 0 ? -errno : 0;
	bpf_object__for_each_map(map, datapath->skeleton->obj) {
		if (r || bpf_map__is_internal(map))
			continue;
		if (bpf_obj_pin(bpf_map__fd(map),
				join(path, datapath->pins, NEW, bpf_map__name(map))))
			r = -errno;
	}
	if (!r && rename(new, join(maps, datapath->pins, MAPS, NULL)) < 0)
		r = -errno;
	if (r)
		return error_set(error, r, "cannot pin the tables in %s: %s", datapath->pins,
				 strerror(-r));
	__atomic_store_n(&datapath->meta->complete, 1, __ATOMIC_RELEASE);
	return 0;
}

int pins_replace(const struct datapath *datapath, const struct bpf_map *map)
{
	char new[BPFFS_PATH_SIZE], from[BPFFS_PATH_SIZE], to[BPFFS_PATH_SIZE];
	int r = mkdir(join(new, datapath->pins, NEW, NULL), 0700) < 0 ? -errno : 0;

	join(from, datapath->pins, NEW, bpf_map__name(map));
	if (!r && bpf_obj_pin(bpf_map__fd(map), from))
		r = -errno;
	if (!r && rename(from, join(to, datapath->pins, MAPS, bpf_map__name(map))) < 0)
		r = -errno;
	unlink(from);
	rmdir(new);
	return r;
}
