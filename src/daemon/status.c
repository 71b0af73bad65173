// SPDX-License-Identifier: GPL-2.0-only
#include "abi/reasons.h"

#include "src/daemon/internal.h"

/* The documents of `status` and `flow count`. */

#define REASON_NAME(NAME, name, help) #name,

const char *const reason_names[WEIR_REASON_COUNT] = { WEIR_REASONS(REASON_NAME) };

static json_int_t used(const struct daemon *daemon, enum weir_family family)
{
	return __atomic_load_n(&daemon->tables->shared->records[family], __ATOMIC_RELAXED);
}

/* Of the family whose flows have less time to open. */
static uint64_t horizon(const struct daemon *daemon, uint64_t handshake)
{
	const struct datapath_sizes *sizes = &daemon->tables->sizes;
	uint64_t v4 = horizon_ms(&daemon->sweep.horizons[WEIR_IPV4], sizes->half_open, handshake);
	uint64_t v6 = horizon_ms(&daemon->sweep.horizons[WEIR_IPV6], sizes->half_open_v6,
				 handshake);

	return v4 < v6 ? v4 : v6;
}

/* States are those of both families; each has records of its own. */
static json_t *flow_count(struct daemon *daemon, const struct weir_counters *counters)
{
	const struct weir_runtime *runtime = daemon->tables->runtime;
	uint64_t handshake = 0;

	for (size_t i = 0; i < daemon->config->service_count; i++)
		if (daemon->config->services[i].timeouts.tcp_handshake > handshake)
			handshake = daemon->config->services[i].timeouts.tcp_handshake;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "half_open",
			 (json_int_t)counters->flows[WEIR_FLOW_HALF_OPEN], "established",
			 (json_int_t)counters->flows[WEIR_FLOW_ESTABLISHED], "closing",
			 (json_int_t)counters->flows[WEIR_FLOW_CLOSING], "killed",
			 (json_int_t)counters->flows[WEIR_FLOW_KILLED], "quarantine",
			 (json_int_t)daemon->sweep.quarantine, "used", used(daemon, WEIR_IPV4),
			 "limit", (json_int_t)runtime->flows_limit[WEIR_IPV4], "used_v6",
			 used(daemon, WEIR_IPV6), "limit_v6",
			 (json_int_t)runtime->flows_limit[WEIR_IPV6], "half_open_horizon_ms",
			 (json_int_t)horizon(daemon, handshake));
}

json_t *describe_flow_count(struct daemon *daemon)
{
	struct weir_counters counters;

	if (datapath_read_counters(daemon->datapath, &counters) < 0)
		return NULL;
	return flow_count(daemon, &counters);
}

static json_t *interfaces_json(const struct daemon *daemon)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < daemon->config->interface_count; i++) {
		const struct interface *interface = &daemon->interfaces[i];
		const char *attach = interface->native ? "native" : "generic";
		json_t *program = interface->attached ?
					  json_integer(datapath_program_id(daemon->datapath)) :
					  json_null();
		json_t *one = json_pack("{s:s, s:s, s:o, s:s, s:b}", "name",
					interface->config->name, "attach",
					interface->attached ? attach : "none", "program_id",
					program, "driver", interface->driver, "up", interface->up);

		if (json_array_append_new(list, one) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *reasons_json(const struct weir_counters *counters)
{
	json_t *reasons = json_object();

	for (int i = 0; reasons && i < WEIR_REASON_COUNT; i++)
		if (json_object_set_new(reasons, reason_names[i],
					json_integer((json_int_t)counters->reasons[i])) < 0) {
			json_decref(reasons);
			return NULL;
		}
	return reasons;
}

static json_t *snat_json(const struct daemon *daemon)
{
	json_t *list = json_array();

	for (uint32_t id = 1; list && id <= daemon->registry.last_backend; id++) {
		const struct backend *backend = &daemon->registry.backends[id];
		json_int_t used = __atomic_load_n(&daemon->tables->loads[id].snat_ports,
						  __ATOMIC_RELAXED);
		const struct config_service *service =
			daemon->registry.services[backend->service].config;
		json_t *one;

		if (!backend->used || service->keep_client || service->mode != WEIR_MODE_NAT)
			continue;
		one = json_pack("{s:s, s:o, s:I, s:I}", "service", service->name, "backend",
				describe_backend_endpoint(&backend->config->endpoint), "used", used,
				"limit", (json_int_t)snat_capacity(daemon, id));
		if (json_array_append_new(list, one) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* A second, as of the last walk of the sweep. */
static json_t *rates_json(const struct daemon *daemon)
{
	const struct rates *rates = &daemon->sweep.rates;

	return json_pack("{s:I, s:I}", "packets", (json_int_t)rates->packets_per_s, "flows",
			 (json_int_t)rates->flows_per_s);
}

/* What is left of it, null: none is going on. */
static json_t *trial_json(const struct daemon *daemon)
{
	const uint64_t now = uv_now(&daemon->loop), end = daemon->trial.until_ms;

	if (!daemon->trial.before)
		return json_null();
	return json_integer(end > now ? (json_int_t)(end - now) : 0);
}

json_t *describe_status(struct daemon *daemon)
{
	struct weir_counters counters;
	uint64_t failures;

	if (datapath_read_counters(daemon->datapath, &counters) < 0 ||
	    datapath_read_failures(daemon->datapath, &failures) < 0)
		return NULL;
	return json_pack(
		"{s:s, s:I, s:o, s:o, s:o, s:I, s:o, s:I, s:o, s:o, s:I, s:I, s:I, s:I, "
		"s:I}",
		"version", WEIR_VERSION, "generation", (json_int_t)daemon->tables->root->generation,
		"trial_ms", trial_json(daemon), "interfaces", interfaces_json(daemon), "reasons",
		reasons_json(&counters), "packets", (json_int_t)counters.packets, "per_second",
		rates_json(daemon), "redirect_failures", (json_int_t)failures, "flows",
		flow_count(daemon, &counters), "snat", snat_json(daemon), "memory_bytes",
		(json_int_t)datapath_memory(daemon->datapath), "sweep_age_ms",
		(json_int_t)sweep_age_ms(daemon), "services",
		(json_int_t)daemon->registry.service_count, "backends",
		(json_int_t)daemon->registry.backend_count, "uptime_seconds",
		(json_int_t)((uv_hrtime() / 1000000 - daemon->started_ms) / 1000));
}
