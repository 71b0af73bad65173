/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Cutting flows on command. A UDP flow is gone at once. A TCP flow becomes KILLED: its two sides are told
 * with a RST as soon as they send, at the number that makes them believe it.
 */

#include "call.h"
#include "flow.h"

static __always_inline int kill_takes_client(const struct weir_kill *filter,
					     const struct weir_flow *flow, __u32 record)
{
	struct weir_tuple tuple;

	if (filter->client_port && filter->client_port != flow->client_ports.source)
		return 0;
	if (address_is_zero(&filter->client))
		return 1;
	flow_tuple(flow, record, 0, WEIR_FROM_CLIENT, &tuple);
	return address_is_same(&filter->client, &tuple.source);
}

static __always_inline int kill_takes(const struct weir_kill *filter, const struct weir_flow *flow,
				      __u32 record)
{
	struct weir_backend *backend = array_at(&backends, flow->backend_id);

	return backend && (!filter->marked || backend->cut) &&
	       (!filter->backend_id || filter->backend_id == flow->backend_id) &&
	       (!filter->service_id || filter->service_id == backend->service) &&
	       kill_takes_client(filter, flow, record);
}

/*
 * Ends the flow @old. Returns 1, or 0: its state has changed meanwhile. The swap also proves that
 * what the filter saw was this flow.
 */
static __always_inline int kill_flow(struct weir_flow *flow, union weir_flow_control old, __u32 id)
{
	union weir_flow_control new = old;

	if (old.flags & WEIR_FLOW_UDP) {
		new.state = WEIR_FLOW_DEAD;
		if (!flow_swap(flow, old, new))
			return 0;
		flow_remove(id, old.word);
		return 1;
	}
	new.state = WEIR_FLOW_KILLED;
	new.flags |= WEIR_FLOW_RESET; /* no quarantine: the backend gets a RST */
	flow->last_seen = bpf_jiffies64();
	if (!flow_swap(flow, old, new))
		return 0;
	flow_moved(flow, record_family(id), old, WEIR_FLOW_KILLED);
	return 1;
}

static long kill_step(__u32 step, struct weir_kill *kill)
{
	__u32 id = kill->first + step;
	union weir_flow_control old;
	struct weir_flow *flow;
	int i;

	flow = record_at(id);
	if (!flow)
		return 1;
	kill->count++;
	for (i = 0; i < FLOW_SWAP_TRIES; i++) {
		old.word = READ_WORD(flow->control.word);
		if (!state_is_live(old.state) || !kill_takes(kill, flow, id))
			return 0;
		if (!kill_flow(flow, old, id))
			continue;
		kill->killed++;
		break;
	}
	return kill->killed - kill->first >= WEIR_KILL_MOST;
}

SEC("xdp")
int weir_kill(struct xdp_md *ctx)
{
	struct weir_kill *kill = call_argument(ctx);
	struct weir_kill walk;

	if (!call_holds(ctx, kill + 1))
		return XDP_ABORTED;
	walk = *kill;
	walk.count = unknown_zero();
	walk.killed = READ_HALF(
		kill->first); /* as in the sweep: not from a number that the verifier knows */
	bpf_loop((__u64)kill->count, kill_step, &walk, 0);
	kill->count = walk.count;
	kill->killed = walk.killed - kill->first;
	return XDP_PASS;
}

/*
 * A segment of a KILLED flow. A client's SYN opens a new one: WEIR_GO_ON. All else is answered as if
 * there were no connection (RFC 9293 3.10.7.1), but to either side.
 */
static __always_inline enum weir_reason killed_flow(const struct packet *packet,
						    const struct flow_hit *hit)
{
	__u32 now = bpf_jiffies64();

	if (hit->from == WEIR_FROM_CLIENT && packet_opens(packet))
		return flow_end(hit->record, hit->control.word) ? WEIR_GO_ON : WEIR_REASON_RACED;
	if (hit->flow->last_seen != now)
		hit->flow->last_seen = now;
	return WEIR_REASON_KILLED;
}
