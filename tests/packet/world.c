// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/cleanup.h"
#include "src/model/listeners.h"
#include "src/model/maglev.h"

#include "tests/packet/harness.h"
#include "tests/packet/pool.h"

#define FLOWS 1024
#define HALF_OPEN 64
#define BACKENDS 1100
#define SESSIONS 1024

/* Nothing expires unless a test wants it to. */
#define LONG_TIME_S 3600

struct weir_address mapped(uint32_t address)
{
	struct weir_address v6;

	if (frame_family() == WEIR_IPV4)
		return (struct weir_address){ { 0, 0, htonl(0xffff), htonl(address) } };
	frame_put_address((uint8_t *)&v6, address);
	return v6;
}

struct weir_service *service_of(struct world *world, uint32_t id)
{
	return &world->tables->services[id];
}

void hop_set(struct world *world, uint32_t hop, const char *interface, uint32_t address,
	     uint16_t flags)
{
	struct weir_hop *entry = &world->tables->hops[hop];
	struct mac mac = mac_of(address), own = mac_of(WEIR);

	memcpy(entry->destination.mac, mac.bytes, sizeof(mac.bytes));
	memcpy(entry->source.mac, own.bytes, sizeof(own.bytes));
	entry->destination.flags = flags;
	entry->ifindex = if_nametoindex(interface);
	entry->mtu = 1500;
}

void world_gateway(struct world *world, uint32_t address, const char *interface, uint16_t hop)
{
	struct weir_gateway_key key = { .ifindex = if_nametoindex(interface) };

	if (address)
		key.address = mapped(address);
	assert_int_equal(datapath_set_gateway(world->datapath, &key, hop), 0);
}

/* Builds all listeners anew in the half of the table that is not live, then switches. */
static void publish_listeners(struct world *world)
{
	union weir_range *live = &world->tables->root->listeners;
	union weir_range next = { .offset = live->offset ? 0 : world->tables->sizes.listeners / 2 };
	struct weir_listener *table = NULL;
	const struct weir_address echo = mapped(world->echo);
	int length = listeners_build(world->listeners, world->listener_count, &table);

	assert_true(length > 0 && (uint32_t)length <= world->tables->sizes.listeners / 2);
	next.length = (uint32_t)length;
	memcpy(&world->tables->listeners[next.offset], table, (size_t)length * sizeof(*table));
	free(table);
	for (uint32_t i = 0; i < next.length; i++) {
		struct weir_listener *place = &world->tables->listeners[next.offset + i];

		if (place->key.used && !place->key.port && !place->key.protocol &&
		    !memcmp(&place->key.address, &echo, sizeof(echo)))
			place->flags = WEIR_LISTENER_ECHO;
	}
	datapath_store((uint64_t *)&live->word, next.word);
}

void world_echo(struct world *world, uint32_t address)
{
	world->echo = address;
	publish_listeners(world);
}

uint32_t world_service(struct world *world, uint32_t id, uint32_t address, uint16_t port,
		       uint8_t protocol, uint8_t flags)
{
	uint32_t long_time = LONG_TIME_S * world->tables->runtime->hz;
	struct weir_listener *entry = &world->listeners[world->listener_count++];

	*service_of(world, id) = (struct weir_service){
		.timeouts = { long_time, long_time, long_time, long_time, long_time },
		.mode = WEIR_MODE_NAT,
		.scheduler = WEIR_SCHEDULER_RR,
		.flags = flags,
	};
	*entry = (struct weir_listener){
		.key = { .address = mapped(address), .port = htons(port), .protocol = protocol },
		.service = id,
	};
	publish_listeners(world);
	return id;
}

void world_ranges(struct world *world, uint32_t address, uint8_t protocol,
		  const struct weir_port_range *ranges, size_t count)
{
	const uint32_t offset = world->port_ranges;

	assert_true(offset + count <= world->tables->sizes.port_ranges);
	memcpy(&world->tables->port_ranges[offset], ranges, count * sizeof(*ranges));
	world->port_ranges += (uint32_t)count;
	world->listeners[world->listener_count++] = (struct weir_listener){
		.key = { .address = mapped(address), .protocol = protocol },
		.ranges = { .offset = offset, .length = (uint32_t)count },
	};
	world->tables->root->wide = 1;
	publish_listeners(world);
}

void world_access(struct world *world, uint32_t service, uint32_t list, uint32_t address,
		  uint32_t bits, enum weir_access verdict)
{
	const struct weir_access_key key = {
		.length = WEIR_ACCESS_LIST_BITS + 96 + bits,
		.list = list,
		.network = mapped(address),
	};

	assert_int_equal(datapath_put_access(world->datapath, &key, 1, verdict), 0);
	service_of(world, service)->access = list;
}

uint32_t world_backend(struct world *world, uint32_t service, uint32_t address, uint16_t port)
{
	uint32_t id = world->backends++, hop = world->hops++;

	hop_set(world, hop, "weir0", address, WEIR_HOP_VALID);
	world->tables->backends[id] = (struct weir_backend){
		.address = mapped(address),
		.snat = { .offset = 0, .length = 1 },
		.port = htons(port),
		.hop = (uint16_t)hop,
		.service = service,
	};
	return id;
}

/* As the daemon would with these backends, all of them usable. */
static int build_slots(const struct world *world, enum weir_scheduler scheduler,
		       const struct slot_candidate *candidates, size_t count,
		       struct weir_slot **ret)
{
	struct maglev_backend backends[BACKENDS];

	if (!scheduler_hashes(scheduler))
		return slots_build(scheduler, candidates, count, ret);
	for (size_t i = 0; i < count; i++) {
		const struct weir_backend *entry = &world->tables->backends[candidates[i].backend];

		backends[i] = (struct maglev_backend){
			.endpoint = { entry->address, ntohs(entry->port) },
			.id = candidates[i].backend,
			.weight = candidates[i].weight,
			.usable = true,
		};
	}
	return maglev_build(backends, count, count <= 10 ? 1021 : 8191, ret);
}

void world_slots(struct world *world, uint32_t service, enum weir_scheduler scheduler,
		 const struct slot_candidate *candidates, size_t count)
{
	struct weir_slot *slots = NULL;
	int length = build_slots(world, scheduler, candidates, count, &slots);
	union weir_range range = { .offset = world->slots, .length = (uint32_t)length };

	assert_true(length > 0 && world->slots + (uint32_t)length <= world->tables->sizes.slots);
	memcpy(&world->tables->slots[world->slots], slots, (size_t)length * sizeof(*slots));
	free(slots);
	world->slots += range.length;
	service_of(world, service)->scheduler = (uint8_t)scheduler;
	datapath_store((uint64_t *)&service_of(world, service)->slots.word, range.word);
}

void world_snat_ports(struct world *world, uint16_t first, uint16_t last)
{
	struct weir_snat_ports *table = &world->tables->snat_ports[0];

	memset(table, 0, sizeof(*table));
	for (uint32_t port = first; port <= last; port++) {
		table->port[table->count++] = (uint16_t)port;
		table->allowed[port / 64] |= 1ULL << (port % 64);
	}
}

void world_snat_addresses(struct world *world, const uint32_t *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		world->tables->snat_addresses[i] = mapped(addresses[i]);
	for (uint32_t id = 1; id < world->backends; id++)
		world->tables->backends[id].snat.length = (uint32_t)count;
}

void world_ingress(struct world *world, const char *interface)
{
	world->ingress = if_nametoindex(interface);
}

static void two_backends(struct world *world, uint32_t service, uint16_t first_port,
			 uint16_t second_port)
{
	struct slot_candidate both[2] = {
		{ world_backend(world, service, BACKEND_1, first_port), 1, 0 },
		{ world_backend(world, service, BACKEND_2, second_port), 1, 0 },
	};

	world_slots(world, service, WEIR_SCHEDULER_RR, both, 2);
}

static void configure(struct world *world)
{
	static const uint32_t snat = WEIR;
	struct weir_runtime *runtime = world->tables->runtime;

	world->backends = 1;
	world->hops = HOPS_USED;
	for (int i = 0; i < WEIR_FAMILIES; i++) {
		runtime->flows_limit[i] = world->tables->sizes.flows +
					  world->tables->sizes.flows_v6;
		runtime->udp_limit[i] = runtime->flows_limit[i];
	}
	runtime->reset_rate = runtime->icmp_rate = 1000000;
	world_ingress(world, "weir0");
	world_snat_ports(world, 1024, 32767);
	world_service(world, WEB, WEIR, 8000, PROTOCOL_TCP, 0);
	two_backends(world, WEB, 8000, 8080);
	world_service(world, DNS, WEIR, 53, PROTOCOL_UDP, 0);
	two_backends(world, DNS, 53, 5353);
	world_service(world, EMPTY_TCP, WEIR, 8001, PROTOCOL_TCP, 0);
	world_service(world, SILENT_TCP, WEIR, 8002, PROTOCOL_TCP, WEIR_SERVICE_SILENT);
	world_service(world, EMPTY_UDP, WEIR, 8001, PROTOCOL_UDP, 0);
	world_service(world, SILENT_UDP, WEIR, 8002, PROTOCOL_UDP, WEIR_SERVICE_SILENT);
	world_snat_addresses(world, &snat, 1);
	assert_int_equal(datapath_add_egress(world->datapath, if_nametoindex("weir0")), 0);
	assert_int_equal(datapath_add_egress(world->datapath, if_nametoindex("weir1")), 0);
	hop_set(world, HOP_GATEWAY, "weir0", GATEWAY, WEIR_HOP_VALID);
	hop_set(world, HOP_ON_LINK, "weir0", 0, WEIR_HOP_VALID | WEIR_HOP_ON_LINK);
	hop_set(world, HOP_FAR_GATEWAY, "weir1", FAR_GATEWAY, WEIR_HOP_VALID);
	world_gateway(world, GATEWAY, "weir0", HOP_GATEWAY);
	world_gateway(world, 0, "weir0", HOP_ON_LINK);
	world_gateway(world, FAR_GATEWAY, "weir1", HOP_FAR_GATEWAY);
}

static size_t flows_length(const struct world *world)
{
	return world->records * (frame_family() == WEIR_IPV6 ? sizeof(struct weir_flow6) :
							       sizeof(struct weir_flow4));
}

/* A mapping of our own: weir itself only reads the records. */
static void map_records(struct world *world)
{
	bool v6 = frame_family() == WEIR_IPV6;
	_cleanup_close_ int map = world_map(world, v6 ? "flows6" : "flows4");

	world->records = world->tables->records[frame_family()];
	world->first_record = v6 ? WEIR_RECORD_V6 : 0;
	world->flows = mmap(NULL, flows_length(world), PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	assert_true(world->flows != MAP_FAILED);
}

struct datapath_sizes world_sizes(uint32_t flows, uint32_t half_open)
{
	return (struct datapath_sizes){
		.flows = frame_family() == WEIR_IPV4 ? flows : 0,
		.flows_v6 = frame_family() == WEIR_IPV6 ? flows : 0,
		.half_open = half_open,
		.half_open_v6 = half_open,
		.sessions = SESSIONS,
		.services = 64,
		.backends = BACKENDS,
		.slots = 16384,
		.listeners = 256,
		.port_ranges = 1 << 16,
		.hops = BACKENDS + HOPS_USED,
		.snat_addresses = 16,
		.port_queues = 4,
	};
}

void world_use(struct world *world, struct datapath *datapath)
{
	if (world->flows)
		munmap(world->flows, flows_length(world));
	pool_give(world->datapath);
	world->datapath = datapath;
	world->tables = datapath ? datapath_tables(datapath) : NULL;
	world->flows = NULL;
	if (datapath)
		map_records(world);
}

struct world *world_of(struct datapath *datapath)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world_use(world, datapath);
	configure(world);
	return world;
}

struct world *world_open(uint32_t flows, uint32_t half_open)
{
	const struct datapath_sizes sizes = world_sizes(flows, half_open);

	return world_of(pool_take(&sizes));
}

void world_close(struct world *world)
{
	world_verify(world);
	world_verify_ids(world);
	world_use(world, NULL);
	free(world);
}

/* Not skip(): what cmocka writes then counts as failed. */
void world_skip(void **state)
{
}

int world_setup(void **state)
{
	*state = world_open(FLOWS, HALF_OPEN);
	return 0;
}

int world_teardown(void **state)
{
	world_close(*state);
	return 0;
}
