/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "address.h"
#include "flow.h"

/*
 * Configuration in the datapath: plain arrays that user space maps and writes. What must change
 * together is either one aligned 64-bit word, or built in free space and then published by storing
 * one such word (struct weir_root).
 */

/* A run of entries in an array. Stored and read as one word. */
union weir_range {
	__u64 word;
	struct {
		__u32 offset;
		__u32 length;
	};
};

/* One entry of the array `root`: where the live generation lies. */
struct weir_root {
	union weir_range listeners; /* length is a power of two, 0: no service at all */
	__u32 wide; /* 1: the generation has places for more than single ports, maybe */
	__u32 zero;
	__u64 generation;
	/* Jiffies when the listeners changed: a session that is silent since is to be looked up among them. */
	__u64 listeners_since;
};

/*
 * A place in `listeners`, an open-addressing hash table (linear probing, weir_listener_hash(), at
 * most WEIR_LISTENER_PROBES places from home; the builder grows the table until that holds). A
 * service has one place per address, port and protocol. Each address has one more place with port
 * 0 and protocol 0, which says "some service listens on this address"; its flags are the address's. And where
 * services listen on ranges of ports, or on any, address and protocol have one with port 0, which says where
 * in `port_ranges` these are. A port with a place of its own is looked for there first.
 */
struct weir_listener_key {
	struct weir_address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP, 0 */
	__u8 used;     /* 1; 0 marks an empty place */
	__u32 zero;
};

struct weir_listener {
	struct weir_listener_key key;
	union {
		struct {
			__u32 service; /* index in `services` */
			__u32 flags;   /* enum weir_listener_flag */
		};
		union weir_range ranges; /* port 0, but a protocol: in `port_ranges` */
	};
};

/* An element of `port_ranges`. Those of one address and protocol are sorted, and none overlaps another. */
struct weir_port_range {
	__u16 first; /* host byte order */
	__u16 last;
	__u32 service;
};

enum weir_listener_flag {
	WEIR_LISTENER_ECHO = 1 << 0, /* no address of this host: weir answers its pings */
};

#define WEIR_LISTENER_PROBES 8

enum weir_mode {
	WEIR_MODE_NAT,
	WEIR_MODE_DSR,  /* MAC addresses alone; the backend answers the client itself */
	WEIR_MODE_IPIP, /* the same, with an IP header to the backend in front */
};

enum weir_scheduler {
	WEIR_SCHEDULER_RR,     /* slots in turn */
	WEIR_SCHEDULER_WRR,    /* the same: the slots hold the smooth weighted order */
	WEIR_SCHEDULER_HASH,   /* slot by hash of the 5-tuple; the slots are Maglev's table */
	WEIR_SCHEDULER_LC,     /* least (load + 1) */
	WEIR_SCHEDULER_WLC,    /* least (load + 1) / weight */
	WEIR_SCHEDULER_SOURCE, /* as hash, by the client's address alone */
	WEIR_SCHEDULER_MAGLEV, /* the same as hash */
	WEIR_SCHEDULER_P2C,    /* of two slots by lot, the one of less (load + 1) / weight */
};

enum weir_service_flag {
	WEIR_SERVICE_SILENT = 1 << 0, /* on_no_backend: drop */
	/* snat: off; backends route their replies through weir */
	WEIR_SERVICE_KEEP_CLIENT = 1 << 1,
	WEIR_SERVICE_OUTER_FIXED = 1 << 2, /* ipip: no outer source made from the flow's hash */
	WEIR_SERVICE_CLEAR_DF = 1 << 3,    /* ipip: routers may fragment the outer packet */
};

/* Timeouts in jiffies, each from the flow's last packet. */
struct weir_timeouts {
	__u32 tcp;
	__u32 tcp_handshake;
	__u32 tcp_close;
	__u32 udp;
	__u32 udp_established;
};

/* `services`, indexed by service id. */
struct weir_service {
	union weir_range slots; /* in `slots`; length 0: no usable backend */
	struct weir_timeouts timeouts;
	__u8 mode;      /* enum weir_mode */
	__u8 scheduler; /* enum weir_scheduler */
	__u8 flags;     /* enum weir_service_flag */
	__u8 zero;
	__u32 affinity; /* jiffies that a client keeps its backend after a new flow; 0: not at all */
	__u32 access;   /* list in `access_rules` that says which clients are served; 0: all */
	__u64 reserved[3];
};

/*
 * Key of the LPM trie `access_rules`: whether clients of a network are served, by list. A list is never changed:
 * another one gets another id, is filled, and then published by the service's word. Each has a rule for all
 * addresses of both families, so a client that meets none is not served: its list is gone.
 */
#define WEIR_ACCESS_RULES (1 << 20) /* of all lists */
#define WEIR_ACCESS_LIST_BITS 32

struct weir_access_key {
	__u32 length; /* in bits, of what follows */
	__u32 list;
	struct weir_address network;
};

enum weir_access { WEIR_ACCESS_DENY, WEIR_ACCESS_ALLOW }; /* the value, a __u32 */

/* `slots`: what a scheduler picks from. Weight is only read by wlc, ramp by lc and wlc. */
#define WEIR_RAMP_FULL 256

struct weir_slot {
	__u32 backend; /* index in `backends` */
	__u16 weight;
	__u16 ramp; /* slow start: share of what it would get, 1 to WEIR_RAMP_FULL */
};

/*
 * `service_names`, indexed by service id: what the next daemon knows a service by. Empty: the id is
 * free. Written by user space alone.
 */
struct weir_service_name {
	char text[64];
};

/* What a backend is there for; read by dsr and ipip alone, whose sessions no daemon sees or ends. */
enum weir_backend_use {
	WEIR_BACKEND_OPEN,
	WEIR_BACKEND_NO_NEW, /* in no slot: the sessions that it has go on */
	WEIR_BACKEND_CUT,    /* set down: they do not */
};

/* `backends`, indexed by backend id; service 0: the id is free. A backend belongs to one service. Id 0 is never used. */
struct weir_backend {
	struct weir_address address;
	union weir_range snat; /* source addresses towards it, in `snat_addresses` */
	__be16 port;           /* 0: the one that the client talks to */
	__u16 hop;             /* index in `next_hops` */
	__u32 service;
	__u32 port_queue;      /* index in `port_queues` while its ports run short, 0: none */
	__u32 max_connections; /* half-open and established ones, 0: no limit */
	__u64 deadline; /* of one that was removed: seconds since 1970 when its flows are cut */
	__u32 use;      /* enum weir_backend_use */
	__u32 cut;      /* 1: weir_kill is on its way through the flows, for these too */
	/*
	 * Jiffies when it began to get new flows; 0: it gets none, or its service has no affinity. Whom a client
	 * met before that is forgotten.
	 */
	__u64 serves_since;
};

/*
 * The LRU hash `affinities`: the backend that a client got last, of a service with affinity. It goes for as
 * long as that one serves, and the service's time from `last_flow` on.
 */
#define WEIR_AFFINITIES 65536

struct weir_affinity_key {
	struct weir_address client;
	__u32 service;
};

struct weir_affinity {
	__u64 last_flow; /* jiffies */
	__u32 backend;
	__u32 zero;
};

/*
 * `next_hops`, indexed by next hop id. Each word is stored as a whole; a reader may see words of two
 * versions, which at worst sends one packet with the old address. Id 0 is never valid.
 */
enum weir_hop_flag {
	WEIR_HOP_VALID = 1 << 0,
	/* Egress interface only; the MAC address is the client's own (weir_flow.client_mac). */
	WEIR_HOP_ON_LINK = 1 << 1,
	/* A gateway that is in no route any more, or is silent: flows to clients ask their route again. */
	WEIR_HOP_DOUBTFUL = 1 << 2,
};

union weir_hop_address {
	__u64 word;
	struct {
		__u8 mac[6];
		__u16 flags; /* enum weir_hop_flag, in `destination` only */
	};
};

struct weir_hop {
	union weir_hop_address destination;
	union weir_hop_address source;
	__u32 ifindex; /* of the device that sends; of a VLAN device the one below, as XDP sees it */
	__u32 mtu;     /* bytes of IP, host order */
	union {
		__u64 link;
		struct {
			__u16 vlan; /* id that the egress tags with, host order; 0: untagged */
			__u16 zero;
			__u32 zero2;
		};
	};
};

/*
 * Key of the hash `gateways`: next hop id of a gateway, or of the on-link hop (address all zero). The
 * interface is that of the route, as bpf_fib_lookup() tells it: a VLAN device itself.
 */
struct weir_gateway_key {
	struct weir_address address;
	__u32 ifindex;
};

/*
 * `snat_ports`: two tables, weir_runtime.snat_table says which is live. The allowed source ports in
 * random order (host byte order), and the same as a bitmap.
 */
struct weir_snat_ports {
	__u32 count;
	__u32 zero;
	__u16 port[65536];
	__u64 allowed[1024];
};

/* One entry of the array `runtime`: switches that may change at any time, each a word of its own. */
struct weir_runtime {
	__u32 trace;      /* 1: send an event to `events` for each decision */
	__u32 snat_table; /* 0 or 1 */
	__u32 reset_rate; /* own TCP RSTs a second and CPU */
	__u32 icmp_rate;  /* own ICMP messages a second and CPU */
	__u32 flows_limit[WEIR_FAMILIES];
	__u32 udp_limit[WEIR_FAMILIES]; /* established UDP flows */
	__u32 hz;                       /* jiffies a second */
	__u32 time_wait; /* jiffies that a backend holds a connection it closed first */
	/* At most those of any service: who was silent for less need not be asked which one it is of. */
	struct weir_timeouts least;
	__u32 zero;
};

_Static_assert(sizeof(struct weir_listener) == 32, "half a cache line");
_Static_assert(sizeof(struct weir_port_range) == 8, "array elements are multiples of 8 bytes");
_Static_assert(sizeof(struct weir_access_key) == 24, "no holes");
_Static_assert(sizeof(struct weir_service) == 64, "one cache line");
_Static_assert(sizeof(struct weir_backend) == 64, "one cache line");
_Static_assert(sizeof(struct weir_hop) == 32, "half a cache line");
_Static_assert(sizeof(struct weir_slot) == 8, "array elements are multiples of 8 bytes");
