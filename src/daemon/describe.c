// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/internal.h"
#include "src/model/listen.h"

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

json_t *describe_backend_endpoint(const struct endpoint *endpoint)
{
	char text[ENDPOINT_STRING_SIZE];

	return json_string(endpoint_format_any(endpoint, text));
}

static json_t *describe_listen(const struct config_listen *listen)
{
	char text[LISTEN_STRING_SIZE];

	return json_string(listen_format(listen, text));
}

/* One place that listens for both protocols stands twice in the configuration. */
static bool is_other_protocol_of_another(const struct config_service *config, size_t index)
{
	const struct config_listen *listen = &config->listens[index];

	for (size_t i = 0; i < index; i++)
		if (endpoint_equal(&config->listens[i].endpoint, &listen->endpoint) &&
		    config->listens[i].last_port == listen->last_port)
			return true;
	return false;
}

json_t *describe_address(const struct weir_address *address, uint16_t port)
{
	struct endpoint endpoint = { .address = *address, .port = be16toh(port) };

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
	return hop_usable(&daemon->hops.entries[backend->hop], needs_source(daemon, backend), why);
}

static const char *health_name(const struct backend *backend)
{
	static const char *const names[] = {
		[HEALTH_UNKNOWN] = "unknown",
		[HEALTH_UP] = "up",
		[HEALTH_DOWN] = "down",
	};

	return backend->watch ? names[health_report(backend->watch)->state] : "none";
}

/* Why it gets no new flows, empty if it does. Of several reasons the one to mend first. */
static const char *why_not(const struct daemon *daemon, const struct backend *backend)
{
	const char *why = "";

	if (backend->leaving)
		return "removed: waits for its last connections";
	if (backend->config->state == BACKEND_DOWN)
		return "set down";
	if (backend->config->state == BACKEND_DRAIN)
		return "drains: no new connections";
	if (!backend->config->weight)
		return "its weight is 0";
	if (!is_reachable(daemon, backend, &why))
		return why;
	if (!backend_is_healthy(backend) && !backend->in_slots)
		return health_report(backend->watch)->error;
	return backend->in_slots ? "" : "a backup: others are usable";
}

json_t *describe_backend(struct daemon *daemon, uint32_t id)
{
	const struct backend *backend = &daemon->registry.backends[id];
	const struct service *service = &daemon->registry.services[backend->service];
	bool drains = backend->leaving;
	struct sums sums = {};
	json_t *document;

	add_backend(daemon, id, &sums);
	document = json_pack("{s:s, s:o, s:I, s:s, s:s, s:b, s:s, s:b, s:b, s:I}", "service",
			     service->config->name, "address",
			     describe_backend_endpoint(&backend->config->endpoint), "weight",
			     (json_int_t)backend->config->weight, "state",
			     drains ? "drain" : backend_state_name(backend->config->state),
			     "health", health_name(backend), "usable", backend->in_slots, "why",
			     why_not(daemon, backend), "removed", drains, "backup",
			     backend->config->backup, "max_connections",
			     (json_int_t)backend->config->max_connections);
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
		if (!is_other_protocol_of_another(config, i) &&
		    json_array_append_new(listens, describe_listen(&config->listens[i])) < 0)
			goto fail;
	for (size_t i = 0; i < service->backend_count; i++) {
		const struct backend *backend = &daemon->registry.backends[service->backends[i]];

		add_backend(daemon, service->backends[i], &sums);
		healthy += is_reachable(daemon, backend, &why) && backend_is_healthy(backend);
	}
	document = json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:I}", "name", config->name, "listen",
			     listens, "protocol", service_protocols(config), "mode",
			     mode_name(config->mode), "scheduler",
			     scheduler_name(config->scheduler), "backends",
			     (json_int_t)service->backend_count, "healthy", healthy);
	return with_sums(document, &sums);
fail:
	json_decref(listens);
	return NULL;
}

static json_t *describe_backends(struct daemon *daemon, const struct service *service)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < service->backend_count; i++)
		if (json_array_append_new(list, describe_backend(daemon, service->backends[i])) <
		    0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *describe_service_whole(struct daemon *daemon, uint32_t id)
{
	const struct service *service = &daemon->registry.services[id];
	const struct config_service *config = service->config;
	json_t *document = describe_service(daemon, id);
	json_t *more = json_pack("{s:s, s:b, s:s, s:I, s:s, s:o}", "snat",
				 config->keep_client ? "off" : "on", "fail_open", config->fail_open,
				 "on_no_backend", config->silent ? "drop" : "reject",
				 "slow_start_ms", (json_int_t)config->slow_start, "health_check",
				 health_type_name(config->health.type), "backends",
				 describe_backends(daemon, service));

	if (!more || !document || json_object_update(document, more) < 0) {
		json_decref(document);
		document = NULL;
	}
	json_decref(more);
	return document;
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
	case WEIR_FLOW_KILLED:
		return "killed";
	default:
		return NULL;
	}
}

json_t *describe_flow(const struct daemon *daemon, const struct flow_record *record, uint32_t now)
{
	const struct weir_tuple *client = &record->client, *backend = &record->backend;
	const struct registry *registry = &daemon->registry;
	const struct weir_flow *flow = &record->flow;
	uint32_t service = registry->backends[flow->backend_id].service;
	int32_t idle = (int32_t)(now - flow->last_seen);
	json_t *snat = registry->services[service].config->keep_client ?
			       json_null() :
			       describe_address(&backend->destination, backend->destination_port);
	json_int_t idle_ms = 0;

	if (idle > 0)
		idle_ms = (json_int_t)idle * 1000 / daemon->tables->runtime->hz;
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I}", "service",
			 registry->services[service].config->name, "protocol",
			 flow->control.flags & WEIR_FLOW_UDP ? "udp" : "tcp", "client",
			 describe_address(&client->source, client->source_port), "listen",
			 describe_address(&client->destination, client->destination_port),
			 "backend", describe_address(&backend->source, backend->source_port),
			 "snat", snat, "state", flow_state_name(flow->control.state), "idle_ms",
			 idle_ms);
}
