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
	[WEIR_SCHEDULER_RR] = "rr",         [WEIR_SCHEDULER_WRR] = "wrr",
	[WEIR_SCHEDULER_HASH] = "hash",     [WEIR_SCHEDULER_LC] = "lc",
	[WEIR_SCHEDULER_WLC] = "wlc",       [WEIR_SCHEDULER_SOURCE] = "source",
	[WEIR_SCHEDULER_MAGLEV] = "maglev", [WEIR_SCHEDULER_P2C] = "p2c",
};

static const char *const mode_names[] = {
	[WEIR_MODE_NAT] = "nat",
	[WEIR_MODE_DSR] = "dsr",
	[WEIR_MODE_IPIP] = "ipip",
};

static const char *const backend_state_names[] = {
	[BACKEND_READY] = "ready",
	[BACKEND_DRAIN] = "drain",
	[BACKEND_DOWN] = "down",
};

static const char *const health_type_names[] = {
	[HEALTH_NONE] = "none",   [HEALTH_TCP] = "tcp",   [HEALTH_HTTP] = "http",
	[HEALTH_HTTPS] = "https", [HEALTH_ICMP] = "icmp", [HEALTH_EXEC] = "exec",
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
		.control = { .mode = 0660 },
	};
}

uint32_t config_flows_v6(const struct config_limits *limits)
{
	const uint32_t quarter = limits->flows / 4 ? limits->flows / 4 : 1;

	return limits->flows_v6 ? limits->flows_v6 : quarter;
}

void config_service_free(struct config_service *service)
{
	free(service->listens);
	free(service->except);
	free(service->backends);
	prefix_list_unref(service->allow);
	prefix_list_unref(service->deny);
	free(service->health.path);
	free(service->health.host);
	free(service->health.body);
	free(service->health.command);
	*service = (struct config_service){ .listens = NULL };
}

void config_free(struct config *config)
{
	for (size_t i = 0; i < config->service_count; i++)
		config_service_free(&config->services[i]);
	free(config->services);
	free(config->interfaces);
	free(config->snat.addresses);
	free(config->control.socket);
	free(config->control.group);
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
		.affinity = { .timeout = 10 * MINUTES },
		.timeouts = default_timeouts,
		.health = {
			.type = HEALTH_NONE,
			.interval = 2 * SECONDS,
			.timeout = 1 * SECONDS,
			.rise = 2,
			.fall = 3,
		},
	};
	return services;
}

struct config_service *config_find_service(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->service_count; i++)
		if (!strcmp(config->services[i].name, name))
			return &config->services[i];
	return NULL;
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

struct config_ports *config_service_add_except(struct config_service *service)
{
	struct config_ports *except;

	except = make_room(service->except, service->except_count, sizeof(*except));
	if (!except)
		return NULL;
	service->except = except;
	except += service->except_count++;
	*except = (struct config_ports){ 0 };
	return except;
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

/* As long as make_room() would have made it; NULL for nothing. Clears @good if there is no memory. */
static void *copy_array(const void *array, size_t count, size_t size, bool *good)
{
	size_t room = 1;
	void *copy;

	if (!count)
		return NULL;
	while (room < count)
		room *= 2;
	copy = calloc(room, size);
	if (!copy) {
		*good = false;
		return NULL;
	}
	return memcpy(copy, array, count * size);
}

static char *copy_text(const char *text, bool *good)
{
	return copy_array(text, text ? strlen(text) + 1 : 0, 1, good);
}

int config_service_copy(const struct config_service *service, struct config_service *ret)
{
	const struct config_health *health = &service->health;
	struct config_service copy = *service;
	bool good = true;

	/* Every pointer is set, so that nothing of @service is freed when one could not be copied. */
	copy.listens = copy_array(service->listens, service->listen_count, sizeof(*copy.listens),
				  &good);
	copy.except = copy_array(service->except, service->except_count, sizeof(*copy.except),
				 &good);
	copy.backends = copy_array(service->backends, service->backend_count,
				   sizeof(*copy.backends), &good);
	prefix_list_ref(copy.allow);
	prefix_list_ref(copy.deny);
	copy.health.path = copy_text(health->path, &good);
	copy.health.host = copy_text(health->host, &good);
	copy.health.body = copy_text(health->body, &good);
	copy.health.command = copy_text(health->command, &good);
	if (!good) {
		config_service_free(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

int config_copy(const struct config *config, struct config *ret)
{
	struct config copy = *config;
	bool good = true;

	copy.interfaces = copy_array(config->interfaces, config->interface_count,
				     sizeof(*copy.interfaces), &good);
	copy.snat.addresses = copy_array(config->snat.addresses, config->snat.address_count,
					 sizeof(*copy.snat.addresses), &good);
	copy.control.socket = copy_text(config->control.socket, &good);
	copy.control.group = copy_text(config->control.group, &good);
	copy.services = copy_array(config->services, config->service_count, sizeof(*copy.services),
				   &good);
	copy.service_count = 0;
	copy.host_addresses = NULL;
	copy.host_address_count = 0;
	while (good && copy.service_count < config->service_count) {
		const size_t next = copy.service_count;

		good = config_service_copy(&config->services[next], &copy.services[next]) == 0;
		copy.service_count += good;
	}
	if (!good) {
		config_free(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
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

bool scheduler_hashes(enum weir_scheduler scheduler)
{
	return scheduler == WEIR_SCHEDULER_HASH || scheduler == WEIR_SCHEDULER_SOURCE ||
	       scheduler == WEIR_SCHEDULER_MAGLEV;
}

const char *mode_name(enum weir_mode mode)
{
	return name_of(mode_names, COUNT(mode_names), mode);
}

int mode_parse(const char *name)
{
	return value_of(mode_names, COUNT(mode_names), name);
}

const char *backend_state_name(enum backend_state state)
{
	return name_of(backend_state_names, COUNT(backend_state_names), state);
}

int backend_state_parse(const char *name)
{
	return value_of(backend_state_names, COUNT(backend_state_names), name);
}

const char *health_type_name(enum health_type type)
{
	return name_of(health_type_names, COUNT(health_type_names), type);
}

int health_type_parse(const char *name)
{
	return value_of(health_type_names, COUNT(health_type_names), name);
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
