/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Counters that mean something else from now on. */

#include "call.h"
#include "maps.h"

static long reset_step(__u32 cpu, void *user)
{
	struct weir_counters *counters_;
	__u32 only = 0;

	counters_ = bpf_map_lookup_percpu_elem(&counters, &only, cpu);
	if (!counters_)
		return 1;
	counters_->packets = 0;
	__builtin_memset(counters_->reasons, 0, sizeof(counters_->reasons));
	return 0;
}

/*
 * Run by user space when another list of reasons begins. Word by word: an update of the whole value
 * would undo what packets do to `flows` meanwhile, which must stay exact.
 */
SEC("xdp")
int weir_reset_reasons(struct xdp_md *ctx)
{
	bpf_loop(1ULL << 16, reset_step, NULL, 0);
	return XDP_PASS;
}
