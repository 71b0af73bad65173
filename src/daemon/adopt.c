// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"
#include "src/daemon/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/*
 * The tables tell who is who: names of services, endpoints of backends, keys of gateways. What a crash
 * left half done is no harm: an entry that names nothing is free, and the configuration that is applied
 * next finds what is missing.
 */

/* No name, or another one's: it was being made or freed. */
static void forget_service(struct daemon *daemon, uint32_t id)
{
	daemon->tables->service_names[id].text[0] = '\0';
	memset(&daemon->tables->services[id], 0, sizeof(*daemon->tables->services));
}

static int adopt_services(struct daemon *daemon)
{
	const struct datapath_tables *tables = daemon->tables;
	int err;

	for (uint32_t id = 1; id < tables->sizes.services; id++) {
		struct weir_service_name *name = &tables->service_names[id];
		struct service *service = &daemon->registry.services[id];

		name->text[sizeof(name->text) - 1] = '\0';
		if (!name->text[0] || registry_find_service(&daemon->registry, name->text)) {
			forget_service(daemon, id);
			continue;
		}
		err = registry_adopt_service(&daemon->registry, id, name->text);
		if (err < 0)
			return err;
		service->slots.word = tables->services[id].slots.word;
		err = ranges_adopt(&daemon->slot_ranges, service->slots);
		if (err == -ENOMEM)
			return err;
		if (err < 0) {
			log_error("service %s: its slots are damaged and built anew", name->text);
			service->slots.word = 0;
			datapath_store((void *)&tables->services[id].slots.word, 0);
		}
	}
	return 0;
}

static void adopt_source(struct daemon *daemon, struct backend *backend,
			 const struct weir_backend *entry)
{
	if (entry->snat.length != 1 || entry->snat.offset >= daemon->snat_pool.size)
		return;
	backend->has_source = true;
	backend->source = entry->snat.offset;
	snat_pool_adopt(&daemon->snat_pool, backend->source);
}

static int adopt_backend(struct daemon *daemon, uint32_t id)
{
	struct weir_backend *entry = &daemon->tables->backends[id];
	struct backend *backend = &daemon->registry.backends[id];
	struct config_backend config = {
		.endpoint = { .address = entry->address, .port = ntohs(entry->port) },
		.weight = 1,
		.max_connections = entry->max_connections,
	};
	struct service *service;
	uint32_t *grown;
	int err;

	if (entry->service >= daemon->tables->sizes.services ||
	    !daemon->registry.services[entry->service].used ||
	    registry_find_backend(&daemon->registry, entry->service, &config.endpoint) ||
	    hops_adopt(&daemon->hops, entry->hop, &entry->address, 0) < 0) {
		memset(entry, 0, sizeof(*entry));
		return 0;
	}
	err = registry_adopt_backend(&daemon->registry, id, entry->service, &config);
	if (err < 0)
		return err;
	service = &daemon->registry.services[entry->service];
	grown = reallocarray(service->backends, service->users, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	service->backends = grown;
	service->backends[service->backend_count++] = id;
	backend->adopted = true;
	backend->hop = entry->hop;
	registry_join_hop(&daemon->registry, id, &daemon->hops.entries[entry->hop].first_backend);
	adopt_source(daemon, backend, entry);
	entry->cut = 0; /* as it was then; it may be another one's wish now */
	/* Queues of free ports are made anew when ports run short. */
	__atomic_store_n(&entry->port_queue, 0, __ATOMIC_RELEASE);
	return 0;
}

static void see_slots(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++) {
		const union weir_range *range = &daemon->registry.services[id].slots;

		for (uint32_t i = 0; i < range->length; i++) {
			uint32_t backend = daemon->tables->slots[range->offset + i].backend;

			if (backend < daemon->registry.backend_ids)
				daemon->registry.backends[backend].in_slots = true;
		}
	}
}

static void adopt_gateway(const struct weir_gateway_key *key, uint16_t hop, void *user)
{
	struct daemon *daemon = user;

	/* It may have left its routes since; if not, the resolver tells of it. */
	if (hops_adopt(&daemon->hops, hop, &key->address, key->ifindex) == 0)
		hop_doubt(&daemon->tables->hops[hop]);
}

/* What is zero was given back: else each restart would use up the ids that came and went before. */
static void reserve_hops(struct daemon *daemon)
{
	for (uint32_t id = 1; id < daemon->tables->sizes.hops; id++)
		if (daemon->tables->hops[id].destination.word)
			hops_reserve(&daemon->hops, id + 1);
	for (uint32_t id = daemon->hops.used - 1; id > 0; id--)
		if (!daemon->tables->hops[id].destination.word)
			hops_offer(&daemon->hops, id);
}

int adopt_tables(struct daemon *daemon, struct error *error)
{
	const struct datapath_tables *tables = daemon->tables;
	uint32_t flows = __atomic_load_n(&tables->shared->records[WEIR_IPV4], __ATOMIC_RELAXED) +
			 __atomic_load_n(&tables->shared->records[WEIR_IPV6], __ATOMIC_RELAXED);
	int err = adopt_services(daemon);

	for (uint32_t id = 1; err == 0 && id < tables->sizes.backends; id++)
		if (tables->backends[id].service)
			err = adopt_backend(daemon, id);
	if (err == 0)
		err = datapath_list_gateways(daemon->datapath, adopt_gateway, daemon);
	if (err == 0)
		err = access_adopt(&daemon->access, daemon->datapath);
	if (err < 0)
		return error_set(error, err, "cannot take over the tables of the daemon before: %s",
				 strerror(-err));
	see_slots(daemon);
	reserve_hops(daemon);
	listen_table_adopt(daemon);
	log_info("took over %u flow%s from the daemon before", flows, flows == 1 ? "" : "s");
	return 0;
}
