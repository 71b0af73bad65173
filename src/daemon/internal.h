/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "src/control/server.h"
#include "src/daemon/audit.h"
#include "src/daemon/daemon.h"
#include "src/daemon/grace.h"
#include "src/daemon/hops.h"
#include "src/daemon/horizon.h"
#include "src/daemon/refusals.h"
#include "src/daemon/registry.h"
#include "src/daemon/restore.h"
#include "src/daemon/shortage.h"
#include "src/daemon/silence.h"
#include "src/daemon/snat_pool.h"
#include "src/datapath/datapath.h"
#include "src/netlink/resolver.h"

/* An interface of the configuration, as it is now. */
struct interface {
	const struct config_interface *config;
	uint32_t ifindex; /* 0: it vanished */
	uint16_t hop;     /* id of the on-link hop */
	bool attached;
	bool native;
	bool up;
	char driver[32];
};

/* Source ports: what the host leaves to weir, looked at again every few seconds. */
struct snat_ports {
	uv_timer_t timer;
	uv_work_t work;
	struct grace_waiter waiter;
	struct error error;
	uint64_t used[1024];
	int status;
	uint32_t count; /* ports in the live table */
	bool working;
	bool spare_busy; /* the table that is not live may still be read */
	bool told;       /* that it cannot be told which ports are free */
};

struct sweep {
	uv_timer_t timer;
	struct grace_waiter waiter;
	struct audit_memory *memory; /* indexed by backend id */
	struct silence *silences;    /* the same */
	double *fade_rest;           /* the same: parts of a refusal that have faded */
	struct refusals *refusals;   /* indexed by service id */
	struct shortage shortage;
	uint32_t listened; /* id of the backend that was last listened to */
	struct horizon horizon;
	uint32_t next;           /* record that the next chunk begins with */
	uint32_t quarantine;     /* records that were in it in the last walk */
	uint32_t quarantine_now; /* the same, of the walk under way */
	uint64_t walk_began_ms;
	uint64_t walk_ended_ms;
	bool told; /* that the sweep fails */
};

struct tracer;

struct trace {
	uv_poll_t poll;
	struct tracer *tracers;
	bool open;
};

struct daemon {
	const struct config *config;
	const struct daemon_options *options;
	uv_loop_t loop;
	uv_signal_t signals[3];
	uv_timer_t first_resolution;
	struct control_server *control;
	struct datapath *datapath;
	const struct datapath_tables *tables;
	struct resolver *resolver;
	uv_poll_t *resolver_poll;
	struct grace grace;
	struct registry registry;
	struct service *changed; /* services whose slots must be built again */
	struct hops hops;
	uint32_t gateways_seen;
	struct snat_pool snat_pool;
	union weir_range snat_fixed; /* the configured SNAT addresses; length 0: by route */
	struct snat_ports snat_ports;
	struct interface *interfaces; /* config->interface_count of them */
	bool *snat_here;              /* which of the configured SNAT addresses this host has */
	struct restore restore;
	struct sweep sweep;
	struct trace trace;
	uint64_t started_ms;
	bool ready;   /* "weir: ready" was said: log transitions */
	bool waiting; /* for the first resolution */
	bool stopping;
	int status; /* exit status */
};

/* daemon.c: ends the loop; the tear-down follows. */
void daemon_stop(struct daemon *daemon, int status);

/* interfaces.c */
int interfaces_find(struct daemon *daemon, struct error *error);
struct interface *interfaces_by_index(const struct daemon *daemon, uint32_t ifindex);
/* Publishes the on-link hop of each interface. */
int interfaces_publish(struct daemon *daemon, struct error *error);
int interfaces_attach(struct daemon *daemon, struct error *error);
void interfaces_detach(struct daemon *daemon);
/* What the resolver tells, and what must wait until it has returned. */
void interfaces_link_event(struct daemon *daemon, const char *name, uint32_t ifindex, bool up);
void interfaces_source_mac(struct daemon *daemon, uint32_t ifindex, const uint8_t mac[6]);
void interfaces_settle(struct daemon *daemon);

/* forwarding.c: the sysctl net.ipv4.conf.IF.forwarding, and the state file that remembers it. */
/* Takes over what a killed daemon left (*killed: there was one), and makes our own state file. */
int forwarding_adopt(struct daemon *daemon, bool *killed, struct error *error);
int forwarding_set(struct daemon *daemon, const struct interface *interface, struct error *error);
void forwarding_event(struct daemon *daemon, uint32_t ifindex, bool on);
void forwarding_vanished(struct daemon *daemon, const struct interface *interface);
void forwarding_restore(struct daemon *daemon);

/* network.c: the resolver and its events. */
int network_start(struct daemon *daemon, struct error *error);
void network_stop(struct daemon *daemon);
/* Says for each backend whether it is ready, and logs from then on what changes. */
void network_log_all(struct daemon *daemon);
/* Every backend can be reached, or never will. */
bool network_is_resolved(const struct daemon *daemon);

/* What the resolver tells of a hop, under its id here. */
void network_take_hop(struct daemon *daemon, uint16_t id, const struct resolver_hop *state);

/* gateways.c: next hops towards clients. */
void gateways_take(struct daemon *daemon, const struct resolver_hop *state);
void gateways_gone(struct daemon *daemon, const struct weir_address *address, uint32_t ifindex);

/* publish.c: configuration and next hops into the datapath's tables. */
int publish_all(struct daemon *daemon, struct weir_listener *listeners, int listener_count,
		struct error *error);
/* What is known about the hop changed: sources and readiness of its backends. */
void publish_hop(struct daemon *daemon, const struct hop *hop);
/* Builds the slots of all services that changed. */
void publish_slots(struct daemon *daemon);

/* snat_ports.c */
int snat_ports_start(struct daemon *daemon, struct error *error);
/* Ports times addresses towards this backend; 0 as long as no source is known. */
uint64_t snat_capacity(const struct daemon *daemon, uint32_t backend);
void snat_log_capacity(const struct daemon *daemon);
/* An address of this host came or went. */
void snat_address_event(struct daemon *daemon, const struct weir_address *address, bool present);

/* sweep.c */
int sweep_start(struct daemon *daemon);
/* Milliseconds since the last full walk ended. */
uint64_t sweep_age_ms(const struct daemon *daemon);
void sweep_free(struct daemon *daemon);

/* commands.c: ends with a NULL name. */
extern const struct control_command daemon_commands[];

/* describe.c: JSON documents, NULL: no memory. */
json_t *describe_service(struct daemon *daemon, uint32_t id);
json_t *describe_backend(struct daemon *daemon, uint32_t id);
/* @now: jiffies. The record's state has a name and its backend exists. */
json_t *describe_flow(const struct daemon *daemon, const struct weir_flow4 *flow, uint32_t now);
json_t *describe_endpoint(const struct endpoint *endpoint);
json_t *describe_address4(uint32_t v4, uint16_t port); /* both in wire order */
/* NULL: a record in this state is no flow. */
const char *flow_state_name(uint8_t state);

/* status.c: the same. */
json_t *describe_status(struct daemon *daemon);
json_t *describe_flow_count(struct daemon *daemon);
extern const char *const reason_names[WEIR_REASON_COUNT];

/* filter.c: which backends, flows and decisions a client wants to see. */
struct filter {
	const struct service *service; /* NULL: any */
	struct endpoint backend;       /* port 0: any */
	struct endpoint client;
	int reason; /* negative: any */
	bool has_backend;
	bool has_client;
};

int filter_parse(const struct daemon *daemon, const json_t *arguments, struct filter *ret,
		 struct error *error);
bool filter_takes_service(const struct filter *filter, const struct daemon *daemon, uint32_t id);
bool filter_takes_backend(const struct filter *filter, const struct daemon *daemon, uint32_t id);
/* Both in wire order. */
bool filter_takes_client(const struct filter *filter, uint32_t v4, uint16_t port);

/* flow_list.c, trace.c */
int flow_list(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error);
int trace_run(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error);
