// SPDX-License-Identifier: GPL-2.0-only
#include "src/datapath/records.h"

#include "src/base/address.h"

#include <netinet/in.h>
#include <string.h>

uint32_t records_count(const struct datapath_tables *tables)
{
	return tables->records[WEIR_IPV4] + tables->records[WEIR_IPV6];
}

uint32_t records_id(const struct datapath_tables *tables, uint32_t place, uint32_t most,
		    uint32_t *ret_run)
{
	uint32_t v4 = tables->records[WEIR_IPV4];
	uint32_t left = place < v4 ? v4 - place : records_count(tables) - place;

	*ret_run = left < most ? left : most;
	return place < v4 ? place : (place - v4) | WEIR_RECORD_V6;
}

const struct weir_flow *records_at(const struct datapath_tables *tables, uint32_t id)
{
	uint32_t place = id & ~WEIR_RECORD_V6;

	if (id & WEIR_RECORD_V6)
		return place < tables->records[WEIR_IPV6] ? &tables->flows6[place].flow : NULL;
	return id < tables->records[WEIR_IPV4] ? &tables->flows4[id].flow : NULL;
}

static bool is_flow(uint8_t state)
{
	return state >= WEIR_FLOW_HALF_OPEN && state <= WEIR_FLOW_KILLED;
}

static void set_ports(const struct weir_ports *ports, struct weir_tuple *tuple)
{
	tuple->source_port = ports->source;
	tuple->destination_port = ports->destination;
}

/* All but the control word. */
static void copy(const struct datapath_tables *tables, uint32_t id, struct flow_record *record)
{
	const struct weir_flow4 *flow4 = &tables->flows4[id & ~WEIR_RECORD_V6];
	const struct weir_flow6 *flow6 = &tables->flows6[id & ~WEIR_RECORD_V6];

	if (id & WEIR_RECORD_V6) {
		record->flow = flow6->flow;
		record->client.source = flow6->client.source;
		record->client.destination = flow6->client.destination;
		record->backend.source = flow6->backend.source;
		record->backend.destination = flow6->backend.destination;
	} else {
		record->flow = flow4->flow;
		record->client.source = address_from_v4(flow4->client.source);
		record->client.destination = address_from_v4(flow4->client.destination);
		record->backend.source = address_from_v4(flow4->backend.source);
		record->backend.destination = address_from_v4(flow4->backend.destination);
	}
	record->client.family = record->backend.family = id & WEIR_RECORD_V6 ? WEIR_IPV6 :
									       WEIR_IPV4;
	set_ports(&record->flow.client_ports, &record->client);
	set_ports(&record->flow.backend_ports, &record->backend);
}

bool records_read(const struct datapath_tables *tables, uint32_t id, struct flow_record *ret)
{
	const struct weir_flow *flow = records_at(tables, id);
	union weir_flow_control before, after;

	if (!flow)
		return false;
	before.word = __atomic_load_n(&flow->control.word, __ATOMIC_ACQUIRE);
	if (!is_flow(before.state))
		return false;
	memset(ret, 0, sizeof(*ret));
	copy(tables, id, ret);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	after.word = __atomic_load_n(&flow->control.word, __ATOMIC_RELAXED);
	ret->flow.control = before;
	ret->client.protocol = ret->backend.protocol = before.flags & WEIR_FLOW_UDP ? IPPROTO_UDP :
										      IPPROTO_TCP;
	return after.word == before.word;
}
