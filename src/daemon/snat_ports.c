// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/model/listen.h"
#include "src/netlink/host.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* No event tells that a socket listens: look again now and then. */
#define REFRESH_MS 5000

static int fill_random(void *buffer, size_t size)
{
	char *at = buffer;

	while (size) {
		ssize_t got = getrandom(at, size, 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0) {
			at += got;
			size -= got;
		}
	}
	return 0;
}

static void allowed_ports(const struct config_snat *snat, const uint64_t used[static 1024],
			  uint64_t allowed[static 1024])
{
	memset(allowed, 0, 1024 * sizeof(*allowed));
	for (uint32_t port = snat->first_port; port <= snat->last_port; port++)
		if (port && !(used[port / 64] >> (port % 64) & 1))
			allowed[port / 64] |= 1ULL << (port % 64);
}

/*
 * Nobody listens on the services' own ports, but they must not be mistaken for replies. Of ranges and of
 * `any` nothing would remain: there a packet of a known flow is looked for first, as everywhere.
 */
static void leave_out_services(const struct config *config, uint64_t allowed[static 1024])
{
	for (size_t i = 0; i < config->service_count; i++)
		for (size_t j = 0; j < config->services[i].listen_count; j++) {
			const struct config_listen *listen = &config->services[i].listens[j];
			uint16_t port = listen->endpoint.port;

			if (listen_is_wide(listen))
				continue;
			allowed[port / 64] &= ~(1ULL << (port % 64));
		}
}

/* The table that no packet reads: all allowed ports in random order. */
static int fill_table(struct weir_snat_ports *table, const uint64_t allowed[static 1024])
{
	_cleanup_free_ uint32_t *random = malloc(65536 * sizeof(*random));
	uint32_t count = 0;
	int err;

	if (!random)
		return -ENOMEM;
	err = fill_random(random, 65536 * sizeof(*random));
	if (err < 0)
		return err;
	for (uint32_t port = 1; port < 65536; port++) {
		uint32_t other;

		if (!(allowed[port / 64] >> (port % 64) & 1))
			continue;
		/* Fisher and Yates, inside out. */
		other = (uint64_t)random[count] * (count + 1) >> 32;
		table->port[count++] = table->port[other];
		table->port[other] = port;
	}
	memcpy(table->allowed, allowed, sizeof(table->allowed));
	table->count = count;
	return count;
}

static void on_spare_free(struct grace_waiter *waiter, void *user)
{
	struct daemon *daemon = user;

	daemon->snat_ports.spare_busy = false;
}

/* Makes the other table the live one, if the allowed ports differ from those of the live one. */
static int publish_ports(struct daemon *daemon, struct error *error)
{
	const struct config_snat *snat = &daemon->config->snat;
	struct weir_runtime *runtime = daemon->tables->runtime;
	uint32_t spare = !runtime->snat_table;
	const struct weir_snat_ports *live = &daemon->tables->snat_ports[!spare];
	uint64_t allowed[1024];
	int count;

	allowed_ports(snat, daemon->snat_ports.used, allowed);
	leave_out_services(daemon->config, allowed);
	if (live->count && !memcmp(live->allowed, allowed, sizeof(allowed))) {
		daemon->snat_ports.count = live->count;
		return 0;
	}
	count = fill_table(&daemon->tables->snat_ports[spare], allowed);
	if (count < 0)
		return error_set(error, count, "SNAT ports: %s", strerror(-count));
	if (count == 0)
		return error_set(error, -EADDRINUSE,
				 "SNAT: this host uses every port of %u-%u "
				 "itself; choose others with --snat-ports, or make "
				 "net.ipv4.ip_local_port_range smaller",
				 snat->first_port, snat->last_port);
	__atomic_store_n(&runtime->snat_table, spare, __ATOMIC_RELEASE);
	daemon->snat_ports.count = count;
	daemon->snat_ports.spare_busy = true;
	grace_wait(&daemon->grace, &daemon->snat_ports.waiter, on_spare_free, daemon);
	log_debug("SNAT: %d ports", count);
	return 0;
}

static void look(uv_work_t *work)
{
	struct daemon *daemon = work->data;

	daemon->snat_ports.status = host_used_ports(daemon->snat_ports.used,
						    &daemon->snat_ports.error);
}

static void on_looked(uv_work_t *work, int status)
{
	struct daemon *daemon = work->data;
	struct snat_ports *ports = &daemon->snat_ports;

	ports->working = false;
	if (daemon->stopping || status < 0)
		return;
	if (ports->status == 0)
		ports->status = publish_ports(daemon, &ports->error);
	if (ports->status < 0 && !ports->told)
		log_warning("%s; the SNAT ports in use stay as they are", ports->error.text);
	ports->told = ports->status < 0;
}

static void on_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct snat_ports *ports = &daemon->snat_ports;

	if (ports->working || ports->spare_busy)
		return;
	ports->work.data = daemon;
	ports->working = !uv_queue_work(&daemon->loop, &ports->work, look, on_looked);
}

void snat_ports_follow(struct daemon *daemon)
{
	on_timer(&daemon->snat_ports.timer);
}

int snat_ports_start(struct daemon *daemon, struct error *error)
{
	int err = host_used_ports(daemon->snat_ports.used, error);

	if (err == 0)
		err = publish_ports(daemon, error);
	if (err < 0)
		return err;
	uv_timer_init(&daemon->loop, &daemon->snat_ports.timer);
	daemon->snat_ports.timer.data = daemon;
	return uv_timer_start(&daemon->snat_ports.timer, on_timer, REFRESH_MS, REFRESH_MS);
}

uint64_t snat_capacity(const struct daemon *daemon, uint32_t backend)
{
	const struct weir_backend *entry = &daemon->tables->backends[backend];
	uint64_t capacity = (uint64_t)entry->snat.length * daemon->snat_ports.count;

	/* Each port that it is talked to on has all of them for itself. */
	if (!entry->port)
		capacity *= service_port_count(daemon->registry.services[entry->service].config);
	return capacity;
}

/* 36280 as "36,280". */
static const char *grouped(uint64_t number, char buffer[static 32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
	char *out = buffer;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buffer;
}

static void log_missing(const struct daemon *daemon)
{
	const struct config_snat *snat = &daemon->config->snat;
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < snat->address_count; i++)
		if (!host_address_has(daemon, &snat->addresses[i]))
			log_warning("SNAT address %s is no address of this host: backends need a "
				    "route to it through here",
				    address_format(&snat->addresses[i], text));
}

void snat_address_event(struct daemon *daemon, const struct weir_address *address, bool present)
{
	const struct config_snat *snat = &daemon->config->snat;
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < snat->address_count; i++) {
		if (!address_equal(&snat->addresses[i], address))
			continue;
		if (daemon->ready)
			log_write(present ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
				  "SNAT address %s %s this host", address_format(address, text),
				  present ? "came to" : "left");
	}
}

static uint32_t nat_backends(const struct config *config, bool v4)
{
	uint32_t count = 0;

	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		for (size_t j = 0; service->mode == WEIR_MODE_NAT && j < service->backend_count;
		     j++)
			count += address_is_v4(&service->backends[j].endpoint.address) == v4;
	}
	return count;
}

/* Did the operator say how many flows there are to be, or which source ports? */
static bool capacity_is_chosen(const struct config *config)
{
	struct config defaults;

	config_init(&defaults);
	return config->limits.flows != defaults.limits.flows || config->limits.flows_v6 ||
	       config->snat.first_port != defaults.snat.first_port ||
	       config->snat.last_port != defaults.snat.last_port || config->snat.address_count;
}

static void log_capacity(const struct daemon *daemon, bool v4, uint32_t backends)
{
	const struct config_limits *limits = &daemon->config->limits;
	const char *family = v4 ? "" : "IPv6 ";
	uint32_t configured = daemon->snat_fixed[!v4].length;
	uint32_t addresses = configured ? configured : 1;
	uint64_t capacity = (uint64_t)addresses * daemon->snat_ports.count * backends;
	uint64_t limit = v4 ? limits->flows : config_flows_v6(limits);
	char first[32], second[32];

	log_info("SNAT: %s ports x %u address%s per %sbackend",
		 grouped(daemon->snat_ports.count, first), addresses, addresses == 1 ? "" : "es",
		 family);
	if (capacity < limit)
		log_write(capacity_is_chosen(daemon->config) ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
			  "SNAT: ports for %s %sconnections in all, below the limit of %s flows: "
			  "more SNAT addresses raise it (snat.addresses, --snat-address)",
			  grouped(capacity, first), family, grouped(limit, second));
}

void snat_log_capacity(const struct daemon *daemon)
{
	uint32_t v4 = nat_backends(daemon->config, true);
	uint32_t v6 = nat_backends(daemon->config, false);

	if (daemon->registry.backend_count && !v4 && !v6)
		return; /* dsr and ipip take none */
	if (v4 || !v6)
		log_capacity(daemon, true, v4);
	if (v6)
		log_capacity(daemon, false, v6);
	log_missing(daemon);
}
