// SPDX-License-Identifier: GPL-2.0-only
#include "create.h"
#include "direct.h"
#include "fragment.h"
#include "icmp.h"
#include "kill.h"
#include "maps.h"
#include "nat.h"
#include "packet.h"
#include "reply.h"
#include "reset.h"
#include "service.h"
#include "stats.h"
#include "sweep.h"
#include "timestamp.h"

/* A packet of the flow @hit. WEIR_GO_ON: its flow has just ended, the packet may open a new one. */
static __always_inline enum weir_reason known_flow(struct xdp_md *ctx, struct packet *packet,
						   struct flow_hit *hit)
{
	enum weir_reason reason;

	packet->record = hit->record;
	packet->generation = hit->control.generation;
	packet->backend_id = hit->flow->backend_id;
	if (hit->control.state == WEIR_FLOW_KILLED)
		return killed_flow(packet, hit);
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED;
	if (hit->control.state == WEIR_FLOW_CLOSING && hit->from == WEIR_FROM_CLIENT &&
	    !(hit->control.flags & WEIR_FLOW_UDP) && packet_opens(packet)) {
		return flow_end(hit->record, hit->control.word) ? WEIR_GO_ON : WEIR_REASON_RACED;
	}
	reason = flow_step(hit, packet);
	if (reason != WEIR_GO_ON)
		return reason;
	return nat_forward(ctx, hit, packet,
			   hit->from == WEIR_FROM_CLIENT ? WEIR_REASON_TO_BACKEND :
							   WEIR_REASON_TO_CLIENT);
}

/*
 * A packet of a flow, or WEIR_GO_ON: it is of none. This and the next are functions of their own, and
 * not static, for the sake of the stack, which is 512 bytes for all frames of a chain of calls, and of
 * the verifier, which then looks at them once.
 */
__noinline int forward_known(struct xdp_md *ctx, struct packet *packet)
{
	struct flow_hit hit = {};

	if (!packet || !flow_find(packet, &hit))
		return WEIR_GO_ON;
	return known_flow(ctx, packet, &hit);
}

/* The first packet of a flow that was just made. */
__noinline int forward_first(struct xdp_md *ctx, struct packet *packet, const struct flow_new *new)
{
	struct flow_hit hit = { .from = WEIR_FROM_CLIENT };

	if (!packet || !new)
		return WEIR_REASON_RACED;
	hit.record = new->record;
	hit.control = new->control;
	hit.flow = record_at(hit.record);
	if (!hit.flow)
		return WEIR_REASON_RACED;
	packet->record = hit.record;
	packet->generation = hit.control.generation;
	packet->backend_id = hit.flow->backend_id;
	if (new->port_rested)
		timestamp_remove(ctx, packet);
	return nat_forward(ctx, &hit, packet, WEIR_REASON_NEW_FLOW);
}

/* Could not be served: to be answered, unless the service is to be silent. */
static __always_inline enum weir_reason refuse(__u32 service_id, enum weir_reason cause)
{
	struct weir_service *service = array_at(&services, service_id);

	if (cause != WEIR_REASON_RACED && service && (service->flags & WEIR_SERVICE_SILENT))
		return silent_twin(cause);
	return cause;
}

/* A packet without a flow. */
static __always_inline enum weir_reason unknown_flow(struct xdp_md *ctx, struct packet *packet)
{
	__u32 service_id = service_of(&packet->tuple);
	struct flow_new new = {};
	enum weir_reason reason;

	packet->record = WEIR_RECORD_NONE;
	packet->backend_id = 0;
	if (!service_id)
		return WEIR_REASON_NOT_OURS;
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED;
	if (service_is_direct(service_id)) {
		reason = direct_forward(ctx, packet, service_id);
		return reason == WEIR_REASON_NO_BACKEND ? refuse(service_id, reason) : reason;
	}
	if (!packet_opens(packet))
		return WEIR_REASON_NO_FLOW;
	if (!source_is_possible(packet))
		return WEIR_REASON_BAD_SOURCE;
	reason = flow_create(ctx, packet, service_id, &new);
	if (reason != WEIR_REASON_NEW_FLOW)
		return refuse(service_id, reason);
	return forward_first(ctx, packet, &new);
}

static __always_inline int reason_is_forwarded(enum weir_reason reason)
{
	return reason == WEIR_REASON_TO_BACKEND || reason == WEIR_REASON_TO_CLIENT ||
	       reason == WEIR_REASON_NEW_FLOW || reason == WEIR_REASON_HASHED;
}

static __always_inline enum weir_reason handle(struct xdp_md *ctx, struct packet *packet)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	enum weir_reason reason = packet_parse(data, data_end, bpf_xdp_get_buff_len(ctx), packet);

	switch (reason) {
	case WEIR_GO_ON:
		break;
	case WEIR_REASON_FRAGMENT:
		return fragment_later(ctx, packet);
	case WEIR_REASON_NOT_TCP_UDP:
		return icmp_handle(ctx, packet);
	case WEIR_REASON_MALFORMED_IP:
	case WEIR_REASON_MALFORMED_TCP:
	case WEIR_REASON_MALFORMED_UDP:
		return service_concerned(packet) ? reason : WEIR_REASON_NOT_OURS_MALFORMED;
	default:
		return reason;
	}
	reason = forward_known(ctx, packet);
	if (reason == WEIR_GO_ON)
		reason = unknown_flow(ctx, packet);
	if (packet->first_fragment && reason_is_forwarded(reason))
		fragment_first(ctx, packet);
	return reason;
}

/* The one place where weir answers, so that the verifier meets all of that once. */
static __always_inline enum weir_reason answer(struct xdp_md *ctx, struct packet *packet,
					       enum weir_reason reason)
{
	__u64 cause = PINNED(reason);

	return reason_is_answered(cause) ? reply(ctx, packet, cause) : cause;
}

/* The one place where a reason becomes a verdict, and is counted. */
static __always_inline int finish(struct xdp_md *ctx, struct weir_counters *counters_,
				  const struct packet *packet, enum weir_reason reason)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);

	count_reason(counters_, reason);
	if (runtime_ && runtime_->trace)
		tell(packet, reason);
	switch (weir_reason_verdict(reason)) {
	case WEIR_VERDICT_PASS:
		return XDP_PASS;
	case WEIR_VERDICT_DROP:
		return XDP_DROP;
	case WEIR_VERDICT_SEND:
		break;
	}
	if (!packet->egress || packet->egress == ctx->ingress_ifindex)
		return XDP_TX;
	return bpf_redirect(packet->egress, 0);
}

SEC("xdp.frags")
int weir_xdp(struct xdp_md *ctx)
{
	struct weir_counters *counters_ = WEIR_ONLY(counters);
	enum weir_reason reason;
	struct packet packet;

	count_packet(counters_);
	reason = handle(ctx, &packet);
	return finish(ctx, counters_, &packet, answer(ctx, &packet, reason));
}

char LICENSE[] SEC("license") = "GPL";
