// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 1000ULL
#define MINUTES (60 * SECONDS)
#define HOURS (60 * MINUTES)

static const struct config_timeouts default_timeouts = {
	.tcp = 2 * HOURS + 4 * MINUTES,
	.tcp_handshake = 10 * SECONDS,
	.tcp_close = 10 * SECONDS,
	.udp = 30 * SECONDS,
	.udp_established = 180 * SECONDS,
};

static const char *const scheduler_names[] = {
	[WEIR_SCHEDULER_RR] = "rr", [WEIR_SCHEDULER_WRR] = "wrr", [WEIR_SCHEDULER_HASH] = "hash",
	[WEIR_SCHEDULER_LC] = "lc", [WEIR_SCHEDULER_WLC] = "wlc",
};

static const char *const mode_names[] = {
	[WEIR_MODE_NAT] = "nat",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void config_init(struct config *config)
{
	*config = (struct config){
		.limits = {
			.flows = 262144,
			.half_open = 65536,
			.udp_share = 50,
			.icmp_rate = 1000,
			.reset_rate = 10000,
		},
		.snat = { .first_port = 1024, .last_port = 65535 },
	};
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->service_count; i++) {
		free(config->services[i].listens);
		free(config->services[i].backends);
	}
	free(config->services);
	free(config->interfaces);
	free(config->snat.addresses);
	config_init(config);
}

/*
 * Makes room for one more element after @count, doubling the array whenever @count is a power of
 * two. Returns the array, which may have moved, or NULL with the old one unharmed.
 */
static void *make_room(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return reallocarray(array, count ? 2 * count : 1, size);
}

struct config_interface *config_add_interface(struct config *config)
{
	struct config_interface *interfaces;

	interfaces = make_room(config->interfaces, config->interface_count, sizeof(*interfaces));
	if (!interfaces)
		return NULL;
	config->interfaces = interfaces;
	interfaces += config->interface_count++;
	*interfaces = (struct config_interface){ .attach = ATTACH_AUTO };
	return interfaces;
}

struct config_service *config_add_service(struct config *config)
{
	struct config_service *services;

	services = make_room(config->services, config->service_count, sizeof(*services));
	if (!services)
		return NULL;
	config->services = services;
	services += config->service_count++;
	*services = (struct config_service){
		.mode = WEIR_MODE_NAT,
		.scheduler = WEIR_SCHEDULER_RR,
		.timeouts = default_timeouts,
	};
	return services;
}

struct config_listen *config_service_add_listen(struct config_service *service)
{
	struct config_listen *listens;

	listens = make_room(service->listens, service->listen_count, sizeof(*listens));
	if (!listens)
		return NULL;
	service->listens = listens;
	listens += service->listen_count++;
	*listens = (struct config_listen){ .protocol = IPPROTO_TCP };
	return listens;
}

struct config_backend *config_service_add_backend(struct config_service *service)
{
	struct config_backend *backends;

	backends = make_room(service->backends, service->backend_count, sizeof(*backends));
	if (!backends)
		return NULL;
	service->backends = backends;
	backends += service->backend_count++;
	*backends = (struct config_backend){ .weight = 1 };
	return backends;
}

struct weir_address *config_add_snat_address(struct config *config)
{
	struct config_snat *snat = &config->snat;
	struct weir_address *addresses;

	addresses = make_room(snat->addresses, snat->address_count, sizeof(*addresses));
	if (!addresses)
		return NULL;
	snat->addresses = addresses;
	addresses += snat->address_count++;
	*addresses = (struct weir_address){ 0 };
	return addresses;
}

static const char *name_of(const char *const names[], size_t count, unsigned int value)
{
	return value < count ? names[value] : NULL;
}

static int value_of(const char *const names[], size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return (int)i;
	return -EINVAL;
}

const char *scheduler_name(enum weir_scheduler scheduler)
{
	return name_of(scheduler_names, COUNT(scheduler_names), scheduler);
}

int scheduler_parse(const char *name)
{
	return value_of(scheduler_names, COUNT(scheduler_names), name);
}

const char *mode_name(enum weir_mode mode)
{
	return name_of(mode_names, COUNT(mode_names), mode);
}

int mode_parse(const char *name)
{
	return value_of(mode_names, COUNT(mode_names), name);
}

const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	}
	return NULL;
}

const char *service_protocols(const struct config_service *service)
{
	bool tcp = false, udp = false;

	for (size_t i = 0; i < service->listen_count; i++) {
		tcp |= service->listens[i].protocol == IPPROTO_TCP;
		udp |= service->listens[i].protocol == IPPROTO_UDP;
	}
	if (tcp && udp)
		return "tcp,udp";
	return udp ? "udp" : "tcp";
}
