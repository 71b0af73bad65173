/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Making a new flow: a backend, a record, a source port towards the backend, two index entries, a
 * place in the ring of half-open flows. Everything that fails gives back what was taken before.
 */

#include "affinity.h"
#include "flow.h"
#include "route.h"
#include "schedule.h"
#include "service.h"
#include "snat.h"

/* Puts a new half-open flow into the ring; who stood in its place and is still half open leaves. */
__noinline int ring_enter(__u32 record, __u16 generation)
{
	union weir_index entry = { .record = record, .generation = generation };
	struct weir_shared *shared_ = WEIR_ONLY(shared);
	union weir_flow_control old, dead, idle;
	struct weir_flow *flow;
	union weir_index evicted;
	__u64 *place;

	if (!shared_)
		return 0;
	if (record_family(record) == WEIR_IPV6)
		place = array_at(&ring6, __sync_fetch_and_add(&shared_->ring_head[WEIR_IPV6], 1) %
						 half_open_places[WEIR_IPV6]);
	else
		place = array_at(&ring4, __sync_fetch_and_add(&shared_->ring_head[WEIR_IPV4], 1) %
						 half_open_places[WEIR_IPV4]);
	if (!place)
		return 0;
	evicted.word = __sync_lock_test_and_set(place, entry.word);
	flow = record_at(evicted.record);
	if (!evicted.word || !flow)
		return 0;
	old.word = READ_WORD(flow->control.word);
	if (old.generation != evicted.generation || old.state != WEIR_FLOW_HALF_OPEN)
		return 0;
	dead = old;
	dead.state = WEIR_FLOW_DEAD;
	if (!flow_swap(flow, old, dead))
		return 0; /* promoted, closed or expired this very moment */
	flow_remove(evicted.record, old.word);
	idle = dead;
	idle.state = WEIR_FLOW_FREE;
	if (flow_swap(flow, dead, idle)) /* else the sweep has taken it over */
		record_free(evicted.record);
	return 0;
}

static __always_inline long record_pop(enum weir_family family, __u32 *ret)
{
	__u32 id = 0; /* Linux 6.1 puts nothing into what may be an argument of a function */
	long r;

	if (family == WEIR_IPV6)
		r = bpf_map_pop_elem(&free_records6, &id);
	else
		r = bpf_map_pop_elem(&free_records4, &id);
	*ret = id;
	return r;
}

/* Takes a record for a new flow. Returns NULL if all are in use. */
static __always_inline struct weir_flow *record_take(enum weir_family family, __u32 *id)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_shared *shared_ = WEIR_ONLY(shared);
	struct weir_flow *flow;

	if (!runtime_ || !shared_)
		return NULL;
	if (__sync_fetch_and_add(&shared_->records[family], 1) >= runtime_->flows_limit[family] ||
	    record_pop(family, id)) {
		__sync_fetch_and_add(&shared_->records[family], -1);
		return NULL;
	}
	flow = record_at(*id);
	return flow;
}

/* The addresses that are known before there is a source port. */
static __always_inline void record_fill_addresses(const struct packet *packet,
						  const struct weir_backend *backend,
						  struct weir_flow *flow, __u32 record)
{
	struct weir_flow4 *flow4 = (void *)flow;
	struct weir_flow6 *flow6;

	if (packet->tuple.family == WEIR_IPV4) {
		flow4->client.source = packet->tuple.source.word[3];
		flow4->client.destination = packet->tuple.destination.word[3];
		flow4->backend.source = backend->address.word[3];
		return;
	}
	flow6 = array_at(&flows6, record & ~WEIR_RECORD_V6);
	if (!flow6)
		return;
	flow6->client.source = packet->tuple.source;
	flow6->client.destination = packet->tuple.destination;
	flow6->backend.source = backend->address;
}

/* A backend without a port of its own is talked to on the one that the client asked for. */
static __always_inline __be16 backend_port(const struct weir_backend *backend,
					   const struct packet *packet)
{
	return backend->port ? backend->port : packet->tuple.destination_port;
}

/*
 * Fills all of the record but its control word, and returns what that will be. Index entries may be
 * made of it, but nobody finds the flow through them before it is stored: the record is still FREE,
 * and of the generation before.
 */
static __always_inline union weir_flow_control record_fill(struct xdp_md *ctx,
							   const struct packet *packet,
							   const struct weir_backend *backend,
							   __u32 backend_id, struct weir_flow *flow)
{
	union weir_flow_control control = { .word = READ_WORD(flow->control.word) };
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	flow->client_ports.source = packet->tuple.source_port;
	flow->client_ports.destination = packet->tuple.destination_port;
	flow->backend_ports.source = backend_port(backend, packet);
	flow->backend_id = backend_id;
	flow->last_seen = bpf_jiffies64();
	flow->backend_ack = packet->sequence + 1;
	flow->client_next = packet->sequence_end;
	flow->backend_next = 0;
	flow->created = packet->tuple.protocol == IPPROTO_UDP ? flow->last_seen : 0;
	if ((void *)(ethernet + 1) <= data_end)
		__builtin_memcpy(flow->client_mac, ethernet->h_source, ETH_ALEN);

	control.generation++;
	control.state = WEIR_FLOW_HALF_OPEN;
	control.flags = packet->tuple.protocol == IPPROTO_UDP ? WEIR_FLOW_UDP : 0;
	control.client_hop = client_hop(ctx, packet, flow);
	control.backend_hop = backend->hop;
	return control;
}

/*
 * Undoes record_take() for a flow that nobody could see; @control as from record_fill(): its generation
 * is used up.
 */
static __always_inline void record_give_back(struct weir_flow *flow, __u32 id,
					     union weir_flow_control control)
{
	control.state = WEIR_FLOW_FREE;
	*(volatile __u64 *)&flow->control.word = control.word;
	record_free(id);
}

static __always_inline void flow_born(__u32 backend_id)
{
	struct weir_load *load = array_at(&loads, backend_id);

	if (load) {
		__sync_fetch_and_add(&load->half_open, 1);
		__sync_fetch_and_add(&load->snat_ports, 1);
		__sync_fetch_and_add(&load->total, 1);
	}
	count_flow(WEIR_FLOW_HALF_OPEN, 1);
}

/* Whose the new flow is: the client's backend by affinity (@kept: it took no turn), or the scheduler's choice. */
static __always_inline __u32 choose_backend(const struct weir_service *service, __u32 service_id,
					    const struct packet *packet, int *kept)
{
	__u32 backend_id = 0;

	if (service->affinity)
		backend_id = affinity_find(service_id, &packet->tuple.source, service->affinity);
	*kept = backend_id != 0;
	return *kept ? backend_id : schedule(service, service_id, packet);
}

/* Unless it took none. */
static __always_inline void return_turn(const struct weir_service *service, __u32 service_id,
					int kept)
{
	if (!kept)
		schedule_return_turn(service, service_id);
}

/* Owns a source port towards the backend by its index entry. False: there is none. */
static __always_inline int take_port(struct snat_search *search, const struct packet *packet,
				     const struct weir_service *service,
				     const struct weir_backend *backend, __u32 backend_id)
{
	if (service->flags & WEIR_SERVICE_KEEP_CLIENT)
		return snat_take(search, &packet->tuple.source, packet->tuple.source_port);
	return snat_allocate(search, &packet->tuple, backend_id, backend->port_queue);
}

/* A flow that is being made. */
struct flow_new {
	union weir_flow_control control; /* what the record's will be, and then is */
	__u32 record;
	__u32 service_id;
	__u32 backend_id;
	__u8 kept;        /* the backend is the client's by affinity */
	__u8 port_rested; /* its source port came out of quarantine early */
	__u16 zero;
};

/*
 * Chooses a backend for @packet to @service_id, takes a record and fills it. Returns NEW_FLOW with @new
 * filled, or why not. This and the next are functions of their own, one after the other and not one in
 * the other, for the sake of the stack: 512 bytes are all there is for a chain of calls.
 */
__noinline int flow_prepare(struct xdp_md *ctx, const struct packet *packet, __u32 service_id,
			    struct flow_new *new)
{
	struct weir_service *service = array_at(&services, service_id);
	struct weir_backend *backend;
	struct weir_flow *flow;
	int kept;

	if (!service || !packet || !new)
		return WEIR_REASON_NO_BACKEND;
	new->service_id = service_id;
	new->backend_id = choose_backend(service, service_id, packet, &kept);
	new->kept = kept;
	backend = array_at(&backends, new->backend_id);
	if (!new->backend_id || !backend)
		return WEIR_REASON_NO_BACKEND;
	/* One bit, so that the verifier sees the bound of what it is an index of. */
	flow = record_take(packet->tuple.family & 1, &new->record);
	if (!flow) {
		return_turn(service, service_id, kept);
		return WEIR_REASON_FLOWS_FULL;
	}
	record_fill_addresses(packet, backend, flow, new->record);
	new->control = record_fill(ctx, packet, backend, new->backend_id, flow);
	return WEIR_REASON_NEW_FLOW;
}

static __always_inline void search_begin(struct snat_search *search, const struct packet *packet,
					 const struct weir_backend *backend,
					 const struct flow_new *new,
					 const struct weir_runtime *runtime)
{
	search->key.source = backend->address;
	search->key.source_port = backend_port(backend, packet);
	search->key.protocol = packet->tuple.protocol;
	search->key.family = packet->tuple.family;
	search->pool.word = READ_WORD(backend->snat.word);
	search->record = new->record;
	search->generation = new->control.generation;
	search->table = runtime->snat_table & 1;
	search->sequence = packet->sequence;
}

/* Gives the prepared flow its source port and makes it found. Returns NEW_FLOW, or why not. */
__noinline int flow_connect(const struct packet *packet, struct flow_new *new)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_service *service;
	struct weir_backend *backend;
	enum index_result inserted;
	struct snat_search search = {};
	struct weir_flow *flow;

	if (!packet || !new || !runtime_)
		return WEIR_REASON_NO_BACKEND;
	service = array_at(&services, new->service_id);
	backend = array_at(&backends, new->backend_id);
	flow = record_at(new->record);
	if (!service || !backend || !flow)
		return WEIR_REASON_NO_BACKEND;
	search_begin(&search, packet, backend, new, runtime_);
	if (!take_port(&search, packet, service, backend, new->backend_id)) {
		/* The turn is over all the same: the next backend may have ports. */
		if (new->kept)
			affinity_forget(new->service_id, &packet->tuple.source);
		record_give_back(flow, new->record, new->control);
		return WEIR_REASON_SNAT_EXHAUSTED;
	}
	flow->address_delta = checksum_address_delta(&packet->tuple, &search.key);
	inserted = index_insert(&packet->tuple, search.record, search.generation, WEIR_FROM_CLIENT);
	if (inserted != INDEX_DONE) {
		index_remove(&search.key, search.record, search.generation, WEIR_FROM_BACKEND);
		record_give_back(flow, new->record, new->control);
		return_turn(service, new->service_id, new->kept);
		/* Else another CPU is making or has made a flow of this client. */
		return inserted == INDEX_FULL ? WEIR_REASON_FLOWS_FULL : WEIR_REASON_RACED;
	}
	__sync_lock_test_and_set(&flow->control.word, new->control.word);
	flow_born(new->backend_id);
	if (service->affinity)
		affinity_keep(new->service_id, &packet->tuple.source, new->backend_id);
	new->port_rested = search.rested;
	return WEIR_REASON_NEW_FLOW;
}

/* Makes the flow of @packet to @service_id. Returns NEW_FLOW with @new filled, or why not. */
static __always_inline enum weir_reason flow_create(struct xdp_md *ctx, const struct packet *packet,
						    __u32 service_id, struct flow_new *new)
{
	enum weir_reason reason = flow_prepare(ctx, packet, service_id, new);

	if (reason != WEIR_REASON_NEW_FLOW)
		return reason;
	reason = flow_connect(packet, new);
	if (reason == WEIR_REASON_NEW_FLOW)
		ring_enter(new->record, new->control.generation);
	return reason;
}
