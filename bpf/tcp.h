/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * What a segment does to a flow (RFC 9293, RFC 5961), as plain arithmetic on a record: no context,
 * no maps, no atomics. The record's control word is not written: the next one is returned, for the
 * caller to put in place by compare-and-swap. Repeating a step after a lost swap does no harm.
 */

#include <linux/types.h>

#include "abi/flow.h"
#include "packet.h"

/*
 * How far a segment may run ahead of what was seen and still be believed. Data: segments that another
 * path or a loss before weir skipped; all of them pass again, so this only delays. FIN: reordering.
 */
#define TCP_DATA_AHEAD (1 << 22)
#define TCP_FIN_AHEAD (1 << 16)
/*
 * How much may be unacknowledged where a client's RST at the end of what it sent is believed. Who
 * guesses data into the wide window above could else send a RST right behind it. Backends break off
 * downloads with more than this under way, and nobody sends in their name.
 */
#define TCP_RESET_AHEAD (1 << 16)

/* a <= b <= c on the circle of sequence numbers. */
static __always_inline int tcp_between(__u32 a, __u32 b, __u32 c)
{
	return b - a <= c - a;
}

/* Takes note of how far this side has sent. Returns 1 if the segment's FIN is in sequence. */
static __always_inline int tcp_track_sent(__u32 *next, const struct packet *segment)
{
	__u32 ahead = segment->sequence_end - *next; /* > 2^31: behind */

	if (segment->tcp_flags & TCP_FLAG_FIN_BIT) {
		__s32 gap = segment->sequence - *next;

		if (gap > TCP_FIN_AHEAD || (__s32)ahead < 0)
			return 0;
		*next = segment->sequence_end;
		return 1;
	}
	if (ahead && ahead < TCP_DATA_AHEAD)
		*next = segment->sequence_end;
	return 0;
}

/*
 * One side of an established flow. @ack: what this side acknowledged last; @other_ack and
 * @other_next: the other side's. The flags are those of this side's and the other side's FIN.
 */
static __always_inline void tcp_established(union weir_flow_control *control, __u32 *ack,
					    __u32 *next, __u32 other_ack, __u32 other_next,
					    __u8 own_fin, __u8 other_fin, __u8 other_fin_acked,
					    const struct packet *segment)
{
	int has_data = segment->sequence_end != segment->sequence;

	if (segment->tcp_flags & TCP_FLAG_SYN_BIT)
		return; /* RFC 5961 4: the peer answers with a challenge ACK, nothing changes */
	if (segment->tcp_flags & TCP_FLAG_RST_BIT) {
		/* Exactly what the other side expects, or the end of what it was sent. */
		if (segment->sequence == other_ack ||
		    (segment->sequence == *next &&
		     (own_fin == WEIR_FLOW_FIN_BACKEND || *next - other_ack <= TCP_RESET_AHEAD))) {
			control->state = WEIR_FLOW_CLOSING;
			control->flags |= WEIR_FLOW_RESET;
		}
		return;
	}
	if (tcp_track_sent(next, segment))
		control->flags |= own_fin;
	else if (has_data && segment->sequence_end == *next)
		control->flags &= ~own_fin; /* data where a FIN was, or beyond: that was a lie */
	if (segment->tcp_flags & TCP_FLAG_ACK_BIT) {
		*ack = segment->acknowledgement;
		if ((control->flags & other_fin) && segment->acknowledgement == other_next)
			control->flags |= other_fin_acked;
	}
	if ((control->flags & WEIR_FLOW_FIN_CLIENT_ACKED) &&
	    (control->flags & WEIR_FLOW_FIN_BACKEND_ACKED))
		control->state = WEIR_FLOW_CLOSING;
}

static __always_inline void tcp_established_client(struct weir_flow *flow,
						   union weir_flow_control *control,
						   const struct packet *segment)
{
	tcp_established(control, &flow->client_ack, &flow->client_next, flow->backend_ack,
			flow->backend_next, WEIR_FLOW_FIN_CLIENT, WEIR_FLOW_FIN_BACKEND,
			WEIR_FLOW_FIN_BACKEND_ACKED, segment);
}

static __always_inline void tcp_established_backend(struct weir_flow *flow,
						    union weir_flow_control *control,
						    const struct packet *segment)
{
	__u8 before = control->flags;

	tcp_established(control, &flow->backend_ack, &flow->backend_next, flow->client_ack,
			flow->client_next, WEIR_FLOW_FIN_BACKEND, WEIR_FLOW_FIN_CLIENT,
			WEIR_FLOW_FIN_CLIENT_ACKED, segment);
	if ((control->flags & ~before & WEIR_FLOW_FIN_BACKEND) &&
	    !(control->flags & WEIR_FLOW_FIN_CLIENT_ACKED))
		control->flags |= WEIR_FLOW_BACKEND_WAITS;
}

static __always_inline void tcp_half_open_client(struct weir_flow *flow,
						 union weir_flow_control *control,
						 const struct packet *segment)
{
	if (segment->tcp_flags & TCP_FLAG_RST_BIT) {
		if (tcp_between(flow->backend_ack, segment->sequence, flow->client_next)) {
			control->state = WEIR_FLOW_CLOSING;
			control->flags |= WEIR_FLOW_RESET;
		}
	} else if (packet_opens(segment)) {
		/* A client that tries again with the same port may choose another number. */
		flow->backend_ack = segment->sequence + 1;
		flow->client_next = segment->sequence_end;
	} else if ((segment->tcp_flags & TCP_FLAG_ACK_BIT) &&
		   (control->flags & WEIR_FLOW_REPLIED) &&
		   tcp_between(flow->client_ack, segment->acknowledgement, flow->backend_next)) {
		/* Only somebody who has seen the SYN-ACK knows this number. */
		control->state = WEIR_FLOW_ESTABLISHED;
		tcp_established_client(flow, control, segment);
	}
}

static __always_inline void tcp_half_open_backend(struct weir_flow *flow,
						  union weir_flow_control *control,
						  const struct packet *segment)
{
	int acknowledges = (segment->tcp_flags & TCP_FLAG_ACK_BIT) &&
			   tcp_between(flow->backend_ack, segment->acknowledgement,
				       flow->client_next);

	if (segment->tcp_flags & TCP_FLAG_RST_BIT) {
		if (acknowledges || ((control->flags & WEIR_FLOW_REPLIED) &&
				     segment->sequence == flow->client_ack)) {
			control->state = WEIR_FLOW_CLOSING;
			control->flags |= WEIR_FLOW_RESET;
		}
	} else if (!acknowledges) {
		return;
	} else if (segment->tcp_flags & TCP_FLAG_SYN_BIT) {
		if ((control->flags & WEIR_FLOW_REPLIED) &&
		    flow->client_ack == segment->sequence + 1)
			return; /* the same again */
		control->flags |= WEIR_FLOW_REPLIED;
		flow->client_ack = segment->sequence + 1;
		flow->backend_next = segment->sequence_end;
	} else if (control->flags & WEIR_FLOW_REPLIED) {
		/* Fast open (RFC 7413): data, even a FIN, before the client's ACK has come. */
		if (tcp_track_sent(&flow->backend_next, segment))
			control->flags |= WEIR_FLOW_FIN_BACKEND | WEIR_FLOW_BACKEND_WAITS;
	}
}

/* Returns the control word after @segment from side @from; updates the plain fields of @flow. */
static __always_inline union weir_flow_control tcp_step(struct weir_flow *flow,
							union weir_flow_control control,
							enum weir_direction from,
							const struct packet *segment)
{
	if (control.state == WEIR_FLOW_ESTABLISHED) {
		if (from == WEIR_FROM_CLIENT)
			tcp_established_client(flow, &control, segment);
		else
			tcp_established_backend(flow, &control, segment);
	} else if (control.state == WEIR_FLOW_HALF_OPEN) {
		if (from == WEIR_FROM_CLIENT)
			tcp_half_open_client(flow, &control, segment);
		else
			tcp_half_open_backend(flow, &control, segment);
	}
	return control;
}
