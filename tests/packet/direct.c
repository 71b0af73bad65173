// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/direct.h"

#include <arpa/inet.h>
#include <string.h>

#include "abi/hash.h"

enum { IPIP = 4, IP6IP6 = 41, OUTER_TTL = 64, TAG_LENGTH = 4 };

static void serve(struct world *world, enum weir_mode mode, enum weir_scheduler scheduler,
		  const uint32_t *addresses, size_t count)
{
	const uint8_t protocols[] = { PROTOCOL_TCP, PROTOCOL_UDP };
	const uint32_t snat = WEIR;

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t service = world_service(world, DIRECT + i, WEIR, DIRECT_PORT, protocols[i],
						 WEIR_SERVICE_OUTER_FIXED);
		struct slot_candidate all[2];

		for (size_t j = 0; j < count; j++)
			all[j] = (struct slot_candidate){
				world_backend(world, service, addresses[j], DIRECT_PORT), 1, 0
			};
		service_of(world, service)->mode = (uint8_t)mode;
		world_slots(world, service, scheduler, all, count);
	}
	world_snat_addresses(world, &snat, 1);
}

void direct_serve(struct world *world, enum weir_mode mode, enum weir_scheduler scheduler)
{
	const uint32_t both[] = { BACKEND_1, BACKEND_2 };

	serve(world, mode, scheduler, both, 2);
}

void direct_serve_one(struct world *world, enum weir_mode mode, uint32_t backend,
		      const struct weir_address *address)
{
	serve(world, mode, WEIR_SCHEDULER_HASH, &backend, 1);
	for (uint32_t id = 1; id < world->backends; id++)
		if (world->tables->backends[id].service == DIRECT ||
		    world->tables->backends[id].service == DATAGRAMS)
			world->tables->backends[id].address = *address;
}

struct weir_tuple tuple_of(const struct segment *segment)
{
	return (struct weir_tuple){
		.source = mapped(segment->source),
		.destination = mapped(segment->destination),
		.source_port = htons(segment->source_port),
		.destination_port = htons(segment->destination_port),
		.protocol = segment->protocol,
		.family = frame_family(),
	};
}

struct frame routed(const struct segment *in, uint32_t backend)
{
	struct segment out = *in;

	out.to = mac_of(backend);
	out.from = mac_of(WEIR);
	out.ttl--;
	return frame_of(&out);
}

static bool is_v4(const struct weir_address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == htonl(0xffff);
}

/* What the packet at @ip says of itself. */
static size_t packet_length(const uint8_t *ip)
{
	return ip[0] >> 4 == 6 ? 40 + (size_t)get16(ip + 4) : get16(ip + 2);
}

static uint8_t traffic_class(const uint8_t *ip)
{
	return ip[0] >> 4 == 6 ? (uint8_t)(get16(ip) >> 4) : ip[1];
}

static void put_outer4(uint8_t *ip, const uint8_t *inner, const struct outer *outer)
{
	ip[0] = 0x45;
	ip[1] = traffic_class(inner);
	put16(ip + 2, (uint16_t)(20 + packet_length(inner)));
	put16(ip + 4, outer->id);
	put16(ip + 6, outer->clear_df ? 0 : 0x4000);
	ip[8] = OUTER_TTL;
	ip[9] = inner[0] >> 4 == 6 ? IP6IP6 : IPIP;
	memcpy(ip + 12, &outer->source.word[3], 4);
	memcpy(ip + 16, &outer->destination.word[3], 4);
	put16(ip + 10, slow_checksum(ip, 20));
}

static void put_outer6(uint8_t *ip, const uint8_t *inner, const struct outer *outer, uint32_t label)
{
	put32(ip, 6U << 28 | (uint32_t)traffic_class(inner) << 20 | (label & 0xfffff));
	put16(ip + 4, (uint16_t)packet_length(inner));
	ip[6] = inner[0] >> 4 == 6 ? IP6IP6 : IPIP;
	ip[7] = OUTER_TTL;
	memcpy(ip + 8, &outer->source, 16);
	memcpy(ip + 24, &outer->destination, 16);
}

struct frame encapsulated(const struct frame *inner, size_t tags, const struct outer *outer,
			  uint32_t label)
{
	size_t l3 = ETHERNET_LENGTH + TAG_LENGTH * tags;
	size_t room = is_v4(&outer->destination) ? 20 : 40;
	struct frame out = *inner;
	uint8_t *ip = out.bytes + l3;

	out.length += room;
	memmove(ip + room, inner->bytes + l3, inner->length - l3);
	memset(ip, 0, room);
	if (room == 20)
		put_outer4(ip, ip + room, outer);
	else
		put_outer6(ip, ip + room, outer, label);
	put16(ip - 2, room == 20 ? 0x0800 : 0x86dd);
	return out;
}

struct frame direct_expected(const struct world *world, const struct segment *in, uint32_t backend)
{
	const struct outer outer = { mapped(WEIR), mapped(backend), false, 0 };
	const struct weir_tuple tuple = tuple_of(in);
	struct frame frame = routed(in, backend);

	if (world->tables->services[DIRECT].mode != WEIR_MODE_IPIP)
		return frame;
	return encapsulated(&frame, in->tags, &outer, world_hash(world, &tuple));
}
