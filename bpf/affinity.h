/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * A client keeps its backend, whatever the scheduler would say now: for as long as that one serves, and the
 * service's time since the client's last new flow.
 */

#include "schedule.h"
#include "service.h"

/* The backend id of @client, or 0: it has none, or that one can take no more. */
__noinline __u32 affinity_find(__u32 service_id, const struct weir_address *client, __u32 timeout)
{
	struct weir_affinity_key key = { .service = service_id };
	struct weir_affinity *affinity;
	struct weir_backend *backend;
	__u64 since, last;

	if (!client)
		return 0;
	key.client = *client;
	affinity = bpf_map_lookup_elem(&affinities, &key);
	if (!affinity)
		return 0;
	backend = array_at(&backends, affinity->backend);
	last = READ_WORD(affinity->last_flow);
	since = backend ? READ_WORD(backend->serves_since) : 0;
	if (!since || backend->service != service_id || last < since ||
	    bpf_jiffies64() - last >= timeout || backend_is_full(affinity->backend))
		return 0;
	return affinity->backend;
}

/* Its backend could not take the client: the scheduler chooses next time. */
__noinline int affinity_forget(__u32 service_id, const struct weir_address *client)
{
	struct weir_affinity_key key = { .service = service_id };

	if (!client)
		return 0;
	key.client = *client;
	return bpf_map_delete_elem(&affinities, &key);
}

__noinline int affinity_keep(__u32 service_id, const struct weir_address *client, __u32 backend_id)
{
	struct weir_affinity_key key = { .service = service_id };
	struct weir_affinity affinity = { .last_flow = bpf_jiffies64(), .backend = backend_id };

	if (!client)
		return 0;
	key.client = *client;
	return bpf_map_update_elem(&affinities, &key, &affinity, BPF_ANY);
}
