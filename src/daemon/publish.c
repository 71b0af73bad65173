// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/candidates.h"
#include "src/daemon/internal.h"
#include "src/model/maglev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/*
 * How long a Linux backend holds a connection that it closed first: TCP_TIMEWAIT_LEN, and its timers
 * may be late by an eighth.
 */
#define TIME_WAIT_MS 67500

/* How long a service whose backends are all new waits for the first of them. */
#define RESOLVING_MS 1000

/* Rounded up; signed differences of jiffies reach half of 32 bits. */
static uint32_t to_jiffies(const struct daemon *daemon, uint64_t ms)
{
	uint64_t hz = datapath_hz(daemon->datapath);
	uint64_t jiffies = ms < UINT32_MAX ? (ms * hz + 999) / 1000 : INT32_MAX;

	return jiffies < INT32_MAX ? jiffies : INT32_MAX;
}

void publish_runtime(struct daemon *daemon, const struct config_limits *limits)
{
	struct weir_runtime *runtime = daemon->tables->runtime;

	runtime->reset_rate = limits->reset_rate;
	runtime->icmp_rate = limits->icmp_rate;
	runtime->flows_limit[WEIR_IPV4] = limits->flows;
	runtime->flows_limit[WEIR_IPV6] = config_flows_v6(limits);
	for (int i = 0; i < WEIR_FAMILIES; i++)
		runtime->udp_limit[i] = (uint32_t)((uint64_t)runtime->flows_limit[i] *
						   limits->udp_share / 100);
	runtime->hz = datapath_hz(daemon->datapath);
	runtime->time_wait = to_jiffies(daemon, TIME_WAIT_MS);
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void lower(struct weir_timeouts *least, const struct weir_timeouts *timeouts)
{
	least->tcp = lesser(least->tcp, timeouts->tcp);
	least->tcp_handshake = lesser(least->tcp_handshake, timeouts->tcp_handshake);
	least->tcp_close = lesser(least->tcp_close, timeouts->tcp_close);
	least->udp = lesser(least->udp, timeouts->udp);
	least->udp_established = lesser(least->udp_established, timeouts->udp_established);
}

void publish_least_timeouts(struct daemon *daemon)
{
	struct weir_timeouts least;

	/* All bits set: as long as can be. */
	memset(&least, 0xff, sizeof(least));
	for (uint32_t id = 1; id <= daemon->registry.last_service; id++)
		if (daemon->registry.services[id].used)
			lower(&least, &daemon->tables->services[id].timeouts);
	daemon->tables->runtime->least = least;
}

void publish_service(struct daemon *daemon, uint32_t id)
{
	const struct config_service *config = daemon->registry.services[id].config;
	struct weir_service *entry = &daemon->tables->services[id];
	struct weir_timeouts timeouts;

	entry->mode = config->mode;
	entry->scheduler = config->scheduler;
	entry->flags = (config->silent ? WEIR_SERVICE_SILENT : 0) |
		       (config->keep_client ? WEIR_SERVICE_KEEP_CLIENT : 0) |
		       (config->outer_fixed ? WEIR_SERVICE_OUTER_FIXED : 0) |
		       (config->clear_df ? WEIR_SERVICE_CLEAR_DF : 0);
	entry->affinity = config->affinity.by == AFFINITY_NONE ?
				  0 :
				  to_jiffies(daemon, config->affinity.timeout);
	__atomic_store_n(&entry->access, access_id(daemon->registry.services[id].access),
			 __ATOMIC_RELEASE);
	timeouts = (struct weir_timeouts){
		.tcp = to_jiffies(daemon, config->timeouts.tcp),
		.tcp_handshake = to_jiffies(daemon, config->timeouts.tcp_handshake),
		.tcp_close = to_jiffies(daemon, config->timeouts.tcp_close),
		.udp = to_jiffies(daemon, config->timeouts.udp),
		.udp_established = to_jiffies(daemon, config->timeouts.udp_established),
	};
	/* Never more than one of them. */
	lower(&daemon->tables->runtime->least, &timeouts);
	entry->timeouts = timeouts;
	strcpy(daemon->tables->service_names[id].text, config->name);
}

int publish_backend(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];
	const struct endpoint *endpoint = &backend->config->endpoint;
	struct weir_backend *entry = &daemon->tables->backends[id];
	const union weir_range fixed = snat_fixed_for(daemon, &endpoint->address);

	backend->hop = hops_add(&daemon->hops, &endpoint->address, 0);
	if (!backend->hop)
		return -ENOSPC;
	registry_join_hop(&daemon->registry, id, &daemon->hops.entries[backend->hop].first_backend);
	entry->address = endpoint->address;
	entry->port = htons(endpoint->port);
	entry->hop = backend->hop;
	entry->max_connections = backend->config->max_connections;
	if (fixed.length)
		datapath_store((void *)&entry->snat.word, fixed.word);
	/* Last: it says that the id is in use. */
	__atomic_store_n(&entry->service, backend->service, __ATOMIC_RELEASE);
	return 0;
}

void publish_no_source(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];

	if (backend->has_source)
		snat_pool_put(&daemon->snat_pool, backend->source, &daemon->grace);
	backend->has_source = false;
}

/* Follows the source address of the route: a free place, then one word of the backend. */
static void publish_source(struct daemon *daemon, uint32_t id, const struct weir_address *source)
{
	struct backend *backend = &daemon->registry.backends[id];
	struct snat_pool *pool = &daemon->snat_pool;
	union weir_range range = { .length = 1 };
	char text[ENDPOINT_STRING_SIZE];
	int err;

	if (snat_fixed_for(daemon, &daemon->hops.entries[backend->hop].address).length ||
	    address_is_zero(source))
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
	publish_no_source(daemon, id);
	backend->has_source = true;
	backend->source = range.offset;
}

void publish_mark(struct daemon *daemon, struct service *service)
{
	daemon->summary_stale = true;
	if (service->changed)
		return;
	service->changed = true;
	service->next_changed = daemon->changed;
	daemon->changed = service;
}

void publish_way(struct daemon *daemon, uint32_t id)
{
	struct backend *backend = &daemon->registry.backends[id];
	const struct hop *hop = &daemon->hops.entries[backend->hop];
	const char *why;
	bool usable = hop_usable(hop, needs_source(daemon, backend), &why);

	publish_source(daemon, id, &hop->state.source);
	check_paths_follow(daemon, backend);
	if (usable == backend->reachable)
		return;
	backend->reachable = usable;
	if (usable)
		backend->came_ms = 0;
	publish_mark(daemon, &daemon->registry.services[backend->service]);
}

void publish_hop(struct daemon *daemon, const struct hop *hop)
{
	for (uint32_t id = hop->first_backend; id; id = daemon->registry.backends[id].next_same_hop)
		publish_way(daemon, id);
}

bool backend_is_healthy(const struct backend *backend)
{
	return !backend->watch || health_report(backend->watch)->state != HEALTH_DOWN;
}

static struct candidate candidate_of(const struct daemon *daemon, const struct service *service,
				     uint32_t id)
{
	const struct backend *backend = &daemon->registry.backends[id];
	const struct config_backend *config = backend->config;

	return (struct candidate){
		.id = id,
		.weight = config->weight,
		.ramp = backend->ramp_began_ms ?
				candidates_ramp(uv_now(&daemon->loop) - backend->ramp_began_ms,
						service->config->slow_start) :
				WEIR_RAMP_FULL,
		.serves = config->state == BACKEND_READY && config->weight && !backend->leaving,
		.reachable = backend->reachable,
		.healthy = backend_is_healthy(backend),
		.backup = config->backup,
	};
}

static enum weir_backend_use use_of(const struct backend *backend)
{
	if (backend->in_slots)
		return WEIR_BACKEND_OPEN;
	return backend->config->state == BACKEND_DOWN ? WEIR_BACKEND_CUT : WEIR_BACKEND_NO_NEW;
}

/*
 * Notes who may get new flows. The datapath asks only if the service has affinity; then whoever begins
 * to serve has no old clients.
 */
static void note_serving(struct daemon *daemon, const struct service *service, uint32_t id,
			 bool serves)
{
	bool asked = serves && service->config->affinity.by != AFFINITY_NONE;
	struct weir_backend *entry = &daemon->tables->backends[id];

	daemon->registry.backends[id].in_slots = serves;
	entry->use = use_of(&daemon->registry.backends[id]);
	if (asked == (entry->serves_since != 0))
		return;
	datapath_store((void *)&entry->serves_since,
		       asked ? datapath_jiffies(daemon->datapath) : 0);
}

static int build_slots(struct daemon *daemon, const struct service *service,
		       const struct candidate *all, struct weir_slot **ret)
{
	_cleanup_free_ struct slot_candidate *chosen = NULL;
	size_t count = service->backend_count, next = 0;
	int length;

	chosen = calloc(count + 1, sizeof(*chosen));
	if (!chosen)
		return -ENOMEM;
	count = candidates_choose(all, count, service->config->fail_open, chosen);
	length = slots_build(service->config->scheduler, chosen, count, ret);
	for (size_t i = 0; length >= 0 && i < service->backend_count; i++) {
		bool serves = next < count && chosen[next].backend == all[i].id;

		note_serving(daemon, service, all[i].id, serves);
		next += serves;
	}
	return length;
}

/*
 * As build_slots(), where the scheduler hashes. @fingerprint: of what the live table was made of, and of
 * what this one is: with the same one nothing is built, and *ret stays NULL.
 */
static int build_hashed(struct daemon *daemon, const struct service *service,
			const struct candidate *all, uint64_t *fingerprint, struct weir_slot **ret)
{
	size_t size = maglev_size(service->config, daemon->registry.hashing_count), count;
	_cleanup_free_ struct maglev_backend *members = NULL;
	uint64_t before = *fingerprint;
	int length;

	members = calloc(service->backend_count + 1, sizeof(*members));
	if (!members)
		return -ENOMEM;
	count = candidates_members(all, service->backend_count, service->config->fail_open,
				   members);
	for (size_t i = 0; i < count; i++)
		members[i].endpoint = daemon->registry.backends[members[i].id].config->endpoint;
	*fingerprint = maglev_fingerprint(members, count, size);
	length = *fingerprint == before ? (int)service->slots.length :
					  maglev_build(members, count, size, ret);
	for (size_t i = 0, next = 0; length >= 0 && i < service->backend_count; i++) {
		bool member = next < count && members[next].id == all[i].id;

		note_serving(daemon, service, all[i].id, member && members[next].usable);
		next += member;
	}
	return length;
}

/* Builds the table and notes who stands in it. *ret NULL with a length: the live one is right. */
static int build(struct daemon *daemon, const struct service *service, uint64_t *fingerprint,
		 struct weir_slot **ret)
{
	_cleanup_free_ struct candidate *all = calloc(service->backend_count + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < service->backend_count; i++)
		all[i] = candidate_of(daemon, service, service->backends[i]);
	if (scheduler_hashes(service->config->scheduler))
		return build_hashed(daemon, service, all, fingerprint, ret);
	*fingerprint = 0;
	return build_slots(daemon, service, all, ret);
}

static bool is_live(const struct daemon *daemon, const struct service *service,
		    const struct weir_slot *slots, uint32_t length)
{
	return service->slots.length == length &&
	       (length == 0 || !memcmp(&daemon->tables->slots[service->slots.offset], slots,
				       length * sizeof(*slots)));
}

/*
 * Nobody can be reached, but somebody came just now and is being resolved: for that long those who leave
 * go on.
 */
static bool is_resolving(const struct daemon *daemon, const struct service *service)
{
	for (size_t i = 0; i < service->backend_count; i++) {
		const struct backend *backend = &daemon->registry.backends[service->backends[i]];

		if (backend->came_ms && !backend->reachable &&
		    uv_now(&daemon->loop) - backend->came_ms < RESOLVING_MS)
			return true;
	}
	return false;
}

static int publish_service_slots(struct daemon *daemon, struct service *service)
{
	uint32_t id = registry_service_id(&daemon->registry, service);
	_cleanup_free_ struct weir_slot *slots = NULL;
	uint64_t fingerprint = service->fingerprint;
	union weir_range range;
	int length, err;

	length = build(daemon, service, &fingerprint, &slots);
	if (length < 0)
		return length;
	if ((length && !slots) || is_live(daemon, service, slots, length)) {
		service->fingerprint = fingerprint;
		return 0;
	}
	if (!length && service->slots.length && is_resolving(daemon, service))
		return -EAGAIN;
	err = ranges_take(&daemon->slot_ranges, length, &daemon->grace, &range);
	if (err < 0)
		return err;
	if (length)
		memcpy(&daemon->tables->slots[range.offset], slots, length * sizeof(*slots));
	datapath_store((void *)&daemon->tables->services[id].slots.word, range.word);
	ranges_retire(&daemon->slot_ranges, service->slots, &daemon->grace);
	service->slots = range;
	service->fingerprint = fingerprint;
	return 0;
}

void publish_slots(struct daemon *daemon)
{
	struct service *again = NULL;

	while (daemon->changed && !daemon->hold_slots) {
		struct service *service = daemon->changed;
		int err;

		daemon->changed = service->next_changed;
		service->changed = false;
		err = service->used ? publish_service_slots(daemon, service) : 0;
		if (err == 0)
			continue;
		if (err != -EAGAIN && (err != -ENOSPC || !daemon->told_of_slots))
			log_error("service %s: cannot build its slots (%s): the old ones stay in "
				  "use until it can be done",
				  service->config->name, strerror(-err));
		daemon->told_of_slots |= err == -ENOSPC;
		service->next_changed = again;
		again = service;
	}
	if (!again)
		daemon->told_of_slots = false;
	/* Tried again by the next change, or when the sweep has gone round. */
	while (again) {
		struct service *service = again;

		again = service->next_changed;
		publish_mark(daemon, service);
	}
}
