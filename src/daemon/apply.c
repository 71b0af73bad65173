// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/kill.h"
#include "src/model/maglev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Walks of the sweep that must find nothing of a backend before its id is given to another one. */
#define EMPTY_WALKS 3

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_interfaces(const struct config *a, const struct config *b)
{
	if (a->interface_count != b->interface_count)
		return false;
	for (size_t i = 0; i < a->interface_count; i++)
		if (strcmp(a->interfaces[i].name, b->interfaces[i].name) != 0 ||
		    a->interfaces[i].attach != b->interfaces[i].attach)
			return false;
	return true;
}

static bool same_control(const struct config_control *a, const struct config_control *b)
{
	return same_text(a->socket, b->socket) && same_text(a->group, b->group) &&
	       a->mode == b->mode;
}

static int check_flows(const char *key, uint32_t wanted, uint32_t room, struct error *error)
{
	if (wanted <= room)
		return 0;
	return error_set(
		error, -E2BIG,
		"%s: %u is more than the table has room for (%u); to make a larger one: weir "
		"detach --force, then start again (cuts connections)",
		key, wanted, room);
}

/* Are there ids for what is new? */
static int check_ids(const struct daemon *daemon, const struct config *config, struct error *error)
{
	const struct registry *registry = &daemon->registry;
	const struct datapath_sizes *sizes = &daemon->tables->sizes;
	uint32_t services, backends;

	registry_count_new(registry, config, &services, &backends);
	if (services > registry->service_ids - 1 - registry->used_services)
		return error_set(error, -E2BIG,
				 "%u new services do not fit into the tables of %u; to make larger "
				 "ones: weir detach --force, then start again (cuts connections)",
				 services, sizes->services - 1);
	if (backends > registry->backend_ids - 1 - registry->used_backends)
		return error_set(error, -E2BIG,
				 "%u new backends do not fit into the tables of %u; to make larger "
				 "ones: weir detach --force, then start again (cuts connections)",
				 backends, sizes->backends - 1);
	return 0;
}

static int check_tables(const struct daemon *daemon, const struct config *config,
			struct error *error)
{
	const struct config_limits *limits = &config->limits;
	const struct datapath_sizes *sizes = &daemon->tables->sizes;
	int err = check_ids(daemon, config, error);

	if (err < 0)
		return err;
	if (registry_count_ranges(config) > sizes->port_ranges / 2)
		return error_set(error, -E2BIG,
				 "%zu ranges of ports do not fit into the table of %u; to make a "
				 "larger one: weir detach --force, then start again (cuts "
				 "connections)",
				 registry_count_ranges(config), sizes->port_ranges / 2);
	err = check_flows("limits.flows", limits->flows, sizes->flows, error);
	if (err == 0)
		err = check_flows("limits.flows_v6", config_flows_v6(limits), sizes->flows_v6,
				  error);
	if (err < 0)
		return err;
	if (limits->half_open != sizes->half_open)
		return error_set(error, -EINVAL,
				 "limits.half_open: the ring has %u places; to make another one: "
				 "weir detach --force, then start again (cuts connections)",
				 sizes->half_open);
	return 0;
}

int apply_check(const struct daemon *daemon, const struct config *config, struct error *error)
{
	const char *again = "restart weir, connections survive (systemctl restart weir)";

	if (!same_interfaces(daemon->config, config))
		return error_set(error, -EINVAL, "interfaces: cannot change by reload; %s", again);
	if (!same_control(&daemon->config->control, &config->control))
		return error_set(error, -EINVAL, "control: cannot change by reload; %s", again);
	return check_tables(daemon, config, error);
}

/* A row of the configured source addresses of one family; length 0: there are none. */
static int take_fixed(struct daemon *daemon, const struct config_snat *snat,
		      enum weir_family family, union weir_range *ret)
{
	_cleanup_free_ struct weir_address *addresses = NULL;
	uint32_t count = 0;

	*ret = (union weir_range){ .word = 0 };
	addresses = calloc(snat->address_count + 1, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	for (size_t i = 0; i < snat->address_count; i++)
		if (address_is_v4(&snat->addresses[i]) == (family == WEIR_IPV4))
			addresses[count++] = snat->addresses[i];
	if (!count)
		return 0;
	return snat_pool_take_row(&daemon->snat_pool, addresses, count, &daemon->grace, ret);
}

/* The configured source addresses, or the end of them. Backends follow one by one. */
static int apply_snat(struct daemon *daemon, const struct config_snat *snat)
{
	union weir_range before[WEIR_FAMILIES], rows[WEIR_FAMILIES];
	int err = take_fixed(daemon, snat, WEIR_IPV4, &rows[WEIR_IPV4]);

	if (err < 0)
		return err;
	err = take_fixed(daemon, snat, WEIR_IPV6, &rows[WEIR_IPV6]);
	if (err < 0) {
		snat_pool_put_row(&daemon->snat_pool, rows[WEIR_IPV4], &daemon->grace);
		return err;
	}
	memcpy(before, daemon->snat_fixed, sizeof(before));
	memcpy(daemon->snat_fixed, rows, sizeof(rows));
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++) {
		struct weir_backend *entry = &daemon->tables->backends[id];
		union weir_range row = snat_fixed_for(daemon, &entry->address);

		if (!daemon->registry.backends[id].used || !row.length)
			continue;
		datapath_store((void *)&entry->snat.word, row.word);
		publish_no_source(daemon, id);
	}
	for (int family = 0; family < WEIR_FAMILIES; family++)
		snat_pool_put_row(&daemon->snat_pool, before[family], &daemon->grace);
	return 0;
}

static void cut(struct daemon *daemon, uint32_t id)
{
	struct weir_kill filter = { .backend_id = id };

	daemon->tables->backends[id].use = WEIR_BACKEND_CUT;
	kill_flows(daemon, &filter);
}

/* No new flows; the id stays until the last one has ended. */
static void leave(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];

	backend->leaving = true;
	backend->in_slots = false;
	daemon->tables->backends[id].use = WEIR_BACKEND_NO_NEW;
	datapath_store((void *)&daemon->tables->backends[id].serves_since, 0);
	backend->ramp_began_ms = 0;
	backend->empty = 0;
	checks_follow(daemon, id, NULL);
	publish_mark(daemon, &daemon->registry.services[backend->service]);
}

/* A new backend (@id 0), one that comes back, or one that goes on. */
static int take_backend(struct daemon *daemon, uint32_t service, uint32_t id,
			const struct config_backend *wanted, uint32_t *ret)
{
	struct registry *registry = &daemon->registry;
	bool is_new = !id, comes_back;
	struct config_backend before;
	struct backend *backend;
	int err = 0;

	if (is_new)
		err = registry_new_backend(registry, service, wanted, &id);
	if (err < 0)
		return err;
	backend = &registry->backends[id];
	before = backend->own;
	comes_back = is_new || backend->leaving ||
		     (before.state != BACKEND_READY && wanted->state == BACKEND_READY);
	backend->own = *wanted;
	backend->leaving = false;
	backend->wanted = true;
	daemon->tables->backends[id].deadline = 0;
	if (is_new) {
		err = publish_backend(daemon, id);
		if (err < 0) {
			registry_drop_backend(registry, id);
			return err;
		}
	}
	if (is_new && daemon->ready)
		backend->came_ms = uv_now(&daemon->loop);
	daemon->tables->backends[id].max_connections = wanted->max_connections;
	if (!is_new && wanted->state == BACKEND_DOWN && before.state != BACKEND_DOWN)
		cut(daemon, id);
	if (comes_back)
		checks_ramp(daemon, id);
	*ret = id;
	return 0;
}

/* Those of @old that are not wanted leave; `wanted` is cleared for the next time. */
static void sort_out(struct daemon *daemon, const uint32_t *old, size_t old_count,
		     const struct service *service)
{
	struct backend *backends = daemon->registry.backends;

	for (size_t i = 0; i < old_count; i++)
		if (!backends[old[i]].wanted && !backends[old[i]].leaving)
			leave(daemon, old[i]);
	for (size_t i = 0; i < service->backend_count; i++)
		backends[service->backends[i]].wanted = false;
}

/* The resolver calls back for an address that it did not have; a known one is told here. */
static int find_way(struct daemon *daemon, uint32_t id)
{
	struct hop *hop = &daemon->hops.entries[daemon->registry.backends[id].hop];

	if (hop->known) {
		publish_way(daemon, id);
		return 0;
	}
	return daemon->resolver ? resolver_add(daemon->resolver, &hop->address) : 0;
}

static int apply_backends(struct daemon *daemon, struct service *service,
			  const struct config_service *wanted)
{
	uint32_t service_id = registry_service_id(&daemon->registry, service);
	_cleanup_free_ uint32_t *old = service->backends;
	uint32_t old_count = service->backend_count;
	uint32_t *ids = calloc(wanted->backend_count + 1, sizeof(*ids));
	int err = 0;

	if (!ids) {
		old = NULL; /* still the service's */
		return -ENOMEM;
	}
	for (size_t i = 0; i < wanted->backend_count; i++)
		ids[i] = registry_find_backend_near(&daemon->registry, service, i,
						    &wanted->backends[i].endpoint);
	service->backends = ids;
	service->backend_count = 0;
	for (size_t i = 0; err == 0 && i < wanted->backend_count; i++) {
		err = take_backend(daemon, service_id, ids[i], &wanted->backends[i], &ids[i]);
		if (err == 0)
			service->backend_count++;
	}
	sort_out(daemon, old, old_count, service);
	return err;
}

static int apply_service(struct daemon *daemon, const struct config_service *wanted)
{
	struct service *service = registry_find_service(&daemon->registry, wanted->name);
	struct access_list *access, *old_access;
	struct config_health before = {};
	bool is_new = !service;
	uint32_t id;
	int err;

	if (is_new) {
		err = registry_new_service(&daemon->registry, wanted->name, &id);
		if (err < 0)
			return err;
		service = &daemon->registry.services[id];
	}
	err = access_take(&daemon->access, daemon->datapath, wanted, &access);
	if (err < 0)
		return err;
	before = service->own.health;
	service->own = *wanted;
	service->leaving = false;
	service->wanted = true;
	old_access = service->access;
	service->access = access;
	publish_service(daemon, registry_service_id(&daemon->registry, service));
	access_put(&daemon->access, old_access, &daemon->grace);
	err = apply_backends(daemon, service, wanted);
	for (size_t i = 0; i < service->backend_count; i++) {
		checks_follow(daemon, service->backends[i], &before);
		if (err == 0)
			err = find_way(daemon, service->backends[i]);
	}
	publish_mark(daemon, service);
	return err;
}

/* What the configuration before has lent it is about to go. */
static void leave_service(struct daemon *daemon, struct service *service)
{
	service->leaving = true;
	for (size_t i = 0; i < service->backend_count; i++)
		leave(daemon, service->backends[i]);
	service->backend_count = 0;
	service->own.listens = NULL;
	service->own.listen_count = 0;
	service->own.except = NULL;
	service->own.except_count = 0;
	service->own.allow = service->own.deny = NULL;
	service->own.backends = NULL;
	service->own.backend_count = 0;
	service->own.health = (struct config_health){ .type = HEALTH_NONE };
	publish_mark(daemon, service);
}

static void drop_unwanted_services(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++) {
		struct service *service = &daemon->registry.services[id];

		if (service->used && !service->wanted && !service->leaving)
			leave_service(daemon, service);
	}
}

int apply_config(struct daemon *daemon, const struct config *config, struct error *error)
{
	size_t backends = 0;
	int err = apply_snat(daemon, &config->snat);

	/* Marks of one that failed. */
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++)
		daemon->registry.services[id].wanted = false;
	publish_runtime(daemon, &config->limits);
	for (size_t i = 0; err == 0 && i < config->service_count; i++) {
		err = apply_service(daemon, &config->services[i]);
		backends += config->services[i].backend_count;
	}
	if (err < 0)
		return error_set(error, err, "no room for the configuration: %s", strerror(-err));
	/* Another service may have its listen addresses now: until it is asked, the old one answers. */
	publish_slots(daemon);
	drop_unwanted_services(daemon);
	daemon->config = config;
	for (size_t i = 0; daemon->interfaces && i < config->interface_count; i++)
		daemon->interfaces[i].config = &config->interfaces[i];
	daemon->registry.service_count = config->service_count;
	daemon->registry.hashing_count = maglev_services(config);
	daemon->registry.backend_count = backends;
	check_paths_follow_all(daemon);
	err = listen_table_apply(daemon);
	if (err < 0)
		return error_set(error, err, "cannot publish the listen addresses: %s%s",
				 strerror(-err),
				 err == -ENOSPC ? "; the table is being used by an earlier change: "
						  "try again in a second" :
						  "");
	publish_slots(daemon);
	publish_least_timeouts(daemon);
	access_retire_old(&daemon->access, &daemon->grace);
	daemon->tables->root->generation++;
	return 0;
}

int apply_backends_of(struct daemon *daemon, const struct config_service *service,
		      struct error *error)
{
	const struct config alone = { .services = (struct config_service *)service,
				      .service_count = 1 };
	int err = check_ids(daemon, &alone, error);

	if (err < 0)
		return err;
	err = apply_service(daemon, service);
	if (err < 0)
		return error_set(error, err, "no room for the backends: %s", strerror(-err));
	publish_slots(daemon);
	daemon->tables->root->generation++;
	return 0;
}

/* Nothing holds the id any more. */
static void release(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];
	struct hop *hop = &daemon->hops.entries[backend->hop];

	registry_leave_hop(&daemon->registry, id, &hop->first_backend);
	if (!hop->first_backend) {
		if (daemon->resolver)
			resolver_remove(daemon->resolver, &hop->address);
		/* Else the next daemon would keep the id for flows that may hold it. */
		memset(&daemon->tables->hops[backend->hop], 0, sizeof(*daemon->tables->hops));
		hops_remove(&daemon->hops, backend->hop);
	}
	publish_no_source(daemon, id);
	sweep_forget_backend(daemon, id);
	kill_forget_backend(daemon, id);
	memset(&daemon->tables->backends[id], 0, sizeof(*daemon->tables->backends));
	memset(&daemon->tables->loads[id], 0, sizeof(*daemon->tables->loads));
	datapath_clear_traffic(daemon->datapath, id);
	registry_drop_backend(&daemon->registry, id);
}

static bool is_empty(const struct weir_load *load)
{
	return !__atomic_load_n(&load->half_open, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&load->established, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&load->snat_ports, __ATOMIC_RELAXED);
}

static void settle_backend(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];
	uint64_t *deadline = (void *)&daemon->tables->backends[id].deadline;

	backend->empty = is_empty(&daemon->tables->loads[id]) ? backend->empty + 1 : 0;
	if (*deadline && (uint64_t)time(NULL) >= *deadline) {
		*deadline = 0;
		cut(daemon, id);
	}
	if (backend->empty >= EMPTY_WALKS && !daemon->registry.services[backend->service].changed)
		release(daemon, id);
}

void apply_settle(struct daemon *daemon)
{
	struct registry *registry = &daemon->registry;

	publish_slots(daemon);
	access_collect(&daemon->access, daemon->datapath, &daemon->grace);
	for (uint32_t id = 1; id <= registry->last_backend; id++)
		if (registry->backends[id].used && registry->backends[id].leaving)
			settle_backend(daemon, id);
	for (uint32_t id = 1; id <= registry->last_service; id++) {
		struct service *service = &registry->services[id];

		if (!service->used || !service->leaving || service->users || service->changed)
			continue;
		daemon->tables->service_names[id].text[0] = '\0';
		ranges_retire(&daemon->slot_ranges, service->slots, &daemon->grace);
		memset(&daemon->tables->services[id], 0, sizeof(*daemon->tables->services));
		memset(&daemon->tables->service_state[id], 0,
		       sizeof(*daemon->tables->service_state));
		access_put(&daemon->access, service->access, &daemon->grace);
		registry_drop_service(registry, id);
	}
}
