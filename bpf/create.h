/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Making a new flow: a backend, a record, a source port towards the backend, two index entries, a
 * place in the ring of half-open flows. Everything that fails gives back what was taken before.
 */

#include "flow.h"
#include "schedule.h"
#include "service.h"

#ifndef AF_INET
#define AF_INET 2
#endif

/* How many source ports a new flow may try, the client's own and the rotation's included. */
#define SNAT_PROBES 128

struct snat_search {
	struct weir_tuple4 key; /* of replies: backend -> SNAT address */
	union weir_index entry;
	__u32 record;
	union weir_range pool;
	__u32 table;
	__u32 found;
};

/*
 * Tries to own the source address and port at @place of the space {ports} x {addresses}. The insert
 * is the lock: who gets the entry in owns the port. The record says so before others can see it.
 */
static __always_inline int snat_take(struct snat_search *search, __u32 address, __u16 port)
{
	struct weir_address *source = array_at(&snat_addresses, search->pool.offset + address);
	struct weir_flow4 *flow = array_at(&flows4, search->record);
	struct weir_counters *counters_ = WEIR_ONLY(counters);

	if (!source || !flow || !counters_)
		return 0;
	search->key.destination = source->word[3];
	search->key.destination_port = bpf_htons(port);
	flow->backend.destination = search->key.destination;
	flow->backend.destination_port = search->key.destination_port;
	search->found = !bpf_map_update_elem(&index4, &search->key, &search->entry.word,
					     BPF_NOEXIST);
	if (!search->found)
		counters_->snat_probes++;
	return search->found;
}

/* How many places there are. */
static __always_inline __u64 snat_space(const struct snat_search *search)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);

	return ports ? (__u64)ports->count * search->pool.length : 0;
}

static __always_inline int snat_take_place(struct snat_search *search, __u64 place)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);
	__u32 count;

	if (!ports)
		return 0;
	count = ports->count;
	if (!count || !search->pool.length)
		return 0;
	return snat_take(search, place % search->pool.length,
			 ports->port[(place / search->pool.length) % count & 0xffff]);
}

/* Any place: after the first two tries the free ports are anywhere. Of few, each is tried. */
static long snat_probe(__u32 step, struct snat_search *search)
{
	if (snat_space(search) <= SNAT_PROBES - 2)
		return snat_take_place(search, step);
	return snat_take_place(search, (__u64)bpf_get_prandom_u32() << 16 ^ bpf_get_prandom_u32());
}

/* The client's own port if weir may use it, else the one unused for longest, else any. */
static __always_inline int snat_allocate(struct snat_search *search, __u16 client_port,
					 __u32 backend_id, __u32 hash)
{
	struct weir_snat_ports *ports = array_at(&snat_ports, search->table);
	struct weir_load *load = array_at(&loads, backend_id);

	if (!ports || !load || !search->pool.length)
		return 0;
	if (ports->allowed[client_port / 64] >> (client_port % 64) & 1 &&
	    snat_take(search, hash % search->pool.length, client_port))
		return 1;
	if (snat_take_place(search, __sync_fetch_and_add(&load->cursor, 1)))
		return 1;
	bpf_loop((__u64)(SNAT_PROBES - 2), snat_probe, search, 0);
	return search->found;
}

/*
 * The next hop towards the client: the gateway of the route to it, if the daemon knows that one, else
 * "on link": back to the MAC address that the packet came from.
 */
static __always_inline __u16 client_hop(struct xdp_md *ctx, const struct packet *packet)
{
	struct weir_gateway_key on_link = { .ifindex = ctx->ingress_ifindex };
	struct weir_gateway_key gateway = {};
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = packet->tuple.protocol,
		.ipv4_src = packet->tuple.destination,
		.ipv4_dst = packet->tuple.source,
		.ifindex = ctx->ingress_ifindex,
	};
	long result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	__u32 *hop;

	if ((result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH) &&
	    fib.ipv4_dst != packet->tuple.source) {
		gateway.address = address_from_v4(fib.ipv4_dst);
		gateway.ifindex = fib.ifindex;
		hop = bpf_map_lookup_elem(&gateways, &gateway);
		if (hop)
			return *hop;
	}
	hop = bpf_map_lookup_elem(&gateways, &on_link);
	return hop ? *hop : 0;
}

/* Puts a new half-open flow into the ring; who stood in its place and is still half open leaves. */
static __always_inline void ring_enter(union weir_index entry)
{
	struct weir_shared *shared_ = WEIR_ONLY(shared);
	union weir_flow_control old, dead, idle;
	struct weir_flow4 *flow;
	union weir_index evicted;
	__u64 *place;

	if (!shared_)
		return;
	place = array_at(&ring, __sync_fetch_and_add(&shared_->ring_head, 1) % half_open_places);
	if (!place)
		return;
	evicted.word = __sync_lock_test_and_set(place, entry.word);
	flow = array_at(&flows4, evicted.record);
	if (!evicted.word || !flow)
		return;
	old.word = READ_WORD(flow->control.word);
	if (old.generation != evicted.generation || old.state != WEIR_FLOW_HALF_OPEN)
		return;
	dead = old;
	dead.state = WEIR_FLOW_DEAD;
	if (!flow_swap(flow, old, dead))
		return; /* promoted, closed or expired this very moment */
	flow_remove(flow, old.word);
	idle = dead;
	idle.state = WEIR_FLOW_FREE;
	if (flow_swap(flow, dead, idle)) /* else the sweep has taken it over */
		record_free(evicted.record);
}

/* Takes a record for a new flow. Returns NULL if all are in use. */
static __always_inline struct weir_flow4 *record_take(__u32 *id)
{
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct weir_shared *shared_ = WEIR_ONLY(shared);
	struct weir_flow4 *flow;

	if (!runtime_ || !shared_)
		return NULL;
	if (__sync_fetch_and_add(&shared_->records, 1) >= runtime_->flows_limit ||
	    bpf_map_pop_elem(&free_records, id)) {
		__sync_fetch_and_add(&shared_->records, -1);
		return NULL;
	}
	flow = array_at(&flows4, *id);
	return flow;
}

static __always_inline void record_fill(struct xdp_md *ctx, const struct packet *packet,
					const struct weir_backend *backend, __u32 backend_id,
					struct weir_flow4 *flow)
{
	union weir_flow_control control = { .word = READ_WORD(flow->control.word) };
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	flow->client.source = packet->tuple.source;
	flow->client.destination = packet->tuple.destination;
	flow->client.source_port = packet->tuple.source_port;
	flow->client.destination_port = packet->tuple.destination_port;
	flow->backend.source = backend->address.word[3];
	flow->backend.source_port = backend->port;
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
	control.client_hop = client_hop(ctx, packet);
	control.backend_hop = backend->hop;
	*(volatile __u64 *)&flow->control.word = control.word;
}

/* Undoes record_fill() and record_take() for a flow that nobody could see. */
static __always_inline void record_give_back(struct weir_flow4 *flow, __u32 id)
{
	union weir_flow_control control = { .word = READ_WORD(flow->control.word) };

	control.state = WEIR_FLOW_FREE;
	*(volatile __u64 *)&flow->control.word = control.word;
	record_free(id);
}

/*
 * The client's index entry already there: another CPU made this flow a moment ago (the sender's next
 * packet finds it), or an entry without a live record, which is removed.
 */
static __always_inline void index_collision(const struct packet *packet)
{
	struct flow_hit hit;

	if (!flow_find(packet, &hit))
		bpf_map_delete_elem(&index4, &packet->tuple);
}

static __always_inline void flow_born(union weir_index entry, __u32 backend_id)
{
	struct weir_load *load = array_at(&loads, backend_id);

	if (load) {
		__sync_fetch_and_add(&load->half_open, 1);
		__sync_fetch_and_add(&load->snat_ports, 1);
		__sync_fetch_and_add(&load->total, 1);
	}
	count_flow(WEIR_FLOW_HALF_OPEN, 1);
	ring_enter(entry);
}

/* Makes the flow of @packet to @service_id. Returns NEW_FLOW with @hit filled, or why not. */
static __noinline enum weir_reason flow_create(struct xdp_md *ctx, const struct packet *packet,
					       __u32 service_id, struct flow_hit *hit)
{
	struct weir_service *service = array_at(&services, service_id);
	struct weir_runtime *runtime_ = WEIR_ONLY(runtime);
	struct snat_search search = {};
	struct weir_backend *backend;
	union weir_index entry = {};
	struct weir_flow4 *flow;
	__u32 backend_id;

	if (!service || !runtime_)
		return WEIR_REASON_NO_BACKEND;
	backend_id = schedule(service, service_id, packet);
	backend = array_at(&backends, backend_id);
	if (!backend_id || !backend)
		return WEIR_REASON_NO_BACKEND;
	flow = record_take(&search.record);
	if (!flow)
		return WEIR_REASON_FLOWS_FULL;
	record_fill(ctx, packet, backend, backend_id, flow);

	hit->control.word = READ_WORD(flow->control.word);
	entry.record = search.record;
	entry.generation = hit->control.generation;
	entry.direction = WEIR_FROM_BACKEND;
	search.entry = entry;
	search.key.source = flow->backend.source;
	search.key.source_port = flow->backend.source_port;
	search.key.protocol = packet->tuple.protocol;
	search.pool.word = READ_WORD(backend->snat.word);
	search.table = runtime_->snat_table & 1;
	if (!snat_allocate(&search, bpf_ntohs(packet->tuple.source_port), backend_id,
			   weir_hash_tuple4(&packet->tuple))) {
		record_give_back(flow, search.record);
		return WEIR_REASON_SNAT_EXHAUSTED;
	}
	flow->address_delta = checksum_address_delta(&flow->client, &flow->backend);

	entry.direction = WEIR_FROM_CLIENT;
	if (bpf_map_update_elem(&index4, &packet->tuple, &entry.word, BPF_NOEXIST)) {
		bpf_map_delete_elem(&index4, &search.key);
		record_give_back(flow, search.record);
		index_collision(packet);
		return WEIR_REASON_RACED;
	}
	flow_born(entry, backend_id);
	hit->flow = flow;
	hit->from = WEIR_FROM_CLIENT;
	return WEIR_REASON_NEW_FLOW;
}
