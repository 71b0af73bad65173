/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Packets of known flows, and the end of every packet's way. */

#include "flow.h"
#include "nat.h"
#include "stats.h"

/* For those who handle the packet later and for `weir trace`. */
static __always_inline void packet_note_flow(struct packet *packet, const struct flow_hit *hit)
{
	packet->record = hit->record;
	packet->generation = hit->control.generation;
	packet->backend_id = hit->flow->backend_id;
}

/* A SYN on a flow that is closing begins a new one. */
static __always_inline int flow_is_opened_anew(const struct flow_hit *hit,
					       const struct packet *packet)
{
	return hit->control.state == WEIR_FLOW_CLOSING && hit->from == WEIR_FROM_CLIENT &&
	       !(hit->control.flags & WEIR_FLOW_UDP) && packet_opens(packet);
}

/* A packet that has acted on its flow's state goes to the other side. */
static __always_inline enum weir_reason forward_plain(struct xdp_md *ctx, struct packet *packet,
						      const struct flow_hit *hit)
{
	return nat_forward(ctx, hit, packet,
			   hit->from == WEIR_FROM_CLIENT ? WEIR_REASON_TO_BACKEND :
							   WEIR_REASON_TO_CLIENT);
}

/* To the interface that the packet has to leave by; into the map goes every one that can be sent from. */
static __always_inline int send_out(const struct xdp_md *ctx, __u32 ifindex,
				    enum weir_reason *reason)
{
	int verdict = XDP_TX;

	if (ifindex && ifindex != ctx->ingress_ifindex)
		verdict = bpf_redirect_map(&egress, ifindex, XDP_DROP);
	if (verdict == XDP_DROP)
		*reason = WEIR_REASON_NO_EGRESS;
	return verdict;
}

static __always_inline int verdict_of(const struct xdp_md *ctx, __u32 ifindex,
				      enum weir_reason *reason)
{
	switch (weir_reason_verdict(*reason)) {
	case WEIR_VERDICT_PASS:
		return XDP_PASS;
	case WEIR_VERDICT_DROP:
		return XDP_DROP;
	case WEIR_VERDICT_SEND:
		break;
	}
	return send_out(ctx, ifindex, reason);
}

/* The one place where a reason becomes a verdict, and is counted. @ifindex: to send from, 0: where it came in. */
static __always_inline int finish(const struct xdp_md *ctx, struct weir_counters *counters_,
				  __u32 ifindex, enum weir_reason *reason)
{
	int verdict = verdict_of(ctx, ifindex, reason);

	count_reason(counters_, *reason);
	return verdict;
}
