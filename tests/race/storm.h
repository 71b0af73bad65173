/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "tests/packet/talk.h"

/*
 * Two threads on two CPUs send packets of the same flows through the datapath, each packet chosen at
 * random, while a third walks over the records. No packet is checked against a plan, but each that
 * leaves must be, byte for byte, the one that came in as one flow translates it, and one that was
 * made for this client. When all is quiet the counts must fit the records.
 */

#define STORM_LANES 2
#define STORM_RECENT 64
#define STORM_FIRST_PORT 40000 /* of clients */
/* Flows that one client tuple can be told apart by. */
#define STORM_PAIRS 4

/* What a lane does next: a few packets of one client, in this order, if nobody else interferes. */
enum storm_act {
	ACT_SYN,
	ACT_SYN_ACK,
	ACT_ACK,
	ACT_DATA,          /* of the client */
	ACT_ANSWER,        /* of the backend */
	ACT_RESET,         /* of the client */
	ACT_REFUSE,        /* RST of the backend */
	ACT_OPEN,          /* the whole handshake */
	ACT_CLOSE,         /* the client closes first */
	ACT_BACKEND_CLOSE, /* the backend closes first */
	ACT_DATAGRAM,
	ACT_DATAGRAM_BACK,
	ACTS,
};

struct storm_plan {
	uint32_t flows;
	uint32_t half_open;
	uint32_t ids;     /* free records to work with; 0: all that there are */
	uint32_t clients; /* that come again and again; 0: each comes once */
	uint16_t first_port, last_port;
	uint32_t seconds;    /* of a normal run */
	uint32_t timeout_ms; /* of flows */
	uint32_t time_wait_ms;
	bool queues; /* of free source ports */
	bool kills;  /* flows of one client after the other are killed */
	uint8_t weights[ACTS];
};

/* A client tuple, and how the datapath translated it. */
struct storm_client {
	atomic_uint flows;              /* that may have been made */
	atomic_uint pairs[STORM_PAIRS]; /* backend id << 16 | source port, as seen */
	atomic_uint last;
};

struct storm_lane {
	struct storm *storm;
	pthread_t thread;
	int number;
	uint64_t random;
	uint64_t sent;
	uint64_t forwarded, answered, passed, dropped;
	char failure[512];
};

struct storm {
	const struct storm_plan *plan;
	struct world *world;
	struct storm_client *clients;
	uint32_t client_count;
	atomic_uint next_client;
	atomic_uint recent[STORM_RECENT];
	atomic_bool stop;
	struct storm_lane lanes[STORM_LANES];
	pthread_t sweeper;
	uint64_t walks, expired, freed, killed, established,
		quarantine; /* as the sweep saw them, all told */
	uint64_t goal;      /* packets, all told */
	uint32_t *kept_ids;
	uint32_t kept;
};

/* Runs @plan and verifies. */
void storm_run(const struct storm_plan *plan);

/* One lane, until the storm is over. */
void *storm_lane_main(void *user);
