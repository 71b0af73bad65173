// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/internal.h"

#include <endian.h>

/*
 * Services, backends and flows as documents. json_pack() gives NULL, and frees what it was given, when
 * something is missing.
 */

json_t *describe_endpoint(const struct endpoint *endpoint)
{
	char text[ENDPOINT_STRING_SIZE];

	return json_string(endpoint_format(endpoint, text));
}

json_t *describe_address4(uint32_t v4, uint16_t port)
{
	struct endpoint endpoint = { .address = address_from_v4(v4), .port = be16toh(port) };

	return describe_endpoint(&endpoint);
}

struct sums {
	struct weir_traffic traffic;
	json_int_t established;
	json_int_t half_open;
	json_int_t total;
};

static void add_backend(struct daemon *daemon, uint32_t id, struct sums *sums)
{
	const struct weir_load *load = &daemon->tables->loads[id];
	struct weir_traffic traffic;

	sums->established += __atomic_load_n(&load->established, __ATOMIC_RELAXED);
	sums->half_open += __atomic_load_n(&load->half_open, __ATOMIC_RELAXED);
	sums->total += __atomic_load_n(&load->total, __ATOMIC_RELAXED);
	if (datapath_read_traffic(daemon->datapath, id, &traffic) < 0)
		return;
	sums->traffic.in_packets += traffic.in_packets;
	sums->traffic.in_bytes += traffic.in_bytes;
	sums->traffic.out_packets += traffic.out_packets;
	sums->traffic.out_bytes += traffic.out_bytes;
}

/* "connections", "packets" and "bytes" of a document. Takes the reference, also on failure. */
static json_t *with_sums(json_t *document, const struct sums *sums)
{
	json_t *parts = json_pack(
		"{s:{s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}}", "connections", "active",
		sums->established, "half_open", sums->half_open, "total", sums->total, "packets",
		"in", (json_int_t)sums->traffic.in_packets, "out",
		(json_int_t)sums->traffic.out_packets, "bytes", "in",
		(json_int_t)sums->traffic.in_bytes, "out", (json_int_t)sums->traffic.out_bytes);

	if (!parts || !document || json_object_update(document, parts) < 0) {
		json_decref(document);
		document = NULL;
	}
	json_decref(parts);
	return document;
}

static bool is_reachable(const struct daemon *daemon, const struct backend *backend,
			 const char **why)
{
	return hop_usable(&daemon->hops.entries[backend->hop], !daemon->snat_fixed.length, why);
}

json_t *describe_backend(struct daemon *daemon, uint32_t id)
{
	const struct backend *backend = &daemon->registry.backends[id];
	const struct service *service = &daemon->registry.services[backend->service];
	const char *why = "its weight is 0";
	struct sums sums = {};
	json_t *document;

	add_backend(daemon, id, &sums);
	if (is_reachable(daemon, backend, &why) && backend->config->weight)
		why = "";
	document = json_pack("{s:s, s:o, s:I, s:s, s:s, s:b, s:s}", "service",
			     service->config->name, "address",
			     describe_endpoint(&backend->config->endpoint), "weight",
			     (json_int_t)backend->config->weight, "state", "ready", "health",
			     "none", "usable", backend->ready, "why", why);
	return with_sums(document, &sums);
}

json_t *describe_service(struct daemon *daemon, uint32_t id)
{
	const struct service *service = &daemon->registry.services[id];
	const struct config_service *config = service->config;
	json_t *listens = json_array();
	struct sums sums = {};
	json_int_t healthy = 0;
	const char *why;
	json_t *document;

	for (size_t i = 0; listens && i < config->listen_count; i++)
		if (json_array_append_new(listens,
					  describe_endpoint(&config->listens[i].endpoint)) < 0)
			goto fail;
	for (size_t i = 0; i < config->backend_count; i++) {
		uint32_t backend = service->first_backend + i;

		add_backend(daemon, backend, &sums);
		healthy += is_reachable(daemon, &daemon->registry.backends[backend], &why);
	}
	document = json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:I}", "name", config->name, "listen",
			     listens, "protocol", service_protocols(config), "mode",
			     mode_name(config->mode), "scheduler",
			     scheduler_name(config->scheduler), "backends",
			     (json_int_t)config->backend_count, "healthy", healthy);
	return with_sums(document, &sums);
fail:
	json_decref(listens);
	return NULL;
}

const char *flow_state_name(uint8_t state)
{
	switch (state) {
	case WEIR_FLOW_HALF_OPEN:
		return "half_open";
	case WEIR_FLOW_ESTABLISHED:
		return "established";
	case WEIR_FLOW_CLOSING:
		return "closing";
	default:
		return NULL;
	}
}

json_t *describe_flow(const struct daemon *daemon, const struct weir_flow4 *flow, uint32_t now)
{
	const struct registry *registry = &daemon->registry;
	uint32_t service = registry->backends[flow->backend_id].service;
	const struct weir_side4 *backend = &flow->backend;
	int32_t idle = (int32_t)(now - flow->last_seen);
	json_t *snat = registry->services[service].config->keep_client ?
			       json_null() :
			       describe_address4(backend->destination, backend->destination_port);
	json_int_t idle_ms = 0;

	if (idle > 0)
		idle_ms = (json_int_t)idle * 1000 / daemon->tables->runtime->hz;
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I}", "service",
			 registry->services[service].config->name, "protocol",
			 flow->control.flags & WEIR_FLOW_UDP ? "udp" : "tcp", "client",
			 describe_address4(flow->client.source, flow->client.source_port), "listen",
			 describe_address4(flow->client.destination, flow->client.destination_port),
			 "backend", describe_address4(backend->source, backend->source_port),
			 "snat", snat, "state", flow_state_name(flow->control.state), "idle_ms",
			 idle_ms);
}
