/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Making a new flow: a backend, a record, a source port towards the backend, two index entries, a
 * place in the ring of half-open flows. Everything that fails gives back what was taken before.
 */

#include "flow.h"
#include "schedule.h"
#include "service.h"
#include "snat.h"

#ifndef AF_INET
#define AF_INET 2
#endif

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
	if (flow_remove(flow, old.word))
		return; /* not without a trace: left to the sweep */
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

/*
 * Fills all of the record but its control word, and returns what that will be. Index entries may be
 * made of it, but nobody finds the flow through them before it is stored: the record is still FREE,
 * and of the generation before.
 */
static __always_inline union weir_flow_control
record_fill(struct xdp_md *ctx, const struct packet *packet, const struct weir_backend *backend,
	    __u32 backend_id, struct weir_flow4 *flow)
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
	return control;
}

/*
 * Undoes record_take() for a flow that nobody could see; @control as from record_fill(): its generation
 * is used up. @left: its port could not be given back; the sweep tries again before it frees the record.
 */
static __always_inline void record_give_back(struct weir_flow4 *flow, __u32 id,
					     union weir_flow_control control, int left)
{
	control.state = left ? WEIR_FLOW_DEAD : WEIR_FLOW_FREE;
	*(volatile __u64 *)&flow->control.word = control.word;
	if (!left)
		record_free(id);
}

/*
 * Does the index entry of @packet lead to a flow that is over and done with? Not if its record is being
 * made (its generation is still the one before), or being removed: that entry is for its owner to take
 * away, who might hit the one that a new flow put there since.
 */
static __always_inline int entry_is_stale(const struct packet *packet, union weir_index *entry)
{
	union weir_flow_control control;
	const struct weir_side4 *side;
	struct weir_flow4 *flow;
	__u64 *word;

	word = bpf_map_lookup_elem(&index4, &packet->tuple);
	if (!word)
		return 0;
	entry->word = READ_WORD(*word);
	flow = array_at(&flows4, entry->record);
	if (!flow)
		return 1;
	control.word = READ_WORD(flow->control.word);
	if (control.generation != entry->generation)
		return (__s16)(control.generation - entry->generation) > 0;
	side = entry->direction == WEIR_FROM_CLIENT ? &flow->client : &flow->backend;
	return control.state == WEIR_FLOW_FREE ||
	       (state_is_live(control.state) && !side_matches(side, &packet->tuple));
}

/*
 * The client's index entry is already there. Another CPU is making or ending a flow of this client:
 * the sender's next packet will do. Or it is stale and goes; seen twice, since a lookup may return
 * another key's value while the entry is being replaced.
 */
static __always_inline void index_collision(const struct packet *packet)
{
	union weir_index first, second;

	if (entry_is_stale(packet, &first) && entry_is_stale(packet, &second) &&
	    first.word == second.word)
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
	int owned;

	if (!service || !runtime_)
		return WEIR_REASON_NO_BACKEND;
	backend_id = schedule(service, service_id, packet);
	backend = array_at(&backends, backend_id);
	if (!backend_id || !backend)
		return WEIR_REASON_NO_BACKEND;
	flow = record_take(&search.record);
	if (!flow)
		return WEIR_REASON_FLOWS_FULL;
	hit->control = record_fill(ctx, packet, backend, backend_id, flow);
	entry.record = search.record;
	entry.generation = hit->control.generation;
	entry.direction = WEIR_FROM_BACKEND;
	search.entry = entry;
	search.key.source = flow->backend.source;
	search.key.source_port = flow->backend.source_port;
	search.key.protocol = packet->tuple.protocol;
	search.pool.word = READ_WORD(backend->snat.word);
	search.table = runtime_->snat_table & 1;
	search.sequence = packet->sequence;
	if (service->flags & WEIR_SERVICE_KEEP_CLIENT)
		owned = snat_take(&search, packet->tuple.source, packet->tuple.source_port);
	else
		owned = snat_allocate(&search, &packet->tuple, backend_id, backend->port_queue);
	if (!owned) {
		record_give_back(flow, search.record, hit->control, 0);
		return WEIR_REASON_SNAT_EXHAUSTED;
	}
	flow->address_delta = checksum_address_delta(&flow->client, &flow->backend);

	entry.direction = WEIR_FROM_CLIENT;
	if (bpf_map_update_elem(&index4, &packet->tuple, &entry.word, BPF_NOEXIST)) {
		record_give_back(flow, search.record, hit->control,
				 flow_unlink(&flow->backend, packet->tuple.protocol));
		index_collision(packet);
		return WEIR_REASON_RACED;
	}
	__sync_lock_test_and_set(&flow->control.word, hit->control.word);
	flow_born(entry, backend_id);
	hit->flow = flow;
	hit->from = WEIR_FROM_CLIENT;
	return WEIR_REASON_NEW_FLOW;
}
