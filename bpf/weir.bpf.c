// SPDX-License-Identifier: GPL-2.0-only
#include "direct.h"
#include "kill.h"
#include "known.h"
#include "maps.h"
#include "packet.h"
#include "pass.h"
#include "reset.h"
#include "slow.h"
#include "sweep.h"

/* Hands the packet over to weir_slow. @reason: of the parser, or of what has become of it already. */
static __always_inline int go_slow(struct xdp_md *ctx, const struct packet *packet,
				   enum slow_stage stage, enum weir_reason reason)
{
	struct handover *handover_ = WEIR_ONLY(handovers);

	if (!handover_)
		return XDP_ABORTED;
	handover_->packet = *packet;
	handover_->stage = stage;
	handover_->reason = reason;
	bpf_tail_call(ctx, &slow_programs, 0);
	return XDP_ABORTED; /* weir_slow is always there */
}

/* A packet that needs nothing but to be forwarded: the flow translates, and goes on. */
static __always_inline int is_plain(const struct flow_hit *hit, const struct packet *packet)
{
	return hit->control.state != WEIR_FLOW_KILLED && packet->ttl > 1 &&
	       !flow_is_opened_anew(hit, packet);
}

/*
 * The way of nearly all packets: no call, no helper but the inlined lookups in arrays, and in ipip
 * bpf_xdp_adjust_head().
 */
SEC("xdp.frags")
int weir_xdp(struct xdp_md *ctx)
{
	struct weir_counters *counters_ = WEIR_ONLY(counters);
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	struct flow_hit hit = {};
	enum weir_reason reason;
	struct packet packet;
	__u64 hash;

	count_packet(counters_);
	reason = packet_parse(data, data_end, data_end - data, &packet);
	packet.egress = ctx->ingress_ifindex;
	if (reason != WEIR_GO_ON)
		return go_slow(ctx, &packet, STAGE_PARSED, reason);
	hash = weir_keyed_hash(index_key, &packet.tuple);
	if (flow_find(&packet, hash >> 32, &hit)) {
		if (!is_plain(&hit, &packet) || !flow_step(&hit, &packet))
			return go_slow(ctx, &packet, STAGE_FOUND, reason);
		reason = forward_plain(ctx, &packet, &hit);
		packet_note_flow(&packet, &hit);
	} else {
		reason = direct_forward_plain(ctx, &packet, hash);
		if (reason == WEIR_GO_ON)
			return go_slow(ctx, &packet, STAGE_UNKNOWN, reason);
	}
	if (packet.first_fragment || packet.doubtful || reason == WEIR_REASON_TOO_BIG ||
	    !runtime_ || runtime_->trace)
		return go_slow(ctx, &packet, STAGE_FORWARDED, reason);
	return finish(ctx, counters_, packet.egress, &reason);
}

char LICENSE[] SEC("license") = "GPL";
