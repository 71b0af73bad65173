// SPDX-License-Identifier: GPL-2.0-only
#include "tests/daemon/tables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/address.h"
#include "src/daemon/kill.h"

struct memory memory;
struct asked asked;

static struct weir_audit audits[TABLE_BACKENDS];
static struct datapath_tables tables = {
	.root = &memory.root,
	.runtime = &memory.runtime,
	.listeners = memory.listeners,
	.port_ranges = memory.port_ranges,
	.services = memory.services,
	.service_names = memory.service_names,
	.service_state = memory.service_state,
	.slots = memory.slots,
	.backends = memory.backends,
	.loads = memory.loads,
	.audits = audits,
	.hops = memory.hops,
	.snat_addresses = memory.snat_addresses,
	.shared = &memory.shared,
	.sizes = {
		.flows = 1 << 20,
		.flows_v6 = 1 << 18,
		.half_open = 65536,
		.services = TABLE_SERVICES,
		.backends = TABLE_BACKENDS,
		.slots = TABLE_SLOTS,
		.listeners = TABLE_LISTENERS,
		.port_ranges = TABLE_PORT_RANGES,
		.hops = TABLE_HOPS,
		.snat_addresses = TABLE_SOURCES,
	},
};

static const struct daemon_options options = { .state_path = "/run/weir/weir.state" };

void datapath_store(uint64_t *word, uint64_t value)
{
	assert_int_equal((uintptr_t)word % sizeof(*word), 0);
	if (word == (void *)&memory.root.listeners.word)
		asked.slots_before_listeners = memory.services[1].slots;
	*word = value;
}

uint64_t datapath_jiffies(struct datapath *datapath)
{
	return asked.jiffies;
}

uint32_t datapath_hz(const struct datapath *datapath)
{
	return 250;
}

int datapath_clear_traffic(struct datapath *datapath, uint32_t backend)
{
	asked.cleared++;
	return 0;
}

int datapath_list_gateways(struct datapath *datapath,
			   void (*tell)(const struct weir_gateway_key *key, uint16_t hop,
					void *user),
			   void *user)
{
	for (size_t i = 0; i < TABLE_GATEWAYS; i++)
		if (memory.gateway_hops[i])
			tell(&memory.gateways[i], memory.gateway_hops[i], user);
	return 0;
}

static long find_rule(const struct weir_access_key *key)
{
	for (size_t i = 0; i < TABLE_RULES; i++)
		if (!memcmp(&memory.rules[i].key, key, sizeof(*key)))
			return (long)i;
	return -1;
}

int datapath_put_access(struct datapath *datapath, const struct weir_access_key *keys, size_t count,
			enum weir_access verdict)
{
	static const struct weir_access_key none;

	for (size_t i = 0; i < count; i++) {
		long at = find_rule(&keys[i]);

		at = at < 0 ? find_rule(&none) : at;
		if (at < 0)
			return -ENOSPC;
		memory.rules[at].key = keys[i];
		memory.rules[at].verdict = verdict;
	}
	return 0;
}

int datapath_remove_access(struct datapath *datapath, const struct weir_access_key *keys,
			   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const long at = find_rule(&keys[i]);

		if (at >= 0)
			memset(&memory.rules[at], 0, sizeof(memory.rules[at]));
	}
	return 0;
}

int datapath_list_access(struct datapath *datapath,
			 void (*tell)(const struct weir_access_key *key, void *user), void *user)
{
	for (size_t i = 0; i < TABLE_RULES; i++)
		if (memory.rules[i].key.length)
			tell(&memory.rules[i].key, user);
	return 0;
}

unsigned int tables_rules(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < TABLE_RULES; i++)
		count += memory.rules[i].key.length != 0;
	return count;
}

static bool rule_takes(const struct weir_access_key *rule, const struct weir_address *client)
{
	const uint8_t *a = (const void *)&rule->network, *b = (const void *)client;

	for (unsigned int bit = 0; bit < rule->length - WEIR_ACCESS_LIST_BITS; bit++)
		if ((a[bit / 8] ^ b[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

bool tables_serves(uint32_t id, const char *client)
{
	const uint32_t list = memory.services[id].access;
	struct weir_address address;
	long best = -1;

	assert_int_equal(address_parse(client, &address), 0);
	if (!list)
		return true;
	for (long i = 0; i < TABLE_RULES; i++)
		if (memory.rules[i].key.length && memory.rules[i].key.list == list &&
		    rule_takes(&memory.rules[i].key, &address) &&
		    (best < 0 || memory.rules[i].key.length > memory.rules[best].key.length))
			best = i;
	return best >= 0 && memory.rules[best].verdict == WEIR_ACCESS_ALLOW;
}

void kill_flows(struct daemon *daemon, const struct weir_kill *filter)
{
	assert_true(asked.kill_count < COUNT(asked.kills));
	asked.kills[asked.kill_count++] = *filter;
}

void kill_forget_backend(struct daemon *daemon, uint32_t id)
{
	asked.kills_forgotten = id;
}

void sweep_forget_backend(struct daemon *daemon, uint32_t id)
{
	asked.forgotten = id;
}

/* The periods of src/daemon/grace.c, which pass when the test says so. */
uint64_t grace_ticket(const struct grace *grace)
{
	return grace->begun + 1;
}

bool grace_over(const struct grace *grace, uint64_t ticket)
{
	return grace->ended >= ticket;
}

void tables_pass_grace(struct daemon *daemon)
{
	daemon->grace.ended = ++daemon->grace.begun;
}

/* Added twice is one target. */
static struct weir_address targets[TABLE_BACKENDS];

static unsigned int find_target(const struct weir_address *address)
{
	unsigned int i = 0;

	while (i < asked.resolved && !address_equal(&targets[i], address))
		i++;
	return i;
}

int resolver_add(struct resolver *resolver, const struct weir_address *address)
{
	unsigned int i = find_target(address);

	if (asked.resolver_error)
		return asked.resolver_error;
	assert_true(i < COUNT(targets));
	targets[i] = *address;
	asked.resolved += i == asked.resolved;
	return 0;
}

int resolver_remove(struct resolver *resolver, const struct weir_address *address)
{
	unsigned int i = find_target(address);

	if (i == asked.resolved)
		return -ENOENT;
	targets[i] = targets[--asked.resolved];
	return 0;
}

struct health_watch {
	struct health_report report;
	void *user;
};

static health_changed_fn health_changed;
static void *health_user;

int health_new(uv_loop_t *loop, health_changed_fn changed, void *user, struct health **ret,
	       struct error *error)
{
	health_changed = changed;
	health_user = user;
	*ret = NULL;
	return 0;
}

void health_free(struct health *health)
{
}

int health_watch(struct health *health, const struct health_target *target,
		 const struct config_health *config, enum health_state initial, void *user,
		 struct health_watch **ret, struct error *error)
{
	assert_true(target->way_count < TABLE_WAYS);
	for (size_t i = 0; i < target->way_count; i++)
		asked.target[i] = target->ways[i];
	asked.target_count = target->way_count;
	*ret = calloc(1, sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->report.state = initial;
	(*ret)->user = user;
	asked.watches++;
	asked.begun++;
	return 0;
}

void health_unwatch(struct health_watch *watch)
{
	asked.watches -= !!watch;
	free(watch);
}

const struct health_report *health_report(const struct health_watch *watch)
{
	return &watch->report;
}

void *health_watch_user(const struct health_watch *watch)
{
	return watch->user;
}

bool health_same_check(const struct config_health *a, const struct config_health *b)
{
	return a->type == b->type && a->interval == b->interval;
}

void tables_check(struct daemon *daemon, uint32_t id, enum health_state state)
{
	struct health_watch *watch = daemon->registry.backends[id].watch;

	assert_non_null(watch);
	watch->report.state = state;
	health_changed(watch, health_user);
}

int check_link_make(const char *name, struct check_link *ret, struct error *error)
{
	asked.links_tried++;
	if (asked.link_error)
		return error_set(error, asked.link_error, "no interface for checks");
	asked.links++;
	*ret = (struct check_link){ .ifindex = 7, .has_v6 = true };
	return 0;
}

bool check_link_stands(const struct check_link *link)
{
	return !asked.link_gone;
}

int check_link_remove(const char *name)
{
	int removed = asked.links > 0;

	asked.links = 0;
	return removed;
}

struct weir_address check_link_address(const struct check_link *link, uint32_t place,
				       const struct weir_address *service)
{
	assert_int_equal(link->ifindex, 7);
	return address_from_v4(htonl(place));
}

int check_path_open(uint32_t owner, struct check_path **ret, struct error *error)
{
	assert_int_not_equal(owner, 0);
	*ret = (void *)&memory; /* only its existence counts */
	return 0;
}

void check_path_close(struct check_path *path)
{
}

int check_path_attach(struct check_path *path, uint32_t ifindex, enum check_side side,
		      struct error *error)
{
	asked.attached = ifindex;
	return 0;
}

bool check_path_remove_filter(uint32_t owner, uint32_t ifindex)
{
	return false;
}

int check_path_set(struct check_path *path, uint32_t place, const struct weir_check *way)
{
	assert_true(place < TABLE_WAYS);
	asked.ways[place] = way ? *way : (struct weir_check){};
	return 0;
}

void tables_clear(void)
{
	memset(&memory, 0, sizeof(memory));
}

void tables_begin(struct daemon *daemon)
{
	struct error error;

	memset(daemon, 0, sizeof(*daemon));
	memset(&asked, 0, sizeof(asked));
	assert_int_equal(uv_loop_init(&daemon->loop), 0);
	daemon->tables = &tables;
	daemon->options = &options;
	daemon->resolver = (void *)&memory; /* only its existence counts */
	daemon->ready = true;
	assert_int_equal(registry_init(&daemon->registry, &tables.sizes), 0);
	assert_int_equal(hops_init(&daemon->hops, TABLE_HOPS), 0);
	assert_int_equal(snat_pool_init(&daemon->snat_pool, memory.snat_addresses, TABLE_SOURCES,
					&daemon->grace),
			 0);
	assert_int_equal(ranges_init(&daemon->slot_ranges, TABLE_SLOTS), 0);
	assert_int_equal(ranges_init(&daemon->listener_ranges, TABLE_LISTENERS), 0);
	assert_int_equal(ranges_init(&daemon->port_range_ranges, TABLE_PORT_RANGES), 0);
	access_init(&daemon->access);
	assert_int_equal(checks_start(daemon, &error), 0);
}

void tables_end(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++)
		health_unwatch(daemon->registry.backends[id].watch);
	checks_stop(daemon);
	uv_close((uv_handle_t *)&daemon->ramp, NULL);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&daemon->loop), 0);
	snat_pool_free(&daemon->snat_pool);
	hops_free(&daemon->hops);
	registry_free(&daemon->registry);
	ranges_free(&daemon->slot_ranges);
	ranges_free(&daemon->listener_ranges);
	ranges_free(&daemon->port_range_ranges);
	access_free(&daemon->access);
	assert_int_equal(asked.links, 0);
	for (size_t i = 0; i < COUNT(asked.ways); i++)
		assert_int_equal(asked.ways[i].ifindex, 0);
}

void tables_tell(struct daemon *daemon, uint32_t id, bool reachable, uint32_t source)
{
	uint16_t hop_id = daemon->registry.backends[id].hop;
	struct hop *hop = &daemon->hops.entries[hop_id];

	hop->known = true;
	hop->state = (struct resolver_hop){
		.reachable = reachable,
		.ifindex = 2,
		.device = 2,
		.mtu = 1500,
		.mac = { 2, 0, 0, 0, 0, id },
		.source_mac = { 2, 0, 0, 0, 1, 0 },
		.source = address_from_v4(htonl(source)),
	};
	if (!source)
		hop->state.source = (struct weir_address){ 0 };
	hop_write(&memory.hops[hop_id], &hop->state);
	publish_hop(daemon, hop);
	publish_slots(daemon);
}

void tables_tell_all(struct daemon *daemon)
{
	for (uint32_t id = 1; id <= daemon->registry.last_backend; id++)
		if (daemon->registry.backends[id].used)
			tables_tell(daemon, id, true, 100);
}

const char *tables_live(uint32_t id, char text[TABLE_SLOTS + 1])
{
	const union weir_range *range = &memory.services[id].slots;
	uint32_t i;

	assert_true(range->offset + range->length <= TABLE_SLOTS);
	for (i = 0; i < range->length; i++)
		text[i] = 'a' - 1 + memory.slots[range->offset + i].backend;
	text[i] = '\0';
	return text;
}

uint32_t tables_listener(uint16_t port)
{
	const union weir_range *range = &memory.root.listeners;

	assert_true(range->offset + range->length <= TABLE_LISTENERS);
	for (uint32_t i = 0; i < range->length; i++) {
		const struct weir_listener *place = &memory.listeners[range->offset + i];

		if (place->key.used && place->key.port == htons(port))
			return place->service;
	}
	return 0;
}
