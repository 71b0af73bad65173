/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/datapath/datapath.h"

/*
 * The records of flows, of both families. For walks they have places, those of IPv4 first; the datapath
 * knows a record by its id (abi/flow.h).
 */

/* A flow as it was at one moment, addresses in one form for both families. */
struct flow_record {
	struct weir_flow flow;
	struct weir_tuple client;  /* client -> service address */
	struct weir_tuple backend; /* backend -> SNAT address */
};

/* How many places there are. */
uint32_t records_count(const struct datapath_tables *tables);

/* The id of the record at @place; *ret_run: how many ids from it on lie behind each other, at most @most. */
uint32_t records_id(const struct datapath_tables *tables, uint32_t place, uint32_t most,
		    uint32_t *ret_run);

/* NULL: there is no such record. */
const struct weir_flow *records_at(const struct datapath_tables *tables, uint32_t id);

/*
 * Reads a record. False: it is no flow, or another one than before by the time that it was read. FREE,
 * QUARANTINE, DEAD and LIMBO are no flows.
 */
bool records_read(const struct datapath_tables *tables, uint32_t id, struct flow_record *ret);
