/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/wrapper.h"
#include "src/datapath/datapath.h"

/*
 * The flows of one load and the frames that belong to them. Flows come in groups, one for each number
 * of flows that is measured: group 0 may be 1 flow, group 1 another 1,000, and so on. Each kind of
 * traffic has its own tuples in the wrapper's table, in random order within each group, so that
 * neighbours in time are not neighbours in memory.
 */

#define TRAFFIC_GROUPS 4

enum traffic_kind {
	TRAFFIC_TCP_TO_BACKEND,
	TRAFFIC_TCP_TO_CLIENT,
	TRAFFIC_UDP_TO_BACKEND,
	TRAFFIC_UDP_TO_CLIENT,
	TRAFFIC_NOT_OURS, /* TCP to an address of the host that has no service */
	TRAFFIC_NO_FLOW,  /* TCP segments to the service that belong to no flow */
	TRAFFIC_TCP6_TO_CLIENT,
	TRAFFIC_DSR,  /* TCP */
	TRAFFIC_IPIP, /* TCP */
	/* Those before have tuples of their own, those behind share them. */
	TRAFFIC_YARDSTICK,       /* as TCP_TO_BACKEND, for programs that are not weir */
	TRAFFIC_YARDSTICK6,      /* the same in IPv6 */
	TRAFFIC_TCP6_TO_BACKEND, /* as TCP_TO_BACKEND */
	TRAFFIC_NOT_OURS6,       /* as NOT_OURS */
	TRAFFIC_DSR6,            /* as DSR */
	TRAFFIC_IPIP6,           /* as IPIP */
	TRAFFIC_NEW_FLOW,        /* SYNs, each from another client; belongs to no group */
	TRAFFIC_NEW_FLOW6,
	TRAFFIC_KINDS,
};

struct traffic {
	struct wrapper *wrapper;
	uint32_t group_count;
	uint32_t group_size[TRAFFIC_GROUPS];
	uint32_t group_first[TRAFFIC_GROUPS];
	uint32_t flows; /* of all groups */
	/*
	 * Whose turn is next in each group, and where its segment begins: data moves on as it would
	 * on a real connection.
	 */
	uint32_t position[TRAFFIC_KINDS][TRAFFIC_GROUPS];
	uint32_t sequence[TRAFFIC_KINDS][TRAFFIC_GROUPS];
};

/* How many tuples a wrapper needs for that many flows. */
uint32_t traffic_tuples(uint32_t flows);

void traffic_init(struct traffic *traffic, struct wrapper *wrapper, const uint32_t *group_sizes,
		  uint32_t group_count);

/* The client's tuple of flow @index, towards the service. */
struct bench_tuple traffic_client(uint32_t index);

bool traffic_is_ipv6(enum traffic_kind kind);
bool traffic_is_udp(enum traffic_kind kind);
bool traffic_is_fresh(enum traffic_kind kind); /* belongs to no group */

/* The kind of traffic, of programs that are not weir, for which the wrapper does the same work. */
enum traffic_kind traffic_wrapper(enum traffic_kind kind);

/*
 * Opens all flows of @families by sending their packets through @datapath, which is BENCH_WEIR: TCP
 * flows are established afterwards. With @udp, those of UDP in IPv4 too: they are established once
 * traffic_promote_udp() was called more than a second later.
 */
int traffic_open_flows(struct traffic *traffic, const struct datapath *datapath,
		       const bool families[WEIR_FAMILIES], bool udp, struct error *error);
int traffic_promote_udp(struct traffic *traffic, const struct datapath *datapath,
			struct error *error);

/* Sends @packets frames of @kind and @group through @target: as wrapper_run(). */
int traffic_run(struct traffic *traffic, enum traffic_kind kind, uint32_t group,
		enum bench_target target, uint32_t packets, double *ns, uint32_t *verdict);
