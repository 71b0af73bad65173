/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* The walk over the records, run by user space in chunks: expire, free, audit. */

#include "call.h"
#include "flow.h"

/*
 * After how much work a chunk is cut short, in the cost of one record that goes back to the queue of free
 * ids. Ending a flow, with its two index entries, costs about four times that: 1,024 of them a millisecond.
 */
#define SWEEP_WORK 4096
#define SWEEP_WORK_OF_END 4

/*
 * What the walk has done so far. @work is counted from @result.first and the sums from unknown_zero(): from
 * numbers that the verifier knows it would follow each step.
 */
struct sweep_walk {
	struct weir_sweep result;
	__u32 work;
};

static __always_inline __u32 timeout_of(const struct weir_timeouts *timeouts,
					union weir_flow_control control)
{
	if (control.flags & WEIR_FLOW_UDP)
		return control.state == WEIR_FLOW_ESTABLISHED ? timeouts->udp_established :
								timeouts->udp;
	if (control.state == WEIR_FLOW_ESTABLISHED)
		return timeouts->tcp;
	return control.state == WEIR_FLOW_HALF_OPEN ? timeouts->tcp_handshake : timeouts->tcp_close;
}

/*
 * May a flow in state @control be silent for @idle jiffies? Most may by what all services allow: then its
 * own one is not looked up, which is two cache lines of large tables.
 */
static __always_inline int may_be_silent(union weir_flow_control control, __u32 backend_id,
					 __u32 idle)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_backend *backend;
	struct weir_service *service;

	if (!runtime_)
		return 0;
	if (control.state == WEIR_FLOW_QUARANTINE)
		return idle <= runtime_->time_wait;
	if (idle <= timeout_of(&runtime_->least, control))
		return 1;
	backend = array_at(&backends, backend_id);
	service = backend ? array_at(&services, backend->service) : (void *)0;
	return idle <= (service ? timeout_of(&service->timeouts, control) : 0);
}

/* Counts a live record: for the walk as a whole, and for its backend. */
static __always_inline void sweep_live(__u8 state, __u32 backend_id, struct weir_sweep *sweep)
{
	struct weir_audit *audit = array_at(&audits, backend_id);

	if (state == WEIR_FLOW_HALF_OPEN) {
		sweep->half_open++;
		if (audit)
			audit->half_open++;
	} else if (state == WEIR_FLOW_ESTABLISHED) {
		sweep->established++;
		if (audit)
			audit->established++;
	} else if (state == WEIR_FLOW_CLOSING) {
		sweep->closing++;
	} else if (state == WEIR_FLOW_QUARANTINE) {
		sweep->quarantine++;
	}
}

/* A record out of use: DEAD waits one walk as LIMBO, LIMBO is free now. */
static __always_inline void sweep_dead(struct weir_flow *flow, union weir_flow_control old,
				       __u32 id, struct weir_sweep *sweep)
{
	union weir_flow_control next = old;

	next.state = old.state == WEIR_FLOW_DEAD ? WEIR_FLOW_LIMBO : WEIR_FLOW_FREE;
	if (flow_swap(flow, old, next) && next.state == WEIR_FLOW_FREE) {
		record_free(id);
		sweep->freed++;
	}
}

/* Records run short: ports leave their quarantine early. */
static __always_inline int records_scarce(enum weir_family family)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_shared *shared_ = WEIR_ONLY(shared);

	return runtime_ && shared_ &&
	       shared_->records[family] > runtime_->flows_limit[family] / 4 * 3;
}

/*
 * Ends the flow @id as @old_word, or its quarantine, that was silent for too long. 0: another CPU was faster. Not
 * static, so that the verifier looks at it once and not for each state.
 */
__noinline int sweep_end(__u32 id, __u64 old_word)
{
	union weir_flow_control old = { .word = old_word }, dead = old;
	struct weir_flow *flow = record_at(id);

	if (!flow)
		return 0;
	if (old.state == WEIR_FLOW_CLOSING)
		return flow_end(id, old.word);
	dead.state = WEIR_FLOW_DEAD;
	if (!flow_swap(flow, old, dead))
		return 0;
	if (old.state == WEIR_FLOW_QUARANTINE) {
		flow_release_port(id, old.word);
		return 1;
	}
	flow_refused(flow, old);
	flow_remove(id, old.word);
	return 1;
}

static __always_inline int sweep_expire(struct weir_flow *flow, union weir_flow_control old,
					__u32 id)
{
	__u32 idle = (__u32)bpf_jiffies64() - flow->last_seen;
	union weir_flow_control dead, limbo;

	/* Signed: a packet on another CPU may have been here after our look at the clock. */
	if ((__s32)idle < 0)
		return 0;
	if (may_be_silent(old, flow->backend_id, idle) &&
	    !(old.state == WEIR_FLOW_QUARANTINE && records_scarce(record_family(id))))
		return 0;
	if (!sweep_end(id, old.word))
		return 0;
	/* Dead by our own hand: this walk counts as the one that saw it. */
	dead.word = limbo.word = READ_WORD(flow->control.word);
	limbo.state = WEIR_FLOW_LIMBO;
	if (dead.state == WEIR_FLOW_DEAD)
		flow_swap(flow, dead, limbo);
	return 1;
}

static long sweep_step(__u32 step, struct sweep_walk *walk)
{
	struct weir_sweep *sweep = &walk->result;
	__u32 id = sweep->first + step;
	union weir_flow_control control;
	struct weir_flow *flow;

	flow = record_at(id);
	if (!flow)
		return 1;
	sweep->count++;
	control.word = READ_WORD(flow->control.word);
	if (control.state == WEIR_FLOW_FREE)
		return 0;
	if (control.state >= WEIR_FLOW_DEAD) {
		sweep_dead(flow, control, id, sweep);
		walk->work++;
	} else if (sweep_expire(flow, control, id)) {
		sweep->expired++;
		walk->work += SWEEP_WORK_OF_END;
	} else {
		sweep_live(control.state, flow->backend_id, sweep);
	}
	return walk->work - sweep->first >= SWEEP_WORK;
}

SEC("xdp")
int weir_sweep(struct xdp_md *ctx)
{
	struct weir_sweep *sweep = call_argument(ctx);
	struct sweep_walk walk = {
		.result = {
			.count = unknown_zero(),
			.expired = unknown_zero(),
			.freed = unknown_zero(),
			.half_open = unknown_zero(),
			.established = unknown_zero(),
			.closing = unknown_zero(),
			.quarantine = unknown_zero(),
		},
	};

	if (!call_holds(ctx, sweep + 1))
		return XDP_ABORTED;
	walk.result.first = READ_HALF(sweep->first);
	walk.work = READ_HALF(sweep->first);
	bpf_loop((__u64)sweep->count, sweep_step, &walk, 0);
	*sweep = walk.result;
	return XDP_PASS;
}

static long fill_step(__u32 step, struct weir_sweep *sweep)
{
	__u32 id = sweep->first + step;

	if (record_family(id) == WEIR_IPV6)
		return bpf_map_push_elem(&free_records6, &id, 0) ? 1 : 0;
	return bpf_map_push_elem(&free_records4, &id, 0) ? 1 : 0;
}

SEC("xdp")
int weir_fill(struct xdp_md *ctx)
{
	struct weir_sweep *sweep = call_argument(ctx);
	struct weir_sweep state = {};

	if (!call_holds(ctx, sweep + 1))
		return XDP_ABORTED;
	state.first = sweep->first;
	bpf_loop((__u64)sweep->count, fill_step, &state, 0);
	return XDP_PASS;
}

SEC("xdp")
int weir_read_clock(struct xdp_md *ctx)
{
	struct weir_clock *clock = call_argument(ctx);

	if (!call_holds(ctx, clock + 1))
		return XDP_ABORTED;
	clock->jiffies = bpf_jiffies64();
	return XDP_PASS;
}
