/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Records: stepping, removing. They are found in index.h and made in create.h. */

#include "checksum.h"
#include "index.h"
#include "maps.h"
#include "packet.h"
#include "stats.h"
#include "tcp.h"

/* How often a state change is tried again when another CPU was faster. */
#define FLOW_SWAP_TRIES 4

static __always_inline int flow_swap(struct weir_flow *flow, union weir_flow_control old,
				     union weir_flow_control new)
{
	return __sync_val_compare_and_swap(&flow->control.word, old.word, new.word) == old.word;
}

/* The flow left @old for @new (DEAD included): keeps every count exact. */
static __always_inline void flow_moved(const struct weir_flow *flow, enum weir_family family,
				       union weir_flow_control old, enum weir_flow_state new)
{
	struct weir_load *load = array_at(&loads, flow->backend_id);
	struct weir_shared *shared_ = WEIR_ONLY(shared);

	count_flow(old.state, -1);
	if (state_is_found(new))
		count_flow(new, 1);
	if (!load || !shared_)
		return;
	/* Up before down: no moment shows less than there is, max_connections looks at the sum. */
	if (new == WEIR_FLOW_ESTABLISHED) {
		__sync_fetch_and_add(&load->established, 1);
		if (old.flags & WEIR_FLOW_UDP)
			__sync_fetch_and_add(&shared_->udp_established[family], 1);
	}
	if (old.state == WEIR_FLOW_HALF_OPEN) {
		__sync_fetch_and_add(&load->half_open, -1);
	} else if (old.state == WEIR_FLOW_ESTABLISHED) {
		__sync_fetch_and_add(&load->established, -1);
		if (old.flags & WEIR_FLOW_UDP)
			__sync_fetch_and_add(&shared_->udp_established[family], -1);
	}
}

/* The backend did not take a connection: it must not look idle to lc and wlc. */
static __always_inline void flow_refused(const struct weir_flow *flow, union weir_flow_control old)
{
	struct weir_load *load = array_at(&loads, flow->backend_id);

	if (load && old.state == WEIR_FLOW_HALF_OPEN &&
	    !(old.flags & (WEIR_FLOW_REPLIED | WEIR_FLOW_UDP)))
		__sync_fetch_and_add(&load->failed, 1);
}

/* The tuple of packets that come from one side. */
static __always_inline void flow_tuple(const struct weir_flow *flow, __u32 record, __u8 protocol,
				       enum weir_direction from, struct weir_tuple *tuple)
{
	const struct weir_ports *ports = flow_ports(flow, from);
	const struct weir_side4 *side4;
	const struct weir_side6 *side6;

	*tuple = (struct weir_tuple){
		.source_port = ports->source,
		.destination_port = ports->destination,
		.protocol = protocol,
		.family = record_family(record),
	};
	if (tuple->family == WEIR_IPV6) {
		side6 = flow_side6(record, from);
		if (!side6)
			return;
		tuple->source = side6->source;
		tuple->destination = side6->destination;
		return;
	}
	side4 = flow_side4(flow, from);
	tuple->source = address_from_v4(side4->source);
	tuple->destination = address_from_v4(side4->destination);
}

/* Puts a free port at the end of a queue. 0: the queue is full. */
static __always_inline int port_push(__u32 queue_id, struct weir_free_port port)
{
	struct weir_port_queue_locked *queue = array_at(&port_queues, queue_id);
	int room;

	if (!queue)
		return 0;
	bpf_spin_lock(&queue->lock);
	room = queue->tail - queue->head < WEIR_PORT_QUEUE_PLACES;
	if (room) {
		queue->ports[queue->tail & (WEIR_PORT_QUEUE_PLACES - 1)] = port;
		queue->tail++;
	}
	bpf_spin_unlock(&queue->lock);
	return room;
}

/* The flow owns its source port no more. */
static __always_inline void flow_port_gone(const struct weir_flow *flow)
{
	struct weir_load *load = array_at(&loads, flow->backend_id);

	if (load)
		__sync_fetch_and_add(&load->snat_ports, -1);
}

/* Takes the index entry of one direction away. @control: of the use that put it in. */
static __always_inline void flow_unlink(const struct weir_flow *flow, __u32 record,
					union weir_flow_control control,
					enum weir_direction direction)
{
	struct weir_tuple tuple;

	flow_tuple(flow, record, control_protocol(control), direction, &tuple);
	index_remove(&tuple, record, control.generation, direction);
}

/* Gives the source port back; a backend that runs short gets it into its queue at once. */
__noinline int flow_release_port(__u32 record, __u64 old_word)
{
	union weir_flow_control old = { .word = old_word };
	struct weir_flow *flow = record_at(record);
	struct weir_free_port port = {};
	struct weir_backend *backend;
	struct weir_tuple tuple;

	if (!flow)
		return 0;
	flow_tuple(flow, record, control_protocol(old), WEIR_FROM_BACKEND, &tuple);
	index_remove(&tuple, record, old.generation, WEIR_FROM_BACKEND);
	flow_port_gone(flow);
	backend = array_at(&backends, flow->backend_id);
	if (backend && backend->port_queue) {
		port.address = tuple.destination;
		port.port = tuple.destination_port;
		port_push(backend->port_queue, port);
	}
	return 0;
}

/* Takes both index entries and the port away. Only for who swapped the record from @old to DEAD. */
__noinline int flow_remove(__u32 record, __u64 old_word)
{
	union weir_flow_control old = { .word = old_word };
	struct weir_flow *flow = record_at(record);

	if (!flow)
		return 0;
	flow_unlink(flow, record, old, WEIR_FROM_CLIENT);
	flow_release_port(record, old_word);
	flow_moved(flow, record_family(record), old, WEIR_FLOW_DEAD);
	return 0;
}

/*
 * The flow is over, but the backend holds its end in TIME_WAIT: the port is not to be used. With the
 * client's own address (snat: off) the port is the client's, who knows when to use it again.
 */
static __always_inline int flow_must_rest(const struct weir_flow *flow, __u32 record,
					  union weir_flow_control control)
{
	const struct weir_side6 *client, *backend;

	if ((control.flags & (WEIR_FLOW_BACKEND_WAITS | WEIR_FLOW_RESET | WEIR_FLOW_UDP)) !=
	    WEIR_FLOW_BACKEND_WAITS)
		return 0;
	if (record_family(record) == WEIR_IPV4)
		return flow_side4(flow, WEIR_FROM_BACKEND)->destination !=
		       flow_side4(flow, WEIR_FROM_CLIENT)->source;
	client = flow_side6(record, WEIR_FROM_CLIENT);
	backend = flow_side6(record, WEIR_FROM_BACKEND);
	return client && backend && !address_is_same(&backend->destination, &client->source);
}

/* Ends a CLOSING or KILLED flow, as @old: at once, or by way of its quarantine. 0: another CPU was faster. */
__noinline int flow_end(__u32 record, __u64 old_word)
{
	union weir_flow_control old = { .word = old_word }, next = old;
	struct weir_flow *flow = record_at(record);

	if (!flow)
		return 0;
	next.state = flow_must_rest(flow, record, old) ? WEIR_FLOW_QUARANTINE : WEIR_FLOW_DEAD;
	if (!flow_swap(flow, old, next))
		return 0;
	if (next.state == WEIR_FLOW_DEAD) {
		flow_remove(record, old.word);
	} else {
		flow_unlink(flow, record, old, WEIR_FROM_CLIENT);
		flow_moved(flow, record_family(record), old, WEIR_FLOW_QUARANTINE);
	}
	return 1;
}

/* Gives the id of a record that is out of use back to the queue. */
static __always_inline void record_free(__u32 id)
{
	struct weir_shared *shared_ = WEIR_ONLY(shared);

	if (record_family(id) == WEIR_IPV6)
		bpf_map_push_elem(&free_records6, &id, 0);
	else
		bpf_map_push_elem(&free_records4, &id, 0);
	if (shared_)
		__sync_fetch_and_add(&shared_->records[record_family(id)], -1);
}

/* UDP: a client that sends again after a reply, a second or more after its first, is real. */
static __always_inline union weir_flow_control udp_step(const struct flow_hit *hit,
							union weir_flow_control control, __u32 now)
{
	enum weir_family family = record_family(hit->record);
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_shared *shared_ = WEIR_ONLY(shared);

	if (hit->from == WEIR_FROM_BACKEND)
		control.flags |= WEIR_FLOW_REPLIED;
	else if (control.state == WEIR_FLOW_HALF_OPEN && (control.flags & WEIR_FLOW_REPLIED) &&
		 runtime_ && shared_ && now - hit->flow->created > runtime_->hz &&
		 shared_->udp_established[family] < runtime_->udp_limit[family])
		control.state = WEIR_FLOW_ESTABLISHED;
	return control;
}

/* A packet took its flow from @old to @new. The zero: the verifier looks once at it, for any states. */
static __always_inline void flow_changed(const struct flow_hit *hit, union weir_flow_control old,
					 union weir_flow_control new)
{
	__u64 zero = unknown_zero();

	old.word += zero;
	new.word += zero;
	flow_moved(hit->flow, record_family(hit->record + zero), old, new.state);
	if (hit->from == WEIR_FROM_BACKEND && new.state == WEIR_FLOW_CLOSING)
		flow_refused(hit->flow, old);
}

/* Lets @packet act on the state of its flow. 0: another CPU changed that first, so the flow is to be found anew. */
static __always_inline int flow_step(const struct flow_hit *hit, const struct packet *packet)
{
	union weir_flow_control old = hit->control, new;
	struct weir_flow *flow = hit->flow;
	__u32 now = bpf_jiffies64();

	if (old.flags & WEIR_FLOW_UDP)
		new = udp_step(hit, old, now);
	else
		new = tcp_step(flow, old, hit->from, packet);
	if (new.word != old.word) {
		if (!flow_swap(flow, old, new))
			return 0;
		if (new.state != old.state)
			flow_changed(hit, old, new);
	}
	if (flow->last_seen != now)
		flow->last_seen = now;
	return 1;
}
