/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"
#include "abi/state.h"
#include "src/base/error.h"

/*
 * The BPF object: loading, attaching, publishing configuration, reading state. No other file knows
 * libbpf. Functions return 0 or a negative errno; with a `struct error` they also say what to do.
 *
 * Configuration is written through the tables below, which are the maps' own memory. Order matters
 * (make before break): fill backends and hops, then slots, then a service's slot range, then
 * listeners. Nothing may be reused before datapath_grace() has passed.
 */
struct datapath;

struct datapath_sizes {
	uint32_t flows;     /* limit of live flows */
	uint32_t flows_v6;  /* the same for IPv6, which has a table of its own */
	uint32_t half_open; /* places in the ring */
	uint32_t half_open_v6;
	uint32_t sessions; /* flows of dsr and ipip that are remembered */
	uint32_t services; /* ids, including the unused id 0 */
	uint32_t backends;
	uint32_t slots;
	uint32_t listeners;
	uint32_t port_ranges;
	uint32_t hops;
	uint32_t snat_addresses;
	uint32_t port_queues; /* ids, including the unused id 0 */
};

/* The mapped tables, valid until datapath_close(). */
struct datapath_tables {
	struct weir_root *root;
	struct weir_runtime *runtime;
	struct weir_listener *listeners;
	struct weir_port_range *port_ranges;
	struct weir_service *services;
	struct weir_service_name *service_names;
	struct weir_service_state *service_state;
	struct weir_slot *slots;
	struct weir_backend *backends;
	struct weir_load *loads;
	struct weir_audit *audits;
	struct weir_hop *hops;
	struct weir_address *snat_addresses;
	struct weir_snat_ports *snat_ports; /* two of them */
	struct weir_shared *shared;
	const struct weir_flow4 *flows4; /* records, see records.h; read only */
	const struct weir_flow6 *flows6;
	uint32_t records[WEIR_FAMILIES]; /* how many */
	struct datapath_sizes sizes;
};

/*
 * Loads the object; nothing is attached yet. Without @pins everything ends with datapath_close().
 *
 * With @pins, a directory on bpffs (mounted there if it is not; made with its parents), all maps and
 * links are pinned in it and outlive the process. What a daemon before has left there is taken over:
 * tables with their sizes (which may differ from @sizes), flows, counters; *ret_adopted says so. Links
 * that it left send packets through its program until datapath_attach() swaps in this one. What a
 * daemon killed while making it has left incomplete is removed first.
 * -EBUSY: another process holds @pins. -EPROTO: made by a version with another layout of the tables;
 * -E2BIG: made with smaller tables than @sizes wants. @error tells the command that mends it.
 */
int datapath_open(const struct datapath_sizes *sizes, const char *pins, struct datapath **ret,
		  bool *ret_adopted, struct error *error);
/* NULL is allowed. Detaches what was attached, unless it is pinned: then all goes on. */
void datapath_close(struct datapath *datapath);

/*
 * Room for @sessions of dsr and ipip, for tables that were made with less. datapath_sessions_make() takes a while;
 * another thread may do it meanwhile. *ret is untouched if there is room already. datapath_sessions_use() then puts it
 * in place, on all interfaces, without a packet in between; sessions that there were are forgotten. On failure
 * all goes on as before. Either way datapath_sessions_drop() ends it; NULL is allowed.
 */
struct datapath_sessions;
int datapath_sessions_make(const struct datapath *datapath, uint32_t sessions,
			   struct datapath_sessions **ret, struct error *error);
int datapath_sessions_use(struct datapath *datapath, struct datapath_sessions *made,
			  struct error *error);
void datapath_sessions_drop(struct datapath_sessions *made);

/*
 * Without a daemon: takes the links and pins of @pins away. 1: there were some, 0: there were none,
 * -EBUSY: a daemon holds them.
 */
int datapath_remove_pins(const char *pins, struct error *error);
const struct datapath_tables *datapath_tables(const struct datapath *datapath);

/*
 * Attaches to one more interface, or swaps this program in, at once and without a gap, where a pinned
 * link is there already. @native: in the driver, else generic. -EOPNOTSUPP: driver without XDP.
 */
int datapath_attach(struct datapath *datapath, uint32_t ifindex, bool native, struct error *error);
void datapath_detach_from(struct datapath *datapath, uint32_t ifindex);
void datapath_detach(struct datapath *datapath); /* from all; removes the pins */
/* Interfaces that pinned links are attached to, ours or not yet; returns how many, at most @most. */
size_t datapath_attached(const struct datapath *datapath, uint32_t *ifindexes, size_t most);
/* The mode of the pinned link of an interface: 1: native, 0: generic, -ENOENT: there is none. */
int datapath_attached_native(const struct datapath *datapath, uint32_t ifindex);

/*
 * A program that passes everything: drivers send frames that come from another interface's XDP program
 * only while they have one themselves. -EBUSY: the interface has another one already, which will do;
 * -EOPNOTSUPP: driver without XDP. datapath_attach() puts the balancer in its place.
 */
int datapath_attach_pass(struct datapath *datapath, uint32_t ifindex, struct error *error);
void datapath_detach_pass(struct datapath *datapath, uint32_t ifindex);
/* Has the interface a native XDP program, whoever's? */
bool datapath_is_native(uint32_t ifindex);
/* The same as datapath_attached(). */
size_t datapath_passing(const struct datapath *datapath, uint32_t *ifindexes, size_t most);

/*
 * Interfaces that packets may be sent from besides the one where they came in; who is not among them
 * gets none (reason no_egress). Those that vanish leave by themselves.
 */
int datapath_add_egress(struct datapath *datapath, uint32_t ifindex);
void datapath_remove_egress(struct datapath *datapath, uint32_t ifindex);
/* Returns how many, at most @most. */
size_t datapath_egresses(const struct datapath *datapath, uint32_t *ifindexes, size_t most);

/* Counts from now on what the kernel cannot send though the program has said so. Pinned as links are. */
int datapath_watch_failures(struct datapath *datapath, struct error *error);
int datapath_read_failures(struct datapath *datapath, uint64_t *ret);

/* Stores one aligned 64-bit word so that a concurrent reader sees the old or the new one. */
void datapath_store(uint64_t *word, uint64_t value);

/* Gateways: sets (hop != 0) or removes (hop == 0) the next hop id of one. */
int datapath_set_gateway(struct datapath *datapath, const struct weir_gateway_key *key,
			 uint16_t hop);

/* Calls @tell for each gateway, those of an earlier daemon included. */
int datapath_list_gateways(struct datapath *datapath,
			   void (*tell)(const struct weir_gateway_key *key, uint16_t hop,
					void *user),
			   void *user);

/*
 * Rules of access lists: puts @count of them in, all with the same @verdict, or takes them out; those that are
 * not there are no error. -ENOSPC: there is no room for all. Some of them may be in then.
 */
int datapath_put_access(struct datapath *datapath, const struct weir_access_key *keys, size_t count,
			enum weir_access verdict);
int datapath_remove_access(struct datapath *datapath, const struct weir_access_key *keys,
			   size_t count);
/* Calls @tell for each that there is, those of an earlier daemon included; it must not change any. */
int datapath_list_access(struct datapath *datapath,
			 void (*tell)(const struct weir_access_key *key, void *user), void *user);

/* Sums over the CPUs. */
int datapath_read_counters(struct datapath *datapath, struct weir_counters *ret);
int datapath_read_traffic(struct datapath *datapath, uint32_t backend, struct weir_traffic *ret);
/* Counts from zero again: the id is given to another backend. */
int datapath_clear_traffic(struct datapath *datapath, uint32_t backend);

/* Runs the sweep over [sweep->first, first + count); fills the outputs. */
int datapath_sweep(struct datapath *datapath, struct weir_sweep *sweep);

/*
 * Cuts the flows among the records of ids [kill->first, first + count) that the filter takes (abi/state.h). TCP
 * ones become KILLED, UDP ones are gone.
 */
int datapath_kill(struct datapath *datapath, struct weir_kill *kill);

/* Looks for free source ports of a backend and puts them into its queue (abi/state.h). */
int datapath_find_ports(struct datapath *datapath, struct weir_port_search *search);

/* Waits until no packet that started before the call is still being handled (tens of ms). */
int datapath_grace(void);

/* Jiffies now, and how many of them make a second. */
uint64_t datapath_jiffies(struct datapath *datapath);
uint32_t datapath_hz(const struct datapath *datapath);

/* The XDP program's descriptor, owned by @datapath: for BPF_PROG_TEST_RUN. */
int datapath_xdp_fd(const struct datapath *datapath);
/* That of a table which user space of weir does not touch, for tests. -ENOENT: there is none. */
int datapath_map_fd(const struct datapath *datapath, const char *name);
/* What the programs make of @tuple with their secret key: weir_keyed_hash(), for tests. */
uint64_t datapath_hash(const struct datapath *datapath, const struct weir_tuple *tuple);

uint32_t datapath_program_id(const struct datapath *datapath);
uint64_t datapath_memory(const struct datapath *datapath); /* bytes of all maps */

/* Decisions while tables.runtime->trace is 1. @take is called from datapath_poll_events(). */
typedef void (*datapath_event_fn)(const struct weir_event *event, void *user);
int datapath_open_events(struct datapath *datapath, datapath_event_fn take, void *user);
int datapath_events_fd(const struct datapath *datapath); /* readable when events wait */
/* Takes some of the events that wait; the descriptor stays readable while there are more. */
int datapath_poll_events(struct datapath *datapath);
