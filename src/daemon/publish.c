// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/model/slots.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/*
 * How long a Linux backend holds a connection that it closed first: TCP_TIMEWAIT_LEN, and its timers
 * may be late by an eighth.
 */
#define TIME_WAIT_MS 67500

/* Rounded up; signed differences of jiffies reach half of 32 bits. */
static uint32_t to_jiffies(const struct daemon *daemon, uint64_t ms)
{
	uint64_t hz = datapath_hz(daemon->datapath);
	uint64_t jiffies = ms < UINT32_MAX ? (ms * hz + 999) / 1000 : INT32_MAX;

	return jiffies < INT32_MAX ? jiffies : INT32_MAX;
}

static void publish_runtime(struct daemon *daemon)
{
	const struct config_limits *limits = &daemon->config->limits;
	struct weir_runtime *runtime = daemon->tables->runtime;

	runtime->reset_rate = limits->reset_rate;
	runtime->icmp_rate = limits->icmp_rate;
	runtime->flows_limit = limits->flows;
	runtime->udp_limit = (uint64_t)limits->flows * limits->udp_share / 100;
	runtime->hz = datapath_hz(daemon->datapath);
	runtime->time_wait = to_jiffies(daemon, TIME_WAIT_MS);
}

static void publish_services(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.service_count; id++) {
		const struct config_service *config = daemon->registry.services[id].config;
		struct weir_service *entry = &daemon->tables->services[id];

		entry->mode = config->mode;
		entry->scheduler = config->scheduler;
		entry->flags = (config->silent ? WEIR_SERVICE_SILENT : 0) |
			       (config->keep_client ? WEIR_SERVICE_KEEP_CLIENT : 0);
		entry->timeouts = (struct weir_timeouts){
			.tcp = to_jiffies(daemon, config->timeouts.tcp),
			.tcp_handshake = to_jiffies(daemon, config->timeouts.tcp_handshake),
			.tcp_close = to_jiffies(daemon, config->timeouts.tcp_close),
			.udp = to_jiffies(daemon, config->timeouts.udp),
			.udp_established = to_jiffies(daemon, config->timeouts.udp_established),
		};
	}
}

static int publish_backends(struct daemon *daemon, struct error *error)
{
	struct backend *backends = daemon->registry.backends;

	for (uint32_t id = 1; id <= daemon->registry.backend_count; id++) {
		const struct endpoint *endpoint = &backends[id].config->endpoint;
		struct weir_backend *entry = &daemon->tables->backends[id];

		backends[id].hop = hops_add(&daemon->hops, &endpoint->address, 0);
		if (!backends[id].hop)
			return error_set(error, -E2BIG, "the backends have more than %u addresses",
					 daemon->hops.size);
		entry->address = endpoint->address;
		entry->port = htons(endpoint->port);
		entry->hop = backends[id].hop;
		entry->service = backends[id].service;
		entry->snat = daemon->snat_fixed;
	}
	/* The lists of who shares a hop, in the order of the ids. */
	for (uint32_t id = daemon->registry.backend_count; id; id--) {
		struct hop *hop = &daemon->hops.entries[backends[id].hop];

		backends[id].next_same_hop = hop->first_backend;
		hop->first_backend = id;
	}
	return 0;
}

int publish_all(struct daemon *daemon, struct weir_listener *listeners, int listener_count,
		struct error *error)
{
	const struct config_snat *snat = &daemon->config->snat;
	const struct datapath_tables *tables = daemon->tables;
	union weir_range range = { .length = listener_count };
	int err;

	publish_runtime(daemon);
	err = snat_pool_init(&daemon->snat_pool, tables->snat_addresses,
			     tables->sizes.snat_addresses);
	if (err == 0 && snat->address_count)
		err = snat_pool_take_row(&daemon->snat_pool, snat->addresses, snat->address_count,
					 &daemon->snat_fixed);
	if (err == 0)
		err = hops_init(&daemon->hops, tables->sizes.hops);
	if (err < 0)
		return error_set(error, err, "cannot set up the tables: %s", strerror(-err));
	err = interfaces_publish(daemon, error);
	if (err == 0)
		err = publish_backends(daemon, error);
	if (err < 0)
		return err;
	publish_services(daemon);
	if (listener_count)
		memcpy(tables->listeners, listeners, listener_count * sizeof(*listeners));
	tables->root->generation = 1;
	datapath_store((void *)&tables->root->listeners.word, range.word);
	return 0;
}

/* Follows the source address of the route: a free place, then one word of the backend. */
static void publish_source(struct daemon *daemon, uint32_t id, const struct weir_address *source)
{
	struct backend *backend = &daemon->registry.backends[id];
	struct snat_pool *pool = &daemon->snat_pool;
	union weir_range range = { .length = 1 };
	char text[ENDPOINT_STRING_SIZE];
	int err;

	if (daemon->snat_fixed.length || address_is_zero(source))
		return;
	if (backend->has_source && address_equal(&pool->table[backend->source], source))
		return;
	err = snat_pool_take(pool, source, &daemon->grace, &range.offset);
	if (err < 0) {
		log_error("no room for the source address %s (%s): the old one stays in use",
			  address_format(source, text), strerror(-err));
		return;
	}
	datapath_store((void *)&daemon->tables->backends[id].snat.word, range.word);
	if (backend->has_source)
		snat_pool_put(pool, backend->source, &daemon->grace);
	backend->has_source = true;
	backend->source = range.offset;
}

static void mark_changed(struct daemon *daemon, struct service *service)
{
	if (service->changed)
		return;
	service->changed = true;
	service->next_changed = daemon->changed;
	daemon->changed = service;
}

void publish_hop(struct daemon *daemon, const struct hop *hop)
{
	const char *why;
	bool usable = hop_usable(hop, !daemon->snat_fixed.length, &why);

	for (uint32_t id = hop->first_backend; id;
	     id = daemon->registry.backends[id].next_same_hop) {
		struct backend *backend = &daemon->registry.backends[id];
		bool ready = usable && backend->config->weight;

		publish_source(daemon, id, &hop->state.source);
		if (ready == backend->ready)
			continue;
		backend->ready = ready;
		mark_changed(daemon, &daemon->registry.services[backend->service]);
	}
}

static int build(const struct daemon *daemon, const struct service *service, struct weir_slot **ret)
{
	_cleanup_free_ struct slot_candidate *candidates = NULL;
	size_t count = 0;

	candidates = calloc(service->config->backend_count + 1, sizeof(*candidates));
	if (!candidates)
		return -ENOMEM;
	for (size_t i = 0; i < service->config->backend_count; i++) {
		uint32_t id = service->first_backend + i;
		const struct backend *backend = &daemon->registry.backends[id];

		if (!backend->ready)
			continue;
		candidates[count].backend = id;
		candidates[count++].weight = backend->config->weight;
	}
	return slots_build(service->config->scheduler, candidates, count, ret);
}

static void on_area_free(struct grace_waiter *waiter, void *user)
{
	struct service *service = (void *)((char *)waiter - offsetof(struct service, waiter));
	struct daemon *daemon = user;

	if (!areas_released(&service->areas))
		return;
	mark_changed(daemon, service);
	publish_slots(daemon);
}

static bool is_live(const struct daemon *daemon, const struct weir_service *entry,
		    const struct weir_slot *slots, uint32_t length)
{
	return entry->slots.length == length &&
	       (length == 0 || !memcmp(&daemon->tables->slots[entry->slots.offset], slots,
				       length * sizeof(*slots)));
}

static void publish_service(struct daemon *daemon, struct service *service)
{
	uint32_t id = registry_service_id(&daemon->registry, service);
	struct weir_service *entry = &daemon->tables->services[id];
	_cleanup_free_ struct weir_slot *slots = NULL;
	union weir_range range;
	int length;

	if (!areas_claim(&service->areas, &range.offset))
		return;
	length = build(daemon, service, &slots);
	if (length < 0 || (uint32_t)length > service->areas.capacity) {
		log_error("service %s: cannot build its slots (%s): the old ones stay in use",
			  service->config->name, strerror(length < 0 ? -length : E2BIG));
		return;
	}
	range.length = length;
	if (is_live(daemon, entry, slots, length))
		return;
	if (length)
		memcpy(&daemon->tables->slots[range.offset], slots, length * sizeof(*slots));
	else
		range.offset = 0;
	datapath_store((void *)&entry->slots.word, range.word);
	areas_published(&service->areas);
	if (daemon->ready)
		grace_wait(&daemon->grace, &service->waiter, on_area_free, daemon);
	else
		areas_released(&service->areas); /* no packet has been here yet */
}

void publish_slots(struct daemon *daemon)
{
	while (daemon->changed) {
		struct service *service = daemon->changed;

		daemon->changed = service->next_changed;
		service->changed = false;
		publish_service(daemon, service);
	}
}
