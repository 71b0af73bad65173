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
#define SERVICE 1
#define GATEWAY_HOP (BACKENDS + 1)

/* Source ports towards the backends: all but the host's ephemeral ones, as by default. */
#define PORT_FIRST 1024
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

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

static void fill_backends(const struct datapath_tables *tables)
{
	union weir_range snat = { .length = tables->sizes.snat_addresses };

	for (uint32_t i = 0; i < snat.length; i++)
		tables->snat_addresses[i] = address_from_v4(htonl(0xc0a8b20a + i));
	for (uint32_t id = 1; id <= BACKENDS; id++) {
		tables->backends[id] = (struct weir_backend){
			.address = address_from_v4(htonl(0xc0a8b20a + 100 + id)),
			.snat = snat,
			.port = htons(80),
			.hop = (uint16_t)id,
			.service = SERVICE,
		};
		tables->slots[id - 1] = (struct weir_slot){ .backend = id, .weight = 1 };
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

static void fill_runtime(struct weir_runtime *runtime, uint32_t flows)
{
	/* No limit that a bench would run into: each segment without a flow is answered. */
	runtime->reset_rate = UINT32_MAX;
	runtime->icmp_rate = UINT32_MAX;
	runtime->flows_limit[WEIR_IPV4] = flows;
	runtime->udp_limit[WEIR_IPV4] = flows;
}

static int publish_service(const struct datapath_tables *tables)
{
	struct weir_service *service = &tables->services[SERVICE];
	union weir_range slots = { .length = BACKENDS };
	_cleanup_free_ struct weir_listener *places = NULL;
	struct weir_listener entries[2] = {};
	union weir_range listeners = {};
	int count;

	service->mode = WEIR_MODE_NAT;
	service->scheduler = WEIR_SCHEDULER_RR;
	service->timeouts = (struct weir_timeouts){ 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20 };
	datapath_store((void *)&service->slots.word, slots.word);

	for (int i = 0; i < 2; i++) {
		address_parse(BALANCER_SERVICE, &entries[i].key.address);
		entries[i].key.port = htons(BALANCER_PORT);
		entries[i].key.protocol = i ? IPPROTO_UDP : IPPROTO_TCP;
		entries[i].service = SERVICE;
	}
	count = listeners_build(entries, 2, &places);
	if (count < 0)
		return count;
	if ((uint32_t)count > tables->sizes.listeners)
		return -E2BIG;
	memcpy(tables->listeners, places, (size_t)count * sizeof(*places));
	listeners.length = (uint32_t)count;
	datapath_store((void *)&tables->root->listeners.word, listeners.word);
	return 0;
}

int balancer_open(const struct balancer_sizes *sizes, uint32_t ifindex, struct datapath **ret,
		  struct error *error)
{
	const struct datapath_sizes all = {
		.flows = sizes->flows,
		.half_open = sizes->half_open,
		.services = 16,
		.backends = BACKENDS + 1,
		.slots = 16,
		.listeners = 64,
		.hops = GATEWAY_HOP + 1,
		.snat_addresses = sizes->snat_addresses,
		.port_queues = 1,
	};
	struct weir_gateway_key gateway = { .ifindex = ifindex };
	const struct datapath_tables *tables;
	struct datapath *datapath;
	int r;

	r = datapath_open(&all, NULL, &datapath, NULL, error);
	if (r)
		return r;
	tables = datapath_tables(datapath);
	fill_hops(tables, ifindex);
	fill_backends(tables);
	fill_snat_ports(&tables->snat_ports[0]);
	fill_runtime(tables->runtime, sizes->flows);
	address_parse(WORLD_GATEWAY, &gateway.address);
	r = datapath_set_gateway(datapath, &gateway, GATEWAY_HOP);
	if (!r)
		r = publish_service(tables);
	if (r) {
		datapath_close(datapath);
		return error_set(error, r, "cannot fill the tables: %s", strerror(-r));
	}
	*ret = datapath;
	return 0;
}

int balancer_program(const struct datapath *datapath, struct balancer_program *ret)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int r = bpf_obj_get_info_by_fd(datapath_xdp_fd(datapath), &info, &size);

	if (r)
		return r;
	*ret = (struct balancer_program){ info.verified_insns, info.jited_prog_len };
	return 0;
}
