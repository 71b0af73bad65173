// SPDX-License-Identifier: GPL-2.0-only
#include "bench/balancer.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "bench/world.h"
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/model/listeners.h"

#define BACKENDS 10
#define SERVICES 6
#define HOST 0xc0a8b20au /* BALANCER_SERVICE */
#define GATEWAY_HOP (BACKENDS + 1)

/* Source ports towards the backends: all but the host's ephemeral ones, as by default. */
#define PORT_FIRST 1024
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

/* By service id, from 1 on. */
static const struct balanced {
	uint16_t port;
	enum weir_mode mode;
	bool ipv6;
} balanced[SERVICES + 1] = {
	{},
	{ BALANCER_PORT, WEIR_MODE_NAT, false },
	{ BALANCER_PORT, WEIR_MODE_NAT, true },
	{ BALANCER_PORT_DSR, WEIR_MODE_DSR, false },
	{ BALANCER_PORT_DSR, WEIR_MODE_DSR, true },
	{ BALANCER_PORT_IPIP, WEIR_MODE_IPIP, false },
	{ BALANCER_PORT_IPIP, WEIR_MODE_IPIP, true },
};

static void fill_hops(const struct datapath_tables *tables, uint32_t ifindex)
{
	for (uint16_t id = 1; id <= GATEWAY_HOP; id++) {
		struct weir_hop *hop = &tables->hops[id];

		hop->ifindex = ifindex;
		hop->mtu = 1500;
		hop->source = (union weir_hop_address){ .mac = { 2, 0, 0, 0, 1, 0 } };
		hop->destination = (union weir_hop_address){
			.mac = { 2, 0, 0, 0, 0, (uint8_t)id },
			.flags = WEIR_HOP_VALID,
		};
	}
}

static struct weir_address local_address(bool ipv6, uint32_t last)
{
	struct weir_address address;

	if (!ipv6)
		return address_from_v4(htonl(last));
	address_parse(WORLD_PREFIX6, &address);
	address.word[3] = htonl(last);
	return address;
}

/* Those of service @id, in the places and with the ids that belong to it alone. */
static void fill_backends(const struct datapath_tables *tables, uint32_t id)
{
	const struct balanced *service = &balanced[id];
	uint32_t first = (id - 1) * BACKENDS;
	union weir_range snat = { .length = tables->sizes.snat_addresses / WEIR_FAMILIES };

	if (service->ipv6)
		snat.offset = snat.length;
	for (uint32_t i = 0; i < snat.length; i++)
		tables->snat_addresses[snat.offset + i] = local_address(service->ipv6, HOST + i);
	for (uint32_t i = 1; i <= BACKENDS; i++) {
		tables->backends[first + i] = (struct weir_backend){
			.address = local_address(service->ipv6, HOST + 100 + i),
			.snat = snat,
			.port = service->mode == WEIR_MODE_NAT ? htons(80) : 0,
			.hop = (uint16_t)i,
			.service = id,
		};
		tables->slots[first + i - 1] = (struct weir_slot){ .backend = first + i,
								   .weight = 1 };
	}
}

static void fill_snat_ports(struct weir_snat_ports *ports)
{
	uint32_t random = 1;

	for (uint32_t port = PORT_FIRST; port < 65536; port++) {
		uint32_t place;

		if (port >= EPHEMERAL_FIRST && port <= EPHEMERAL_LAST)
			continue;
		random = random * 1664525 + 1013904223;
		place = (uint64_t)random * (ports->count + 1) >> 32;
		ports->port[ports->count++] = ports->port[place];
		ports->port[place] = (uint16_t)port;
		ports->allowed[port / 64] |= 1ULL << (port % 64);
	}
}

static void fill_runtime(struct weir_runtime *runtime, const struct balancer_sizes *sizes)
{
	/* No limit that a bench would run into: each segment without a flow is answered. */
	runtime->reset_rate = UINT32_MAX;
	runtime->icmp_rate = UINT32_MAX;
	runtime->flows_limit[WEIR_IPV4] = sizes->flows;
	runtime->udp_limit[WEIR_IPV4] = sizes->flows;
	runtime->flows_limit[WEIR_IPV6] = sizes->flows_v6;
}

static int publish_listeners(const struct datapath_tables *tables)
{
	struct weir_listener entries[2 * SERVICES] = {}, *entry = entries;
	_cleanup_free_ struct weir_listener *places = NULL;
	union weir_range listeners = {};
	int count;

	for (uint32_t id = 1; id <= SERVICES; id++)
		for (int udp = 0; udp < 2; udp++, entry++) {
			entry->key.address = local_address(balanced[id].ipv6, HOST);
			entry->key.port = htons(balanced[id].port);
			entry->key.protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
			entry->service = id;
		}
	count = listeners_build(entries, 2 * SERVICES, &places);
	if (count < 0)
		return count;
	if ((uint32_t)count > tables->sizes.listeners)
		return -E2BIG;
	memcpy(tables->listeners, places, (size_t)count * sizeof(*places));
	listeners.length = (uint32_t)count;
	datapath_store((void *)&tables->root->listeners.word, listeners.word);
	return 0;
}

static int publish_services(const struct datapath_tables *tables)
{
	for (uint32_t id = 1; id <= SERVICES; id++) {
		struct weir_service *service = &tables->services[id];
		union weir_range slots = { .offset = (id - 1) * BACKENDS, .length = BACKENDS };

		fill_backends(tables, id);
		service->mode = (uint8_t)balanced[id].mode;
		service->scheduler = WEIR_SCHEDULER_RR;
		service->timeouts = (struct weir_timeouts){ 1 << 20, 1 << 20, 1 << 20, 1 << 20,
							    1 << 20 };
		datapath_store((void *)&service->slots.word, slots.word);
	}
	return publish_listeners(tables);
}

/* The same gateway for the clients of both families. */
static int set_gateways(struct datapath *datapath, uint32_t ifindex)
{
	struct weir_gateway_key gateway = { .ifindex = ifindex };
	int r;

	address_parse(WORLD_GATEWAY, &gateway.address);
	r = datapath_set_gateway(datapath, &gateway, GATEWAY_HOP);
	if (r)
		return r;
	address_parse(WORLD_GATEWAY6, &gateway.address);
	return datapath_set_gateway(datapath, &gateway, GATEWAY_HOP);
}

int balancer_open(const struct balancer_sizes *sizes, uint32_t ifindex, struct datapath **ret,
		  struct error *error)
{
	const struct datapath_sizes all = {
		.flows = sizes->flows,
		.half_open = sizes->half_open,
		.flows_v6 = sizes->flows_v6,
		.half_open_v6 = sizes->half_open_v6,
		.sessions = sizes->sessions,
		.services = 16,
		.backends = SERVICES * BACKENDS + 1,
		.slots = SERVICES * BACKENDS,
		.listeners = 64,
		.hops = GATEWAY_HOP + 1,
		.snat_addresses = WEIR_FAMILIES * sizes->snat_addresses,
		.port_queues = 1,
	};
	const struct datapath_tables *tables;
	struct datapath *datapath;
	int r;

	r = datapath_open(&all, NULL, &datapath, NULL, error);
	if (r)
		return r;
	tables = datapath_tables(datapath);
	fill_hops(tables, ifindex);
	fill_snat_ports(&tables->snat_ports[0]);
	fill_runtime(tables->runtime, sizes);
	r = set_gateways(datapath, ifindex);
	if (!r)
		r = publish_services(tables);
	if (r) {
		datapath_close(datapath);
		return error_set(error, r, "cannot fill the tables: %s", strerror(-r));
	}
	*ret = datapath;
	return 0;
}

int balancer_slow_fd(const struct datapath *datapath)
{
	int table = datapath_map_fd(datapath, "slow_programs");
	uint32_t key = 0, id;
	int r;

	r = table < 0 ? table : bpf_map_lookup_elem(table, &key, &id);
	return r ? r : bpf_prog_get_fd_by_id(id);
}
