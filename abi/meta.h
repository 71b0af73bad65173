/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "flow.h"

/*
 * The one entry of the pinned array `meta`: what a daemon must know of tables that another one made,
 * before it may use them. WEIR_ABI_VERSION grows with each change of a meaning that `layout` (a hash
 * over names, types and sizes of all maps) does not show.
 */
#define WEIR_META_MAGIC 0x7265696577656972ULL
#define WEIR_ABI_VERSION 1

struct weir_meta {
	__u64 magic;
	__u32 abi;
	__u32 complete; /* 1: everything is made and pinned */
	__u64 layout;
	__u64 reasons; /* hash over the list of reasons: counters of another list are reset */
	__u64 index_key[WEIR_INDEX_KEYS];
	__u64 network_namespace; /* inode: interface indices mean nothing in another one */
	__u32 half_open_places[WEIR_FAMILIES];
	__u32 index_buckets;
	__u32 flows[WEIR_FAMILIES];
};
