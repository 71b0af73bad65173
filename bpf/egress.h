/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Sending from another interface than the packet came in on; shared with failures.bpf.c. */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi/state.h"

/* The interfaces that weir sends from. The kernel takes out those that vanish. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, WEIR_EGRESSES);
	__type(key, __u32); /* ifindex, as is the value */
	__type(value, __u32);
} egress SEC(".maps");

/* Packets that the kernel could not send after the program had said so. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} redirect_failures SEC(".maps");
