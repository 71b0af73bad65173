/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Counting and telling. Nothing in here changes a verdict. */

#include "maps.h"
#include "packet.h"

/* Keeps @number in one register, so that the verifier sees test and use of the same one. */
#define PINNED(number)                                                                             \
	({                                                                                         \
		__u64 pinned_ = (number);                                                          \
		asm volatile("" : "+r"(pinned_));                                                  \
		pinned_;                                                                           \
	})

/* Per-CPU and never interrupted by another packet: plain additions. */
static __always_inline void count_packet(struct weir_counters *counters)
{
	if (counters)
		counters->packets++;
}

static __always_inline void count_reason(struct weir_counters *counters, enum weir_reason reason)
{
	__u64 index;

	if (!counters)
		return;
	index = PINNED(reason);
	if (index < WEIR_REASON_COUNT)
		counters->reasons[index]++;
}

static __always_inline void count_traffic(__u32 backend_id, enum weir_direction from,
					  const struct packet *packet)
{
	struct weir_traffic *traffic_ = array_at(&traffic, backend_id);

	if (!traffic_)
		return;
	if (from == WEIR_FROM_CLIENT) {
		traffic_->in_packets++;
		traffic_->in_bytes += packet->frame_length;
	} else {
		traffic_->out_packets++;
		traffic_->out_bytes += packet->frame_length;
	}
}

/*
 * A flow entered or left a state. Atomic: the sweep does this in process context, where a packet on
 * the same CPU may interrupt it.
 */
static __always_inline void count_flow(enum weir_flow_state state, __s64 change)
{
	struct weir_counters *counters_ = WEIR_ONLY(counters);
	__u64 index;

	if (!counters_)
		return;
	index = PINNED(state);
	if (index < WEIR_FLOW_STATES)
		__sync_fetch_and_add(&counters_->flows[index], change);
}

__noinline int tell(const struct packet *packet, __u32 reason)
{
	struct weir_event event = {
		.time_ns = bpf_ktime_get_ns(),
		.reason = reason,
	};

	if (!packet)
		return 0;
	event.tuple = packet->tuple;
	event.backend_id = packet->backend_id;
	event.length = packet->frame_length;
	event.tcp_flags = packet->tcp_flags;
	return bpf_ringbuf_output(&events, &event, sizeof(event), 0);
}
