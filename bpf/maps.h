/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * All state of the datapath. Sizes that say 1 are set from the configuration before loading. Nothing
 * lives in globals: .data and .bss are new after every program swap.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi/config.h"
#include "abi/meta.h"
#include "abi/state.h"
#include "packet.h"

#include "egress.h"

/* Fixed when the object is loaded. */
const volatile __u32 half_open_places[WEIR_FAMILIES] = { 1, 1 };
const volatile __u32 index_buckets = 1;
const volatile __u32 session_buckets = 1;
const volatile __u64 index_key[WEIR_INDEX_KEYS] = {};

/* struct weir_port_queue as the kernel wants to see it. */
struct weir_port_queue_locked {
	struct bpf_spin_lock lock;
	__u32 head;
	__u32 tail;
	__u32 zero;
	struct weir_free_port ports[WEIR_PORT_QUEUE_PLACES];
};

#define WEIR_ARRAY(name_, value_, flags_)                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, 1);                                                            \
		__uint(map_flags, flags_);                                                         \
		__type(key, __u32);                                                                \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

#define WEIR_PER_CPU(name_, value_)                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                           \
		__uint(max_entries, 1);                                                            \
		__type(key, __u32);                                                                \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

/* Configuration, written by user space through its own mapping. */
WEIR_ARRAY(root, struct weir_root, BPF_F_MMAPABLE);
WEIR_ARRAY(runtime, struct weir_runtime, BPF_F_MMAPABLE);
WEIR_ARRAY(listeners, struct weir_listener, BPF_F_MMAPABLE);
WEIR_ARRAY(port_ranges, struct weir_port_range, BPF_F_MMAPABLE);
WEIR_ARRAY(services, struct weir_service, BPF_F_MMAPABLE);
WEIR_ARRAY(service_names, struct weir_service_name, BPF_F_MMAPABLE);
WEIR_ARRAY(slots, struct weir_slot, BPF_F_MMAPABLE);
WEIR_ARRAY(backends, struct weir_backend, BPF_F_MMAPABLE);
WEIR_ARRAY(next_hops, struct weir_hop, BPF_F_MMAPABLE);
WEIR_ARRAY(snat_addresses, struct weir_address, BPF_F_MMAPABLE);
WEIR_ARRAY(snat_ports, struct weir_snat_ports, BPF_F_MMAPABLE);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct weir_gateway_key);
	__type(value, __u32);
} gateways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEIR_AFFINITIES);
	__type(key, struct weir_affinity_key);
	__type(value, struct weir_affinity);
} affinities SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, WEIR_ACCESS_RULES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weir_access_key);
	__type(value, __u32); /* enum weir_access */
} access_rules SEC(".maps");

/* State. */
WEIR_ARRAY(meta, struct weir_meta, BPF_F_MMAPABLE);
WEIR_ARRAY(port_queues, struct weir_port_queue_locked, 0);
WEIR_ARRAY(shared, struct weir_shared, BPF_F_MMAPABLE);
WEIR_ARRAY(service_state, struct weir_service_state, BPF_F_MMAPABLE);
WEIR_ARRAY(loads, struct weir_load, BPF_F_MMAPABLE);
WEIR_ARRAY(audits, struct weir_audit, BPF_F_MMAPABLE);
WEIR_ARRAY(flows4, struct weir_flow4, BPF_F_MMAPABLE);
WEIR_ARRAY(flows6, struct weir_flow6, BPF_F_MMAPABLE);
/* Half-open flows in order of birth: union weir_index. Those of one family never push out the other's. */
WEIR_ARRAY(ring4, __u64, 0);
WEIR_ARRAY(ring6, __u64, 0);
WEIR_PER_CPU(counters, struct weir_counters);
WEIR_PER_CPU(traffic, struct weir_traffic);
WEIR_PER_CPU(buckets, struct weir_buckets);
WEIR_PER_CPU(handovers, struct handover);

/* Mappable for its alignment: other arrays begin in the middle of a cache line. */
WEIR_ARRAY(flow_index, struct weir_index_bucket, BPF_F_MMAPABLE);

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct weir_fragment_key);
	__type(value, union weir_fragment);
} fragments SEC(".maps");

/* Ids of free records; a fifo, so that an id rests as long as possible. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, __u32);
} free_records4 SEC(".maps"), free_records6 SEC(".maps");

/* Mappable for its alignment, too. */
WEIR_ARRAY(sessions, struct weir_session_bucket, BPF_F_MMAPABLE);

/* Where weir_xdp jumps to. */
int weir_slow(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, int(struct xdp_md *));
} slow_programs SEC(".maps") = { .values = { (void *)&weir_slow } };

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* The one entry of a map with one entry; never NULL, but the verifier wants to see a test. */
#define WEIR_ONLY(map)                                                                             \
	({                                                                                         \
		__u32 only_ = 0;                                                                   \
		bpf_map_lookup_elem(&(map), &only_);                                               \
	})

/*
 * Zero, but the verifier does not know. Before Linux 6.7 it follows the function of a bpf_loop once, as if
 * that ran once, and takes out the branches which then seem impossible. So what such a function changes,
 * and what it or its caller decides by, begins as this. Each such number gets one of its own: of equal ones
 * later verifiers know that they are, and look at each way in which they part.
 */
static __always_inline __u64 unknown_zero(void)
{
	__u64 now = bpf_jiffies64(), zero = now;

	asm volatile("%0 -= %1" : "+&r"(zero) : "r"(now));
	return zero;
}

static __always_inline void *array_at(void *map, __u32 index)
{
	return bpf_map_lookup_elem(map, &index);
}
