// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/model/config_checker.h"
#include "src/model/listen.h"

struct checker_path checker_path(const char *format, ...)
{
	struct checker_path path;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(path.text, sizeof(path.text), format, arguments);
	va_end(arguments);
	return path;
}

void checker_tell(struct checker *checker, const char *path, const char *format, ...)
{
	struct error error;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error.text, sizeof(error.text), format, arguments);
	va_end(arguments);
	checker->found++;
	checker->report(path, error.text, checker->user);
}

bool config_interface_name_valid(const char *name)
{
	size_t length = strlen(name);

	if (length < 1 || length >= sizeof(((struct config_interface *)NULL)->name))
		return false;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || isspace((unsigned char)*name))
			return false;
	return true;
}

static void check_interfaces(const struct config *config, struct checker *checker)
{
	if (!config->interface_count)
		checker_tell(checker, "interfaces", "interfaces: none is given; name at least one");
	for (size_t i = 0; i < config->interface_count; i++) {
		const struct config_interface *interface = &config->interfaces[i];

		if (!config_interface_name_valid(interface->name))
			checker_tell(checker, checker_path("interfaces[%zu].name", i).text,
				     "interfaces: '%s' is no interface name", interface->name);
		if (interface->attach > ATTACH_GENERIC)
			checker_tell(checker, checker_path("interfaces[%zu].attach", i).text,
				     "interfaces: %s: unknown way to attach", interface->name);
	}
}

static void check_limits(const struct config_limits *limits, struct checker *checker)
{
	const struct {
		const char *path;
		uint32_t value, least, most;
	} rows[] = {
		{ "limits.flows", limits->flows, CONFIG_FLOWS_LEAST, CONFIG_FLOWS_MOST },
		{ "limits.flows_v6", config_flows_v6(limits), CONFIG_FLOWS_LEAST,
		  CONFIG_FLOWS_MOST },
		{ "limits.half_open", limits->half_open, CONFIG_HALF_OPEN_LEAST,
		  CONFIG_HALF_OPEN_MOST },
		{ "limits.udp_share", limits->udp_share, 0, CONFIG_UDP_SHARE_MOST },
		{ "limits.icmp_rate", limits->icmp_rate, 0, CONFIG_RATE_MOST },
		{ "limits.reset_rate", limits->reset_rate, 0, CONFIG_RATE_MOST },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].value < rows[i].least || rows[i].value > rows[i].most)
			checker_tell(checker, rows[i].path,
				     "%s: %" PRIu32 " is out of range; expected %" PRIu32
				     " to %" PRIu32,
				     rows[i].path, rows[i].value, rows[i].least, rows[i].most);
}

static void check_snat(const struct config_snat *snat, struct checker *checker)
{
	char text[ENDPOINT_STRING_SIZE];

	if (!snat->first_port || snat->first_port > snat->last_port)
		checker_tell(checker, "snat.ports",
			     "snat.ports: %u-%u is no range; expected LOW-HIGH, 1 to 65535",
			     snat->first_port, snat->last_port);
	for (size_t i = 0; i < snat->address_count; i++) {
		const char *why = config_check_address(&snat->addresses[i]);

		if (why)
			checker_tell(checker, checker_path("snat.addresses[%zu]", i).text,
				     "snat.addresses: %s %s",
				     address_format(&snat->addresses[i], text), why);
	}
}

static bool group_name_valid(const char *name)
{
	const size_t length = strlen(name);

	if (length < 1 || length > 32 || name[0] == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("_-.", *name))
			return false;
	return true;
}

static void check_control(const struct config_control *control, struct checker *checker)
{
	if (control->socket &&
	    (control->socket[0] != '/' || strlen(control->socket) > CONFIG_SOCKET_MOST))
		checker_tell(checker, "control.socket",
			     "control.socket: '%.120s' is no path for a socket; expected one that "
			     "begins with '/', of at most 107 characters",
			     control->socket);
	if (control->group && !group_name_valid(control->group))
		checker_tell(checker, "control.group",
			     "control.group: '%.40s' is no name of a group; expected 1 to 32 "
			     "letters, digits, '_', '-' and '.', not '-' first",
			     control->group);
	if (control->mode > 0777)
		checker_tell(checker, "control.mode",
			     "control.mode: %" PRIo32 " is out of range; expected 0 to 0777",
			     control->mode);
}

static void check_name(const struct config_service *service, size_t index, struct checker *checker)
{
	const size_t length = strnlen(service->name, sizeof(service->name));

	if (length < 1 || length >= sizeof(service->name) ||
	    strspn(service->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		checker_tell(checker, checker_path("services[%zu].name", index).text,
			     "service '%.*s': bad name; expected 1 to 63 of a-z, 0-9 and '-'",
			     (int)length, service->name);
}

static void check_timeouts(const struct config_service *service, size_t index,
			   struct checker *checker)
{
	const struct config_timeouts *timeouts = &service->timeouts;
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{ "tcp", timeouts->tcp },
		{ "tcp_handshake", timeouts->tcp_handshake },
		{ "tcp_close", timeouts->tcp_close },
		{ "udp", timeouts->udp },
		{ "udp_established", timeouts->udp_established },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].value < CONFIG_TIMEOUT_LEAST || rows[i].value > CONFIG_TIMEOUT_MOST)
			checker_tell(
				checker,
				checker_path("services[%zu].timeouts.%s", index, rows[i].key).text,
				SERVICE ": timeouts.%s: %" PRIu64
					"ms is out of range; expected 100ms to 168h",
				service->name, rows[i].key, rows[i].value);
}

static void check_backend(const struct config_service *service, size_t service_index, size_t index,
			  struct checker *checker)
{
	const struct config_backend *backend = &service->backends[index];
	const char *why = config_check_address(&backend->endpoint.address), *key = "address";
	const uint32_t weight = backend->weight, connections = backend->max_connections;
	char endpoint[ENDPOINT_STRING_SIZE], text[192];

	if (!why && !backend->endpoint.port && !service_is_wide(service))
		why = "has no port; expected ADDR:PORT";
	if (!why && weight <= CONFIG_WEIGHT_MOST && connections <= CONFIG_CONNECTIONS_MOST &&
	    backend_state_name(backend->state))
		return;
	endpoint_format(&backend->endpoint, endpoint);
	if (why) {
		snprintf(text, sizeof(text), "backend: %s %s", endpoint, why);
	} else if (weight > CONFIG_WEIGHT_MOST) {
		key = "weight";
		snprintf(text, sizeof(text),
			 "backend %s: weight %" PRIu32 " is out of range; expected 0 to 256",
			 endpoint, weight);
	} else if (connections > CONFIG_CONNECTIONS_MOST) {
		key = "max_connections";
		snprintf(text, sizeof(text),
			 "backend %s: max_connections %" PRIu32
			 " is out of range; expected 0 to 16777216",
			 endpoint, connections);
	} else {
		key = "state";
		snprintf(text, sizeof(text), "backend %s: unknown state", endpoint);
	}
	checker_tell(checker,
		     checker_path("services[%zu].backends[%zu].%s", service_index, index, key).text,
		     SERVICE ": %s", service->name, text);
}

/* dsr and ipip: packets come to the backend with the port that the client chose; replies pass by. */
static void check_direct_backend(const struct config_service *service, size_t service_index,
				 size_t index, struct checker *checker)
{
	const struct config_backend *backend = &service->backends[index];
	const char *mode = mode_name(service->mode);
	char endpoint[ENDPOINT_STRING_SIZE];

	endpoint_format_any(&backend->endpoint, endpoint);
	for (size_t i = 0; backend->endpoint.port && i < service->listen_count; i++) {
		const struct config_listen *listen = &service->listens[i];
		char expected[LISTEN_STRING_SIZE] = "none, for it listens on several";

		if (listen->endpoint.port == backend->endpoint.port && !listen_is_wide(listen))
			continue;
		if (!listen_is_wide(listen))
			snprintf(expected, sizeof(expected), "that of the listen address, %u",
				 listen->endpoint.port);
		checker_tell(
			checker,
			checker_path("services[%zu].backends[%zu].address", service_index, index)
				.text,
			SERVICE ": backend %s: mode %s changes no port; expected %s", service->name,
			endpoint, mode, expected);
		break;
	}
	if (backend->max_connections)
		checker_tell(checker,
			     checker_path("services[%zu].backends[%zu].max_connections",
					  service_index, index)
				     .text,
			     SERVICE ": backend %s: max_connections: does not go with mode %s, "
				     "where weir does not see connections end; remove it",
			     service->name, endpoint, mode);
}

static bool counts_connections(enum weir_scheduler scheduler)
{
	return scheduler == WEIR_SCHEDULER_LC || scheduler == WEIR_SCHEDULER_WLC ||
	       scheduler == WEIR_SCHEDULER_P2C;
}

static void check_direct(const struct config_service *service, size_t index,
			 struct checker *checker)
{
	if (service->mode == WEIR_MODE_NAT || !mode_name(service->mode))
		return;
	if (counts_connections(service->scheduler))
		checker_tell(checker, checker_path("services[%zu].scheduler", index).text,
			     SERVICE
			     ": scheduler %s: does not go with mode %s, where weir does not "
			     "see connections end; expected maglev, hash, source, rr or wrr",
			     service->name, scheduler_name(service->scheduler),
			     mode_name(service->mode));
	if (service->affinity.by != AFFINITY_NONE)
		checker_tell(checker, checker_path("services[%zu].affinity", index).text,
			     SERVICE
			     ": affinity: is not supported with mode %s; use scheduler source",
			     service->name, mode_name(service->mode));
	for (size_t i = 0; i < service->backend_count; i++)
		check_direct_backend(service, index, i, checker);
}

static void check_affinity(const struct config_service *service, size_t index,
			   struct checker *checker)
{
	const struct config_affinity *affinity = &service->affinity;

	if (affinity->by > AFFINITY_SOURCE)
		checker_tell(checker, checker_path("services[%zu].affinity.by", index).text,
			     SERVICE ": affinity: unknown kind", service->name);
	if (affinity->timeout < CONFIG_TIMEOUT_LEAST || affinity->timeout > CONFIG_TIMEOUT_MOST)
		checker_tell(checker, checker_path("services[%zu].affinity.timeout", index).text,
			     SERVICE ": affinity.timeout: %" PRIu64
				     "ms is out of range; expected 100ms to 168h",
			     service->name, affinity->timeout);
}

static void check_service(const struct config_service *service, size_t index,
			  struct checker *checker)
{
	check_name(service, index, checker);
	if (!mode_name(service->mode) || !scheduler_name(service->scheduler))
		checker_tell(checker, checker_path("services[%zu]", index).text,
			     SERVICE ": unknown mode or scheduler", service->name);
	check_timeouts(service, index, checker);
	config_check_listens(service, index, checker);
	for (size_t i = 0; i < service->backend_count; i++)
		check_backend(service, index, i, checker);
	check_direct(service, index, checker);
	config_check_families(service, index, checker);
	if (service->slow_start > CONFIG_SLOW_START_MOST)
		checker_tell(checker, checker_path("services[%zu].slow_start", index).text,
			     SERVICE ": slow_start: %" PRIu64
				     "ms is out of range; expected 0 to 24h",
			     service->name, service->slow_start);
	if (service->slow_start && scheduler_hashes(service->scheduler))
		checker_tell(checker, checker_path("services[%zu].slow_start", index).text,
			     SERVICE ": slow_start: does not go with scheduler %s, where a share "
				     "that rises moves other clients; remove one",
			     service->name, scheduler_name(service->scheduler));
	check_affinity(service, index, checker);
	config_check_health(service, index, checker);
}

int config_check_all(const struct config *config, config_report_fn report, void *user)
{
	struct checker checker = { .report = report, .user = user };
	int r;

	check_interfaces(config, &checker);
	check_limits(&config->limits, &checker);
	check_snat(&config->snat, &checker);
	check_control(&config->control, &checker);
	for (size_t i = 0; i < config->service_count; i++)
		check_service(&config->services[i], i, &checker);
	config_check_host(config, &checker);
	r = config_check_overlaps(config, &checker);
	if (r >= 0)
		r = config_check_doubles(config, &checker);
	if (r >= 0)
		r = config_check_access(config, &checker);
	return r < 0 ? r : checker.found;
}

struct first_error {
	struct error *error;
	bool found;
};

static void keep_first(const char *path, const char *text, void *user)
{
	struct first_error *first = user;

	if (!first->found)
		error_set(first->error, -EINVAL, "%s", text);
	first->found = true;
}

int config_check(const struct config *config, struct error *error)
{
	struct first_error first = { .error = error };
	int r = config_check_all(config, keep_first, &first);

	if (first.found)
		return -EINVAL;
	return r < 0 ? error_set(error, r, "out of memory") : 0;
}
