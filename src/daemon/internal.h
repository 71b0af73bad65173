/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "src/base/address.h"
#include "src/control/server.h"
#include "src/daemon/access.h"
#include "src/daemon/audit.h"
#include "src/daemon/check_paths.h"
#include "src/daemon/daemon.h"
#include "src/daemon/grace.h"
#include "src/daemon/hops.h"
#include "src/daemon/horizon.h"
#include "src/daemon/path_mtu.h"
#include "src/daemon/rates.h"
#include "src/daemon/refusals.h"
#include "src/daemon/registry.h"
#include "src/daemon/restore.h"
#include "src/daemon/shortage.h"
#include "src/daemon/silence.h"
#include "src/daemon/snat_pool.h"
#include "src/datapath/datapath.h"
#include "src/datapath/records.h"
#include "src/health/health.h"
#include "src/model/overrides.h"
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

/* An interface that packets may be sent from. */
struct egress {
	uint32_t ifindex;
	bool used; /* some next hop lies there */
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
	uint32_t *failed;            /* the same: refusals when it was last looked at */
	struct refusals *refusals;   /* indexed by service id */
	struct shortage shortage;
	uint32_t listened; /* id of the backend that was last listened to */
	struct horizon horizons[WEIR_FAMILIES];
	struct rates rates;
	uint32_t next;           /* record that the next chunk begins with */
	uint32_t quarantine;     /* records that were in it in the last walk */
	uint32_t quarantine_now; /* the same, of the walk under way */
	uint64_t walk_began_ms;
	uint64_t walk_ended_ms;
	bool told; /* that the sweep fails */
};

struct killer;
struct reload_job;
struct tracer;

struct trace {
	uv_poll_t poll;
	struct tracer *tracers;
	bool open;
};

/* A configuration that takes itself back unless somebody confirms it. */
struct trial {
	struct config *before;    /* NULL: none is on trial */
	struct overrides changes; /* run-time changes as they were before it */
	uv_timer_t timer;
	uint64_t until_ms;
};

struct daemon {
	const struct config *config; /* what runs: that of the file and the run-time changes */
	struct config *live;         /* the same, owned */
	struct config *file;         /* what the file said */
	struct overrides overrides;
	struct trial trial;
	struct reload_job *reloads; /* reload.c: those that were asked for */
	uint64_t reload_failures;
	const struct daemon_options *options;
	uv_loop_t loop;
	uv_signal_t signals[3];
	uv_timer_t ramp;
	uv_timer_t watchdog;
	struct health *health;
	struct check_paths check_paths;
	uv_timer_t first_resolution;
	struct path_mtu path_mtu;
	struct control_server *control;
	struct datapath *datapath;
	const struct datapath_tables *tables;
	struct resolver *resolver;
	uv_poll_t *resolver_poll;
	struct grace grace;
	struct registry registry;
	struct service *changed; /* services whose slots must be built again */
	struct hops hops;
	struct snat_pool snat_pool;
	/* The configured SNAT addresses; length 0: by route. */
	union weir_range snat_fixed[WEIR_FAMILIES];
	struct ranges slot_ranges;
	struct ranges listener_ranges;
	struct ranges port_range_ranges;
	struct access access;
	union weir_range listeners; /* the live ones */
	union weir_range port_ranges;
	bool hold_slots;    /* adopted ones stay until the network is known */
	bool told_of_slots; /* that there is no room for them */
	bool adopted;       /* the tables were an earlier daemon's */
	struct snat_ports snat_ports;
	struct weir_address *host_addresses; /* of this host, as the resolver tells */
	size_t host_address_count;
	bool addresses_known;         /* all of them */
	bool echo_stale;              /* they changed: who answers pings? */
	struct interface *interfaces; /* config->interface_count of them */
	struct egress egresses[WEIR_EGRESSES];
	size_t egress_count;
	bool egress_open;  /* they are in the datapath */
	bool egress_stale; /* perhaps not all of them are used any more */
	struct restore restore;
	struct sweep sweep;
	struct trace trace;
	struct killer *killer; /* kill.c; NULL: nothing was ever killed */
	uint64_t started_ms;
	char summary[192]; /* what the service manager was told last */
	bool summary_stale;
	bool hangup;  /* came before it was ready */
	bool ready;   /* "weir: ready" was said: log transitions */
	bool waiting; /* for the first resolution */
	bool stopping;
	bool detaches; /* when it stops: takes everything back that it set */
	int status;    /* exit status */
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

/* egress.c: the interfaces that packets are sent from, into the datapath. */
/* Before weir is attached to its own: the first packet that it takes has a way out. */
void egress_start(struct daemon *daemon);
/* Once it is: says which of them take no packets. */
void egress_attached(const struct daemon *daemon);
/* A next hop leads through this one. */
void egress_use(struct daemon *daemon, uint32_t ifindex);
/* Some interface has gone. */
void egress_vanished(struct daemon *daemon);
/* Forgets those that no next hop lies behind any more. */
void egress_follow(struct daemon *daemon);

/*
 * forwarding.c: the sysctls net.ipv4.conf.IF.forwarding and, for services with an IPv6 address, those of
 * net.ipv6, and the state file that remembers them.
 */
/* Takes over what a killed daemon left (*killed: there was one), and makes our own state file. */
int forwarding_adopt(struct daemon *daemon, bool *killed, struct error *error);
int forwarding_set(struct daemon *daemon, const struct interface *interface, struct error *error);
/* The same for all interfaces that are there: the services are others now. */
int forwarding_follow(struct daemon *daemon, struct error *error);
void forwarding_event(struct daemon *daemon, uint32_t ifindex, uint8_t family, bool on);
void forwarding_vanished(struct daemon *daemon, const struct interface *interface);
void forwarding_restore(struct daemon *daemon);

/* network.c: the resolver and its events. */
int network_start(struct daemon *daemon, struct error *error);
void network_stop(struct daemon *daemon);
/* The same, but leaves the neighbour entries: the datapath forwards on. */
void network_leave(struct daemon *daemon);
/* Says for each backend whether it is ready, and logs from then on what changes. */
void network_log_all(struct daemon *daemon);
/* Every backend can be reached, or never will. */
bool network_is_resolved(const struct daemon *daemon);

/* What the resolver tells of a hop, under its id here. */
void network_take_hop(struct daemon *daemon, uint16_t id, const struct resolver_hop *state);

/* The same, as it is known here. */
void network_write_hop(struct daemon *daemon, const struct hop *hop);
/* Has a service of this mode a backend there? */
bool network_serves(const struct daemon *daemon, const struct hop *hop, enum weir_mode mode);

/* path_mtu.c */
void path_mtu_init(struct daemon *daemon);
/* The way to this hop is another one. */
void path_mtu_ask(struct daemon *daemon, struct hop *hop);
void path_mtu_close(struct daemon *daemon);

/* gateways.c: next hops towards clients. */
void gateways_take(struct daemon *daemon, const struct resolver_hop *state);
void gateways_gone(struct daemon *daemon, const struct weir_address *address, uint32_t ifindex);

/* The configured source addresses towards @address: those of its family. */
static inline union weir_range snat_fixed_for(const struct daemon *daemon,
					      const struct weir_address *address)
{
	return daemon->snat_fixed[address_is_v4(address) ? WEIR_IPV4 : WEIR_IPV6];
}

/* Must the route to the backend have a source address? dsr alone sends without one of this host. */
static inline bool needs_source(const struct daemon *daemon, const struct backend *backend)
{
	return !snat_fixed_for(daemon, &daemon->hops.entries[backend->hop].address).length &&
	       daemon->registry.services[backend->service].own.mode != WEIR_MODE_DSR;
}

/* publish.c: entries of the datapath's tables. */
void publish_runtime(struct daemon *daemon, const struct config_limits *limits);
void publish_service(struct daemon *daemon, uint32_t id);
/* Of all services, those that are leaving included. Without it they only ever fall. */
void publish_least_timeouts(struct daemon *daemon);
/* Gives it a next hop, too. -ENOSPC: all ids of those are taken. */
int publish_backend(struct daemon *daemon, uint32_t id);
/* Its source address is nobody's business any more. */
void publish_no_source(struct daemon *daemon, uint32_t id);
/* The same for one backend, as its hop is known now. */
void publish_way(struct daemon *daemon, uint32_t id);
/* What is known about the hop changed: sources and readiness of its backends. */
void publish_hop(struct daemon *daemon, const struct hop *hop);
/* The service's slots must be built again. */
void publish_mark(struct daemon *daemon, struct service *service);
/* Builds the slots of all services that were marked. */
void publish_slots(struct daemon *daemon);
bool backend_is_healthy(const struct backend *backend);

/* adopt.c: what an earlier daemon has left in the tables, into registry and hops. */
int adopt_tables(struct daemon *daemon, struct error *error);

/*
 * apply.c: makes @config the running one, make before break. What did not change keeps its id, flows,
 * health and place in the turn. @config must outlive the next call. On failure what is running may be
 * partly of @config: apply the one before again.
 */
int apply_config(struct daemon *daemon, const struct config *config, struct error *error);
/*
 * The same for one service that runs, whose backends alone are others than before; @service must
 * outlive the next call. On failure apply the one before again.
 */
int apply_backends_of(struct daemon *daemon, const struct config_service *service,
		      struct error *error);
/* Can that be done at all while the daemon runs? Else @error says what can. Changes nothing. */
int apply_check(const struct daemon *daemon, const struct config *config, struct error *error);
/* After each walk of the sweep: frees the ids of what has left and is empty, cuts what is over time. */
void apply_settle(struct daemon *daemon);

/* listen_table.c: where the datapath finds services. */
/* Makes the listen addresses of the registry's services the live ones. -ENOSPC, -ENOMEM. */
int listen_table_apply(struct daemon *daemon);
void listen_table_adopt(struct daemon *daemon);
/* The service that packets to there are for, as the datapath finds it; 0: none. @port: in wire order. */
uint32_t listen_table_find(const struct daemon *daemon, const struct weir_address *address,
			   uint16_t port, uint8_t protocol);
/* check_paths.c */
/*
 * What the check of a backend needs in modes dsr and ipip, with one user more; NULL in nat. Given back
 * by check_paths_put().
 */
int check_paths_take(struct daemon *daemon, const struct backend *backend,
		     struct check_places **ret, struct error *error);
void check_paths_put(struct daemon *daemon, struct check_places *places); /* NULL is allowed */
bool check_paths_same(const struct check_places *a, const struct check_places *b);
/* Its next hop changed, or an address of this host did. */
void check_paths_follow(struct daemon *daemon, const struct backend *backend);
void check_paths_follow_all(struct daemon *daemon);
/* Links or routes changed: is the interface of health checks still there? */
void check_paths_mend(struct daemon *daemon);
/* Nobody checks any more. */
void check_paths_close(struct daemon *daemon);

/* checks.c: health checks, and the slow start of who comes back. */
int checks_start(struct daemon *daemon, struct error *error);
void checks_stop(struct daemon *daemon);
/* Begins, goes on with or ends the check of a backend, as its service's @before and `own` say. */
void checks_follow(struct daemon *daemon, uint32_t id, const struct config_health *before);
/* Its share rises slowly from now on, if its service wants that. */
void checks_ramp(struct daemon *daemon, uint32_t id);

/*
 * reading.c: what the file says now, read aside. There @work (NULL: nothing) is done with it, too, which must
 * touch nothing of the daemon. @done gets it from the loop, and drops it; or @err and @error, then @config may
 * be NULL. Also while the daemon stops.
 */
typedef int (*reading_work_fn)(const struct config *config, void *user, struct error *error);
typedef void (*reading_done_fn)(struct daemon *daemon, struct config *config, int err,
				struct error *error, void *user);
int reading_begin(struct daemon *daemon, reading_work_fn work, reading_done_fn done, void *user,
		  struct error *error);

/* reload.c: a configuration from the file while the daemon runs. */
/*
 * Reads the file aside, then makes it what runs; after those reloads that were asked for before. @request
 * (NULL: nobody) is answered then. An error returned is one of asking.
 */
int reload_from_file(struct daemon *daemon, uint64_t confirm_ms, struct control_request *request,
		     struct error *error);
void reload_drop(struct config **config);
/* A configuration of its own. NULL: no memory. */
struct config *reload_clone(const struct config *config);
/* Begins with @config, that of the file. */
int reload_begin(struct daemon *daemon, const struct config *config, struct error *error);
/*
 * The run-time changes of backends of this service are others than before: makes them what runs. @check: they
 * may be at odds with the file. On failure nothing has changed.
 */
int reload_service(struct daemon *daemon, const char *name, bool check, struct error *error);
void reload_free(struct daemon *daemon);
int reload_confirm(struct daemon *daemon, struct error *error);
int reload_rollback(struct daemon *daemon, struct error *error);

/* changes.c, config_commands.c: commands that change something, and those about the configuration. */
int changes_copy(const struct overrides *overrides, struct overrides *ret, struct error *error);
/* Puts the run-time changes on disk; logs if that cannot be. */
void changes_save(struct daemon *daemon);
int change_backend_add(struct control_request *request, const json_t *arguments, void *user,
		       struct error *error);
int change_backend_set(struct control_request *request, const json_t *arguments, void *user,
		       struct error *error);
int change_backend_remove(struct control_request *request, const json_t *arguments, void *user,
			  struct error *error);
int change_flow_kill(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error);
int config_reply_generation(struct control_request *request, struct daemon *daemon);
int config_reload(struct control_request *request, const json_t *arguments, void *user,
		  struct error *error);
int config_confirm(struct control_request *request, const json_t *arguments, void *user,
		   struct error *error);
int config_rollback(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error);
int config_show(struct control_request *request, const json_t *arguments, void *user,
		struct error *error);
int config_show_diff(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error);

/* snat_ports.c */
int snat_ports_start(struct daemon *daemon, struct error *error);
/* The configuration is another one. */
void snat_ports_follow(struct daemon *daemon);
/* Ports times addresses towards this backend; 0 as long as no source is known. */
uint64_t snat_capacity(const struct daemon *daemon, uint32_t backend);
void snat_log_capacity(const struct daemon *daemon);
/* An address of this host came or went: says so if it is a SNAT address. */
void snat_address_event(struct daemon *daemon, const struct weir_address *address, bool present);

/* host_address.c */
bool host_address_has(const struct daemon *daemon, const struct weir_address *address);
/* The address of this host that is most like @address, no service's, or zero: there is none. */
struct weir_address host_address_near(const struct daemon *daemon,
				      const struct weir_address *address);
/* An address of this host came or went. */
void host_address_event(struct daemon *daemon, const struct weir_address *address, bool present);
/* Says in a table of listeners which addresses' pings weir is to answer: those that the host lacks. */
void host_address_mark(const struct daemon *daemon, struct weir_listener *table, uint32_t length);
/* The same in the live table, after events. */
void host_address_follow(struct daemon *daemon);

/* sweep.c */
int sweep_start(struct daemon *daemon);
/* Milliseconds since the last full walk ended. */
uint64_t sweep_age_ms(const struct daemon *daemon);
/* The id will be another backend's. */
void sweep_forget_backend(struct daemon *daemon, uint32_t id);
void sweep_free(struct daemon *daemon);

/* summary.c: what the service manager shows. */
/* Tells it what has changed, if anything has. */
void summary_follow(struct daemon *daemon);
/* The daemon ends. */
void summary_end(const struct daemon *daemon);

/* commands.c: ends with a NULL name. */
extern const struct control_command daemon_commands[];

/* describe.c: JSON documents, NULL: no memory. */
json_t *describe_service(struct daemon *daemon, uint32_t id);
json_t *describe_backend(struct daemon *daemon, uint32_t id);
/* With its options and its backends. */
json_t *describe_service_whole(struct daemon *daemon, uint32_t id);
/* @now: jiffies. The record's state has a name and its backend exists. */
json_t *describe_flow(const struct daemon *daemon, const struct flow_record *record, uint32_t now);
json_t *describe_endpoint(const struct endpoint *endpoint);
json_t *describe_backend_endpoint(const struct endpoint *endpoint); /* port 0: any */
/* Both in wire order. */
json_t *describe_address(const struct weir_address *address, uint16_t port);
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
bool filter_takes_client(const struct filter *filter, const struct weir_address *address,
			 uint16_t port);

/* flow_list.c, trace.c */
int flow_list(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error);
int trace_run(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error);
