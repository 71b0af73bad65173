/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Source ports towards a backend. The space of a backend is {ports} x {addresses}; a port is owned by
 * who gets the index entry of the replies in, so there is no other lock.
 */

#include "flow.h"

/* How many random places a new flow may look at: with and without a queue of free ports. */
#define SNAT_PROBES 126
#define SNAT_PROBES_WITH_QUEUE 6
/* Entries of the queue may be stale. */
#define SNAT_POPS 16
/* Places looked at for a port in quarantine that may be used again at once. */
#define SNAT_REUSE_PROBES 32

struct snat_search {
	struct weir_tuple key; /* of replies: backend -> SNAT address */
	union weir_range pool;
	__u32 record;
	__u16 generation;
	__u32 table;
	__u32 sequence; /* the client's initial sequence number */
	__u32 found;
	__u32 rested; /* the port came out of its quarantine early */
};

/* What the flow's backend shall know its client by. */
static __always_inline void record_set_source(__u32 record, const struct weir_address *address,
					      __be16 port)
{
	struct weir_flow *flow = record_at(record);
	struct weir_flow6 *flow6;

	if (!flow)
		return;
	flow->backend_ports.destination = port;
	if (record_family(record) == WEIR_IPV4) {
		((struct weir_flow4 *)flow)->backend.destination = address->word[3];
		return;
	}
	flow6 = array_at(&flows6, record & ~WEIR_RECORD_V6);
	if (flow6)
		flow6->backend.destination = *address;
}

/* Tries to own a source address and port. The record says so before others can see it. */
__noinline int snat_take(struct snat_search *search, const struct weir_address *address,
			 __be16 port)
{
	struct weir_counters *counters_ = WEIR_ONLY(counters);

	if (!counters_ || !search || !address)
		return 0;
	search->key.destination = *address;
	search->key.destination_port = port;
	record_set_source(search->record, address, port);
	search->found = index_insert(&search->key, search->record, search->generation,
				     WEIR_FROM_BACKEND) == INDEX_DONE;
	if (!search->found)
		counters_->snat_probes++;
	return search->found;
}

/* The address and port at @place of the space. */
static __always_inline int snat_place(union weir_range pool, __u32 table, __u64 place,
				      struct weir_address *address, __be16 *port)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, table);
	struct weir_address *source;
	__u32 count;

	if (!ports)
		return 0;
	count = ports->count;
	if (!count || !pool.length)
		return 0;
	source = array_at(&snat_addresses, pool.offset + place % pool.length);
	if (!source)
		return 0;
	*address = *source;
	*port = bpf_htons(ports->port[(place / pool.length) % count & 0xffff]);
	return 1;
}

static __always_inline __u64 random_place(void)
{
	return (__u64)bpf_get_prandom_u32() << 16 ^ bpf_get_prandom_u32();
}

static __always_inline int snat_take_place(struct snat_search *search, __u64 place)
{
	struct weir_address address;
	__be16 port;

	return snat_place(search->pool, search->table, place, &address, &port) &&
	       snat_take(search, &address, port);
}

/* How many places there are. */
static __always_inline __u64 snat_space(const struct snat_search *search)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);

	return ports ? (__u64)ports->count * search->pool.length : 0;
}

/* Any place: after the first two tries the free ports are anywhere. Of few, each is tried. */
static long snat_probe(__u32 step, struct snat_search *search)
{
	snat_take_place(search, snat_space(search) <= SNAT_PROBES ? step : random_place());
	return search->found != 0;
}

/* The longest-waiting port of a queue, or 0. */
static __always_inline int port_pop(struct weir_port_queue_locked *queue,
				    struct weir_free_port *port)
{
	int some;

	bpf_spin_lock(&queue->lock);
	some = queue->head != queue->tail;
	if (some) {
		*port = queue->ports[queue->head & (WEIR_PORT_QUEUE_PLACES - 1)];
		queue->head++;
	}
	bpf_spin_unlock(&queue->lock);
	return some;
}

/* May weir use this port of its own? Masked for old verifiers, who know nothing of a swap's result. */
static __always_inline int port_is_allowed(const struct weir_snat_ports *ports, __be16 port)
{
	__u64 number = PINNED(bpf_ntohs(port)) & 0xffff;

	return ports->allowed[number / 64] >> (number % 64) & 1;
}

/*
 * May a port from the queue be used? The host may have taken it for itself since, or the address of
 * the route may be another one. (Configured addresses stay.)
 */
static __always_inline int snat_still_ours(const struct snat_search *search,
					   const struct weir_free_port *port)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);
	struct weir_address *source = array_at(&snat_addresses, search->pool.offset);

	return ports && source && port_is_allowed(ports, port->port) &&
	       (search->pool.length != 1 || address_is_same(source, &port->address));
}

/* Tries the next one of a queue. 0: it is empty. */
__noinline int snat_take_queued(struct snat_search *search, __u32 queue_id)
{
	struct weir_port_queue_locked *queue = array_at(&port_queues, queue_id);
	struct weir_free_port port = {};

	if (!queue || !search || !port_pop(queue, &port))
		return 0;
	if (snat_still_ours(search, &port))
		snat_take(search, &port.address, port.port);
	return 1;
}

/*
 * Takes a port over whose last connection rests in the backend's TIME_WAIT, if the new one starts
 * behind its last sequence number: then the backend accepts it at once (RFC 1122 4.2.2.13).
 */
static long snat_reuse_probe(__u32 step, struct snat_search *search)
{
	union weir_flow_control old, dead;
	struct weir_address address;
	union weir_index holder;
	struct weir_flow *flow;
	__be16 port;

	if (!snat_place(search->pool, search->table, random_place(), &address, &port))
		return 1;
	search->key.destination = address;
	search->key.destination_port = port;
	holder.word = index_find(&search->key);
	if (!holder.word) {
		snat_take(search, &address, port);
		return search->found != 0;
	}
	flow = record_at(holder.record);
	if (!flow)
		return 0;
	old.word = READ_WORD(flow->control.word);
	if (old.generation != holder.generation || old.state != WEIR_FLOW_QUARANTINE ||
	    (__s32)(search->sequence - flow->client_next) <= 0)
		return 0;
	dead = old;
	dead.state = WEIR_FLOW_DEAD;
	if (!flow_swap(flow, old, dead))
		return 0;
	index_remove(&search->key, holder.record, holder.generation, WEIR_FROM_BACKEND);
	flow_port_gone(flow);
	snat_take(search, &address, port);
	search->rested = search->found;
	return search->found != 0;
}

/*
 * A source port for a new flow: the client's own if weir may use it, else the one unused for longest,
 * else any free one, else one that may leave its quarantine. The cost is bounded.
 */
static __always_inline int snat_allocate(struct snat_search *search,
					 const struct weir_tuple *client, __u32 backend_id,
					 __u32 queue_id)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);
	struct weir_load *load = array_at(&loads, backend_id);
	struct weir_address *source;
	int i;

	if (!ports || !load || !search->pool.length)
		return 0;
	source = array_at(&snat_addresses,
			  search->pool.offset + weir_hash_tuple(client) % search->pool.length);
	if (source && port_is_allowed(ports, client->source_port) &&
	    snat_take(search, source, client->source_port))
		return 1;
	if (snat_take_place(search, __sync_fetch_and_add(&load->cursor, 1)))
		return 1;
	bpf_loop((__u64)(queue_id ? SNAT_PROBES_WITH_QUEUE : SNAT_PROBES), snat_probe, search, 0);
	if (search->found)
		return 1;
	for (i = 0; queue_id && i < SNAT_POPS; i++) {
		if (!snat_take_queued(search, queue_id))
			break;
		if (search->found)
			return 1;
	}
	if (client->protocol == IPPROTO_TCP)
		bpf_loop((__u64)SNAT_REUSE_PROBES, snat_reuse_probe, search, 0);
	return search->found;
}

/* Puts the free ones of a run of places into the backend's queue. */
struct port_walk {
	union weir_range pool;
	struct weir_tuple key;
	__u32 table;
	__u32 first;
	__u32 queue;
	__u32 found;
};

static __always_inline int port_taken(struct port_walk *walk, __u8 protocol)
{
	walk->key.protocol = protocol;
	return index_find(&walk->key) != 0;
}

static long port_walk_step(__u32 step, struct port_walk *walk)
{
	struct weir_free_port port = {};

	if (!snat_place(walk->pool, walk->table, (__u64)walk->first + step, &port.address,
			&port.port))
		return 1;
	walk->key.destination = port.address;
	walk->key.destination_port = port.port;
	/* Free for both: of most backends, one protocol never uses any. */
	if (port_taken(walk, IPPROTO_TCP))
		return 0;
	if (port_taken(walk, IPPROTO_UDP))
		return 0;
	if (!port_push(walk->queue, port))
		return 1;
	walk->found++;
	return 0;
}

SEC("xdp")
int weir_find_ports(struct xdp_md *ctx)
{
	struct weir_port_search *search = call_argument(ctx);
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_port_queue_locked *queue;
	struct weir_backend *backend;
	struct port_walk walk = {};

	if (!call_holds(ctx, search + 1))
		return XDP_ABORTED;
	backend = array_at(&backends, search->backend_id);
	if (!backend || !runtime_ || !backend->port_queue)
		return XDP_PASS;
	walk.first = search->first;
	walk.pool.word = READ_WORD(backend->snat.word);
	walk.key.source = backend->address;
	walk.key.family = address_is_v4(&backend->address) ? WEIR_IPV4 : WEIR_IPV6;
	walk.key.source_port = backend->port;
	walk.table = runtime_->snat_table & 1;
	walk.queue = backend->port_queue;
	queue = array_at(&port_queues, walk.queue);
	if (!queue)
		return XDP_PASS;
	if (search->clear) {
		bpf_spin_lock(&queue->lock);
		queue->head = queue->tail;
		bpf_spin_unlock(&queue->lock);
	}
	bpf_loop((__u64)search->count, port_walk_step, &walk, 0);
	search->found = walk.found;
	bpf_spin_lock(&queue->lock);
	search->waiting = queue->tail - queue->head;
	bpf_spin_unlock(&queue->lock);
	return XDP_PASS;
}
