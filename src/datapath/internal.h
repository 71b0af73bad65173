/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "abi/meta.h"

#include "src/datapath/datapath.h"

/* What the files of this room share. */

struct bpf_map;
struct bpf_program;
struct ring_buffer;
struct failures;
struct weir;

/*
 * Records beyond the limit of live flows: they rest in the queue of free ids, so that an id is never
 * used again at once (doc/decisions/0003).
 */
#define RECORDS_SPARE 4096

struct attachment {
	uint32_t ifindex;
	int link;    /* bpf_link */
	bool passes; /* of the program that only passes */
};

struct datapath {
	struct weir *skeleton;
	struct failures *failures; /* NULL: nobody watches for them */
	struct datapath_tables tables;
	struct weir_meta *meta; /* mapped */
	struct mapping {
		void *memory;
		size_t length;
	} mappings[24];
	size_t mapping_count;
	char *pins;          /* directory that this process holds; NULL: nothing is pinned */
	int lock;            /* of it */
	bool adopted;        /* maps and what is in them are another daemon's */
	bool reasons_differ; /* so much that the reasons it counted are not ours */
	bool sessions_grow;  /* the ones that are pinned are too few */
	struct attachment *attachments; /* those that are not pinned */
	size_t attachment_count;
	struct ring_buffer *events;
	int events_left; /* that the current call may take */
	datapath_event_fn take;
	void *take_user;
	int cpus;
	uint32_t program_id;
	uint32_t hz;
};

/* object.c: the skeleton and its maps. Loads it with new maps, or with those that are pinned. */
int object_load(struct datapath *datapath, struct error *error);
/* A second one over the maps of @from, but for its own sessions in @buckets. */
int object_load_beside(const struct weir *from, uint32_t buckets, struct weir **ret,
		       struct error *error);
/* Of what is attached. 0: the kernel does not tell. */
uint32_t object_program_id(const struct weir *skeleton);
/* How many the table of sessions has, to remember @sessions. */
uint32_t object_session_buckets(uint32_t sessions);
int object_map_tables(struct datapath *datapath);
/* What maps need, besides zeroes, before the first packet. */
int object_fill(struct datapath *datapath);
/*
 * Runs a program that user space calls (bpf/call.h). @argument: what it reads and changes, at least 14
 * bytes, for the kernel takes it for a frame.
 */
int object_run(const struct bpf_program *program, void *argument, size_t size);
/* Adds up, word by word, the per-CPU values of @map at @index. @size: multiple of 8 bytes. */
int object_sum(const struct datapath *datapath, const struct bpf_map *map, uint32_t index,
	       uint64_t *sum, size_t size);
/* Counters of reasons back to zero, on all CPUs; those of flows go on. */
int object_reset_reasons(struct datapath *datapath);

/* pins.c */
/* Makes and locks the directory, and removes what is incomplete in it: 1 if complete maps remain. */
int pins_take(struct datapath *datapath, const char *path, struct error *error);
/* Before loading: checks that the pinned maps fit, and hands them to the object. */
int pins_adopt(struct datapath *datapath, struct error *error);
/* After loading and filling: pins the new maps, all or nothing. */
int pins_publish(struct datapath *datapath, struct error *error);
/* This map takes the place of the pinned one of its name, at once. */
int pins_replace(const struct datapath *datapath, const struct bpf_map *map);
/* Removes all that is in the directory, then itself; it must be locked. */
int pins_remove(const char *pins, struct error *error);
/* The hash that `meta` keeps over all maps as the object declares them. */
uint64_t pins_layout(const struct datapath *datapath);
uint64_t pins_reasons(void);
uint64_t pins_network_namespace(void);

/* bpffs.c: the file system beneath. */
#define BPFFS_PATH_SIZE 512
/* Makes the directory with its parents, and mounts bpffs at /sys/fs/bpf if that is missing. */
int bpffs_make_directory(const char *path, struct error *error);
/* Opens and locks a directory: -ENOENT: there is none; -EBUSY: another process holds it. */
int bpffs_lock(const char *path, int *ret, struct error *error);
/* Calls @take with the path of each entry of the directory; a missing directory is empty. */
int bpffs_for_each(const char *directory, int (*take)(const char *path, void *user), void *user);

/* egress.c */
/* Pins of what counts redirects that failed: PINS/failures-NAME. */
#define FAILURES "failures-"
/* Stops counting, unless it is pinned. */
void failures_close(struct datapath *datapath);

/* links.c */
/* All pinned links of the balancer run @program from now on. */
int links_swap(const struct datapath *datapath, int program, struct error *error);
/* Takes the pinned links of @directory off their interfaces; @dead: only those without one. */
int links_unpin(const char *directory, bool dead);
/* Attaches a program; *ret: its link. @native: in the driver, else generic. */
int links_create(int program, uint32_t ifindex, bool native, int *ret, struct error *error);
/* How many of the pinned links still have an interface. */
size_t links_alive(const char *directory);
