/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Whatever is not a plain packet of a known flow. A program of its own, which the first one jumps to (a tail
 * call): it has all of the stack, 512 bytes, and the first one makes no call, for on some processors the return
 * from each costs as much as a lookup (doc/decisions/0018). The functions in here and in what it includes that are not
 * static are so for the verifier, which then looks at them once and not at each of their calls.
 */

#include "create.h"
#include "direct.h"
#include "fragment.h"
#include "icmp.h"
#include "kill.h"
#include "known.h"
#include "reply.h"
#include "route.h"
#include "service.h"
#include "stats.h"
#include "timestamp.h"

/* What find_known() returns where another CPU has just changed the flow. */
#define FIND_AGAIN (WEIR_GO_ON + 1)

/* A packet of the flow @hit. WEIR_GO_ON: its flow has just ended, the packet may open a new one. */
static __always_inline int forward_known(struct xdp_md *ctx, struct packet *packet,
					 const struct flow_hit *hit, int last)
{
	if (hit->control.state == WEIR_FLOW_KILLED)
		return killed_flow(packet, hit);
	if (packet->ttl <= 1)
		return WEIR_REASON_TTL_EXCEEDED;
	if (flow_is_opened_anew(hit, packet))
		return flow_end(hit->record, hit->control.word) ? WEIR_GO_ON : WEIR_REASON_RACED;
	if (!flow_step(hit, packet) && !last)
		return FIND_AGAIN;
	return forward_plain(ctx, packet, hit);
}

/*
 * The same, and it is found first: WEIR_GO_ON also if it is gone. @last: there will be no other try, so the
 * packet goes on even if what it does to the flow got lost.
 */
__noinline int find_known(struct xdp_md *ctx, struct packet *packet, int last)
{
	struct flow_hit hit = {};

	if (!packet || !flow_find(packet, weir_index_hash(index_key, &packet->tuple), &hit))
		return WEIR_GO_ON;
	packet_note_flow(packet, &hit);
	return forward_known(ctx, packet, &hit, last);
}

/* The first packet of a flow that was just made. Not static, as all that is rare: the verifier looks at it once. */
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
	packet_note_flow(packet, &hit);
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
	struct weir_service *service;
	struct flow_new new = {};
	enum weir_reason reason;

	packet->record = WEIR_RECORD_NONE;
	packet->backend_id = 0;
	service = array_at(&services, service_id);
	if (!service_id || !service)
		return WEIR_REASON_NOT_OURS;
	if (packet->ttl <= 1)
		return service_denies(service, packet) ? WEIR_REASON_DENIED :
							 WEIR_REASON_TTL_EXCEEDED;
	if (service->mode != WEIR_MODE_NAT) {
		reason = direct_forward(ctx, packet, service_id);
		return reason == WEIR_REASON_NO_BACKEND ? refuse(service_id, reason) : reason;
	}
	if (service_denies(service, packet))
		return WEIR_REASON_DENIED;
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

/*
 * An IP packet longer than what lies at hand of the frame: the rest may be in other pieces (jumbo frames). The
 * headers are all in the first one.
 */
__noinline int parse_pieces(struct xdp_md *ctx, struct packet *packet)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	enum weir_reason reason;

	if (!packet)
		return WEIR_REASON_NOT_IP;
	reason = packet_parse(data, data_end, bpf_xdp_get_buff_len(ctx), packet);
	packet->egress = ctx->ingress_ifindex;
	return reason;
}

/* What the parser has nothing to say against: to a flow, or to a service. */
static __always_inline enum weir_reason handle_parsed(struct xdp_md *ctx, struct packet *packet,
						      int found)
{
	int i, reason = found ? FIND_AGAIN : WEIR_GO_ON;

	for (i = 1; i <= FLOW_SWAP_TRIES && reason == FIND_AGAIN; i++)
		reason = find_known(ctx, packet, i == FLOW_SWAP_TRIES);
	return reason == WEIR_GO_ON ? unknown_flow(ctx, packet) : reason;
}

/* What the parser had to say: @reason. */
static __always_inline enum weir_reason handle_rest(struct xdp_md *ctx, struct packet *packet,
						    enum weir_reason reason)
{
	if (reason == WEIR_REASON_MALFORMED_IP)
		reason = parse_pieces(ctx, packet);
	switch (reason) {
	case WEIR_GO_ON:
		return handle_parsed(ctx, packet, 1);
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
}

/* The one place where weir answers, so that the verifier meets all of that once. */
static __always_inline enum weir_reason answer(struct xdp_md *ctx, struct packet *packet,
					       enum weir_reason reason)
{
	__u64 cause = PINNED(reason);

	if (cause == WEIR_REASON_TOO_BIG)
		cause = PINNED(too_big_told(ctx, packet));
	return reason_is_answered(cause) ? reply(ctx, packet, cause) : cause;
}

SEC("xdp.frags")
int weir_slow(struct xdp_md *ctx)
{
	struct weir_counters *counters_ = WEIR_ONLY(counters);
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct handover *handover_ = WEIR_ONLY(handovers);
	enum weir_reason reason;
	struct packet *packet;
	int verdict;

	if (!handover_ || !runtime_)
		return XDP_ABORTED;
	packet = &handover_->packet;
	reason = handover_->reason;
	switch (handover_->stage) {
	case STAGE_PARSED:
		reason = handle_rest(ctx, packet, reason);
		break;
	case STAGE_FOUND:
		reason = handle_parsed(ctx, packet, 1);
		break;
	case STAGE_UNKNOWN:
		reason = handle_parsed(ctx, packet, 0);
		break;
	case STAGE_FORWARDED:
		break;
	}
	if (packet->doubtful && reason == WEIR_REASON_TO_CLIENT)
		route_again(ctx, packet);
	if (packet->first_fragment && reason_is_forwarded(reason))
		fragment_first(ctx, packet);
	reason = answer(ctx, packet, reason);
	verdict = finish(ctx, counters_, packet->egress, &reason);
	if (runtime_->trace)
		tell(packet, reason);
	return verdict;
}
