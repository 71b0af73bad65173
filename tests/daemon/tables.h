/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/daemon/internal.h"

#include "tests/daemon/fixture.h"

/*
 * A daemon over tables in plain memory, with stand-ins for the datapath, the resolver, the health
 * checks and the sweep. The tables outlive a daemon, as pinned ones do.
 */
enum {
	TABLE_SERVICES = 8,
	TABLE_BACKENDS = 16,
	TABLE_SLOTS = 64,
	TABLE_SLOTS_OF_HASHING = 4 * 65537, /* if a test makes room for them */
	TABLE_LISTENERS = 32,
	TABLE_MANY_LISTENERS = 64, /* if a test makes room for them */
	TABLE_HOPS = 16,
	TABLE_SOURCES = 8,
	TABLE_GATEWAYS = 4,
	TABLE_PORT_RANGES = 16,
	TABLE_RULES = 32, /* of access lists */
	TABLE_WAYS = 32,
};

/* What lies in the datapath. */
struct memory {
	struct weir_root root;
	struct weir_runtime runtime;
	struct weir_shared shared;
	struct weir_listener listeners[TABLE_MANY_LISTENERS];
	struct weir_port_range port_ranges[TABLE_PORT_RANGES];
	struct weir_service services[TABLE_SERVICES];
	struct weir_service_name service_names[TABLE_SERVICES];
	struct weir_service_state service_state[TABLE_SERVICES];
	struct weir_slot slots[TABLE_SLOTS_OF_HASHING];
	struct weir_backend backends[TABLE_BACKENDS];
	struct weir_load loads[TABLE_BACKENDS];
	struct weir_hop hops[TABLE_HOPS];
	struct weir_address snat_addresses[TABLE_SOURCES];
	struct weir_gateway_key gateways[TABLE_GATEWAYS];
	uint16_t gateway_hops[TABLE_GATEWAYS]; /* 0: no gateway */
	struct {
		struct weir_access_key key; /* length 0: none */
		enum weir_access verdict;
	} rules[TABLE_RULES];
};

extern struct memory memory;

/* What the stand-ins were asked for, since tables_begin(). */
struct asked {
	struct weir_kill kills[8];
	unsigned int kill_count;
	unsigned int resolved;                   /* addresses that the resolver has */
	unsigned int watches;                    /* health checks that run */
	unsigned int begun;                      /* that were ever begun */
	unsigned int cleared;                    /* traffic counters */
	uint32_t kills_forgotten;                /* id whose kills were last told to be forgotten */
	union weir_range slots_before_listeners; /* of service 1, when the listeners were stored */
	uint32_t forgotten;                      /* id that the sweep was last told to forget */
	uint64_t jiffies;                        /* the time */
	int resolver_error;                      /* its answer from now on */
	struct weir_check ways[TABLE_WAYS];      /* by place; ifindex 0: nowhere */
	uint32_t attached;                       /* interface that was last attached to */
	unsigned int links;                      /* that check addresses are routed to, now */
	unsigned int links_tried;
	bool link_gone;
	int link_error;                       /* what making one comes to from now on */
	struct health_way target[TABLE_WAYS]; /* of the last check that began */
	size_t target_count;
};

extern struct asked asked;

/* Empty tables. */
void tables_clear(void);
/* An empty daemon over what is in the tables. */
void tables_begin(struct daemon *daemon);
void tables_end(struct daemon *daemon);

/* A grace period that began after now has ended. */
void tables_pass_grace(struct daemon *daemon);

/* What the resolver would tell of backend @id; @source 0: none. */
void tables_tell(struct daemon *daemon, uint32_t id, bool reachable, uint32_t source);
/* The same for every backend, all reachable. */
void tables_tell_all(struct daemon *daemon);
/* A check of backend @id has a first or another result. */
void tables_check(struct daemon *daemon, uint32_t id, enum health_state state);

/* The backends in the live slots of service @id, as letters in their order: id 1 is 'a'. */
const char *tables_live(uint32_t id, char text[TABLE_SLOTS + 1]);
/* Does service @id serve this client? As the datapath finds it: the longest rule of its list. */
bool tables_serves(uint32_t id, const char *client);
/* How many rules there are. */
unsigned int tables_rules(void);

/* Id of the service that the live listener table has at 192.0.2.1:@port; 0: none. */
uint32_t tables_listener(uint16_t port);
