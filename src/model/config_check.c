// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"

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

static int check_interfaces(const struct config *config, struct error *error)
{
	const struct config_interface *interfaces = config->interfaces;

	if (!config->interface_count)
		return error_set(error, -EINVAL, "interfaces: none is given; name at least one");
	for (size_t i = 0; i < config->interface_count; i++) {
		if (!config_interface_name_valid(interfaces[i].name))
			return error_set(error, -EINVAL, "interfaces: '%s' is no interface name",
					 interfaces[i].name);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(interfaces[i].name, interfaces[j].name))
				return error_set(error, -EINVAL,
						 "interfaces: %s is given twice; remove one",
						 interfaces[i].name);
	}
	return 0;
}

static int check_range(const char *where, uint64_t value, uint64_t least, uint64_t most,
		       struct error *error)
{
	if (value >= least && value <= most)
		return 0;
	return error_set(error, -EINVAL,
			 "%s: %" PRIu64 " is out of range; expected %" PRIu64 " to %" PRIu64, where,
			 value, least, most);
}

static int check_limits(const struct config_limits *limits, struct error *error)
{
	int r;

	r = check_range("limits.flows", limits->flows, CONFIG_FLOWS_LEAST, CONFIG_FLOWS_MOST,
			error);
	if (r < 0)
		return r;
	r = check_range("limits.half_open", limits->half_open, CONFIG_HALF_OPEN_LEAST,
			CONFIG_HALF_OPEN_MOST, error);
	if (r < 0)
		return r;
	r = check_range("limits.udp_share", limits->udp_share, 0, CONFIG_UDP_SHARE_MOST, error);
	if (r < 0)
		return r;
	r = check_range("limits.icmp_rate", limits->icmp_rate, 0, CONFIG_RATE_MOST, error);
	if (r < 0)
		return r;
	return check_range("limits.reset_rate", limits->reset_rate, 0, CONFIG_RATE_MOST, error);
}

/* Why no packet can be sent to or from this address, or NULL if it can. */
static const char *unusable(const struct weir_address *address)
{
	uint32_t v4;

	if (address_is_zero(address))
		return "is the unspecified address; expected that of one host";
	if (!address_is_v4(address))
		return "is an IPv6 address, which is not supported yet; use IPv4";
	v4 = ntohl(address_to_v4(address));
	if (v4 >> 24 == 0)
		return "is unspecified (0.0.0.0/8); expected the address of one host";
	if (v4 == INADDR_BROADCAST)
		return "is the broadcast address; expected that of one host";
	if (IN_MULTICAST(v4))
		return "is a multicast address; expected that of one host";
	if (v4 >> 24 == IN_LOOPBACKNET)
		return "is a loopback address, which never reaches a network; use another";
	return NULL;
}

static int check_snat(const struct config_snat *snat, struct error *error)
{
	char text[ENDPOINT_STRING_SIZE];
	const char *why;

	if (!snat->first_port || snat->first_port > snat->last_port)
		return error_set(error, -EINVAL,
				 "snat.ports: %u-%u is no range; expected LOW-HIGH, 1 to 65535",
				 snat->first_port, snat->last_port);
	for (size_t i = 0; i < snat->address_count; i++) {
		address_format(&snat->addresses[i], text);
		why = unusable(&snat->addresses[i]);
		if (why)
			return error_set(error, -EINVAL, "snat.addresses: %s %s", text, why);
		for (size_t j = 0; j < i; j++)
			if (address_equal(&snat->addresses[i], &snat->addresses[j]))
				return error_set(error, -EINVAL,
						 "snat.addresses: %s is given twice; remove one",
						 text);
	}
	return 0;
}

static int check_name(const struct config_service *service, struct error *error)
{
	const size_t length = strnlen(service->name, sizeof(service->name));

	if (length < 1 || length >= sizeof(service->name) ||
	    strspn(service->name, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		return error_set(error, -EINVAL,
				 "service '%.*s': bad name; expected 1 to 63 of a-z, 0-9 and '-'",
				 (int)length, service->name);
	return 0;
}

static int check_timeouts(const struct config_service *service, struct error *error)
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
			return error_set(error, -EINVAL,
					 "service %s: timeouts.%s: %" PRIu64
					 "ms is out of range; expected 100ms to 168h",
					 service->name, rows[i].key, rows[i].value);
	return 0;
}

static int check_service_listens(const struct config_service *service, struct error *error)
{
	char text[ENDPOINT_STRING_SIZE];
	const char *why;

	if (!service->listen_count)
		return error_set(error, -EINVAL,
				 "service %s: it listens nowhere; give it an ADDR:PORT",
				 service->name);
	for (size_t i = 0; i < service->listen_count; i++) {
		const struct config_listen *listen = &service->listens[i];

		endpoint_format(&listen->endpoint, text);
		why = unusable(&listen->endpoint.address);
		if (!why && !listen->endpoint.port)
			why = "has no port; expected ADDR:PORT";
		if (!why && !protocol_name(listen->protocol))
			why = "has an unknown protocol; expected tcp or udp";
		if (why)
			return error_set(error, -EINVAL, "service %s: listen: %s %s", service->name,
					 text, why);
	}
	return 0;
}

static int check_service_backends(const struct config_service *service, struct error *error)
{
	char text[ENDPOINT_STRING_SIZE];
	const char *why;

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct config_backend *backend = &service->backends[i];

		endpoint_format(&backend->endpoint, text);
		why = unusable(&backend->endpoint.address);
		if (!why && !backend->endpoint.port)
			why = "has no port; expected ADDR:PORT";
		if (why)
			return error_set(error, -EINVAL, "service %s: backend: %s %s",
					 service->name, text, why);
		if (backend->weight > CONFIG_WEIGHT_MOST)
			return error_set(error, -EINVAL,
					 "service %s: backend %s: weight %u is out of range; "
					 "expected 0 to 256",
					 service->name, text, backend->weight);
	}
	return 0;
}

static int check_service(const struct config_service *service, struct error *error)
{
	int r;

	r = check_name(service, error);
	if (r < 0)
		return r;
	if (!mode_name(service->mode) || !scheduler_name(service->scheduler))
		return error_set(error, -EINVAL, "service %s: unknown mode or scheduler",
				 service->name);
	r = check_timeouts(service, error);
	if (r < 0)
		return r;
	r = check_service_listens(service, error);
	if (r < 0)
		return r;
	return check_service_backends(service, error);
}

/* An endpoint of some service, made comparable to find doubles by sorting. */
struct place {
	struct weir_address address;
	uint16_t port;
	uint8_t protocol;
	uint32_t service;
};

/* Without the service, so that equal means: the same place. */
static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	int r;

	r = memcmp(&a->address, &b->address, sizeof(a->address));
	if (r)
		return r;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return (int)a->protocol - b->protocol;
}

static struct place place_of(const struct endpoint *endpoint, uint8_t protocol, size_t service)
{
	return (struct place){ endpoint->address, endpoint->port, protocol, (uint32_t)service };
}

/* The first of two equal neighbours once @places is sorted, or NULL. */
static const struct place *find_double(struct place *places, size_t count)
{
	qsort(places, count, sizeof(*places), compare_places);
	for (size_t i = 1; i < count; i++)
		if (!compare_places(&places[i - 1], &places[i]))
			return &places[i - 1];
	return NULL;
}

/* I2. Leaves @places, which has room for all, sorted. */
static int check_listens(const struct config *config, struct place *places, struct error *error)
{
	const struct config_service *services = config->services;
	char text[ENDPOINT_STRING_SIZE];
	const struct place *found;
	size_t count = 0, swap;

	for (size_t i = 0; i < config->service_count; i++)
		for (size_t j = 0; j < services[i].listen_count; j++)
			places[count++] = place_of(&services[i].listens[j].endpoint,
						   services[i].listens[j].protocol, i);
	found = find_double(places, count);
	if (!found)
		return 0;
	endpoint_format(&(struct endpoint){ found->address, found->port }, text);
	if (found[0].service == found[1].service)
		return error_set(error, -EINVAL, "service %s: listens on %s/%s twice; remove one",
				 services[found->service].name, text,
				 protocol_name(found->protocol));
	swap = found[0].service > found[1].service; /* qsort() leaves the order of equals open */
	return error_set(error, -EINVAL, "services %s and %s: both listen on %s/%s; remove one",
			 services[found[swap].service].name, services[found[!swap].service].name,
			 text, protocol_name(found->protocol));
}

/* I3 for one service. @scratch has room for its backends. */
static int check_doubles(const struct config_service *service, struct place *scratch,
			 struct error *error)
{
	char text[ENDPOINT_STRING_SIZE];
	const struct place *found;

	for (size_t i = 0; i < service->backend_count; i++)
		scratch[i] = place_of(&service->backends[i].endpoint, 0, 0);
	found = find_double(scratch, service->backend_count);
	if (!found)
		return 0;
	endpoint_format(&(struct endpoint){ found->address, found->port }, text);
	return error_set(error, -EINVAL, "service %s: backend %s is given twice; remove one",
			 service->name, text);
}

/* I4 for one service and one of its protocols, against the sorted places of all listeners. */
static int check_loops(const struct config_service *service, uint8_t protocol,
		       const struct place *listens, size_t listen_count, struct error *error)
{
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->backend_count; i++) {
		const struct endpoint *endpoint = &service->backends[i].endpoint;
		const struct place place = place_of(endpoint, protocol, 0);

		if (!bsearch(&place, listens, listen_count, sizeof(place), compare_places))
			continue;
		return error_set(error, -EINVAL,
				 "service %s: backend %s is listened on by weir itself, packets "
				 "would go round for ever; name the server's own address",
				 service->name, endpoint_format(endpoint, text));
	}
	return 0;
}

static int check_backends(const struct config_service *service, const struct place *listens,
			  size_t listen_count, struct place *scratch, struct error *error)
{
	const char *protocols = service_protocols(service);
	int r;

	r = check_doubles(service, scratch, error);
	if (r >= 0 && strstr(protocols, "tcp"))
		r = check_loops(service, IPPROTO_TCP, listens, listen_count, error);
	if (r >= 0 && strstr(protocols, "udp"))
		r = check_loops(service, IPPROTO_UDP, listens, listen_count, error);
	return r;
}

/* I2, I3 and I4. */
static int check_endpoints(const struct config *config, struct error *error)
{
	_cleanup_free_ struct place *listens = NULL, *scratch = NULL;
	size_t listen_count = 0, backend_count = 0, most = 0;
	int r;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		listen_count += service->listen_count;
		backend_count += service->backend_count;
		most = service->backend_count > most ? service->backend_count : most;
	}
	if (listen_count > CONFIG_LISTENS_MOST || backend_count > CONFIG_BACKENDS_MOST)
		return error_set(error, -EINVAL,
				 "services: %zu listen addresses and %zu backends in all; expected "
				 "at most 1000000 of each",
				 listen_count, backend_count);
	listens = calloc(listen_count + 1, sizeof(*listens));
	scratch = calloc(most + 1, sizeof(*scratch));
	if (!listens || !scratch)
		return error_set(error, -ENOMEM, "out of memory");
	r = check_listens(config, listens, error);
	for (size_t i = 0; r >= 0 && i < config->service_count; i++)
		r = check_backends(&config->services[i], listens, listen_count, scratch, error);
	return r;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* I1, the second half. */
static int check_names(const struct config *config, struct error *error)
{
	_cleanup_free_ const char **names = calloc(config->service_count + 1, sizeof(*names));

	if (!names)
		return error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < config->service_count; i++)
		names[i] = config->services[i].name;
	qsort(names, config->service_count, sizeof(*names), compare_names);
	for (size_t i = 1; i < config->service_count; i++)
		if (!strcmp(names[i - 1], names[i]))
			return error_set(error, -EINVAL,
					 "service %s: two services have this name; rename one",
					 names[i]);
	return 0;
}

int config_check(const struct config *config, struct error *error)
{
	int r;

	r = check_interfaces(config, error);
	if (r < 0)
		return r;
	r = check_limits(&config->limits, error);
	if (r < 0)
		return r;
	r = check_snat(&config->snat, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < config->service_count; i++) {
		r = check_service(&config->services[i], error);
		if (r < 0)
			return r;
	}
	r = check_endpoints(config, error);
	if (r < 0)
		return r;
	return check_names(config, error);
}
