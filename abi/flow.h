/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "address.h"

/*
 * A flow is stored once, as one record in the array `flows4` or `flows6`. Two entries of `flow_index`
 * lead to it, one per direction of travel; they are found by the packet's own tuple.
 */

enum weir_family { WEIR_IPV4, WEIR_IPV6, WEIR_FAMILIES };

/* What the index is searched for: a packet's tuple as it is on the wire. `zero` must be zero. */
struct weir_tuple {
	struct weir_address source;
	struct weir_address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 family; /* enum weir_family */
	__u8 zero[2];
};

/* In the id of a record: it lies in `flows6`, and the other bits say where. */
#define WEIR_RECORD_V6 0x80000000
#define WEIR_RECORD_NONE 0xffffffff

enum weir_direction {
	WEIR_FROM_CLIENT,
	WEIR_FROM_BACKEND,
};

/* Entry of the index, read and written as one 64-bit word. 0: empty. */
union weir_index {
	__u64 word;
	struct {
		__u32 record;
		__u16 generation;
		__u16 mark; /* WEIR_INDEX_USED, 14 bits of the tuple's hash, enum weir_direction */
	};
};

#define WEIR_INDEX_USED 0x8000
#define WEIR_INDEX_HASH 0x7ffe
#define WEIR_INDEX_DIRECTION 0x0001

#define WEIR_INDEX_ENTRIES 15
/* Words of the secret key of its hash. */
#define WEIR_INDEX_KEYS 10

/*
 * A bucket of the index, chosen by the tuple's hash: two cache lines, of which a lookup needs the
 * first alone unless more than seven entries met here. An entry is taken out by compare-and-swap, at
 * any time. It is put in only by who changed an even @version to the odd number after it: so nobody
 * puts in a tuple that somebody else put in since he looked.
 */
struct weir_index_bucket {
	__u32 version;
	__u32 end; /* this entry and all behind it are empty */
	union weir_index entries[WEIR_INDEX_ENTRIES];
};

/*
 * Life of a record:
 *
 *	FREE -> HALF_OPEN -> ESTABLISHED -> CLOSING -> (QUARANTINE ->) DEAD -> LIMBO -> FREE
 *	        (any of these three, TCP) -> KILLED -> DEAD
 *
 * HALF_OPEN, ESTABLISHED and CLOSING translate packets. KILLED answers each side's next segment with a
 * RST at its ACK number and forwards nothing. QUARANTINE: the backend closed first and holds
 * the connection in TIME_WAIT; the client's index entry is gone, the other keeps the port. DEAD: its index entries are gone, or being
 * removed by the one who made it DEAD. LIMBO: the sweep has seen it DEAD; one grace period later the
 * id goes back to the queue of free ids. A half-open flow that the ring evicts goes from DEAD to
 * FREE at once, see doc/decisions/0003.
 */
enum weir_flow_state {
	WEIR_FLOW_FREE,
	WEIR_FLOW_HALF_OPEN,
	WEIR_FLOW_ESTABLISHED,
	WEIR_FLOW_CLOSING,
	WEIR_FLOW_KILLED,
	WEIR_FLOW_QUARANTINE,
	WEIR_FLOW_DEAD,
	WEIR_FLOW_LIMBO,
	WEIR_FLOW_STATES,
};

enum weir_flow_flag {
	WEIR_FLOW_UDP = 1 << 0,
	/* The backend has answered: SYN-ACK, or any UDP datagram. */
	WEIR_FLOW_REPLIED = 1 << 1,
	/* A FIN in sequence was seen, and its acknowledgement by the other side. */
	WEIR_FLOW_FIN_CLIENT = 1 << 2,
	WEIR_FLOW_FIN_BACKEND = 1 << 3,
	WEIR_FLOW_FIN_CLIENT_ACKED = 1 << 4,
	WEIR_FLOW_FIN_BACKEND_ACKED = 1 << 5,
	/* Closed by a RST in sequence, or killed; not by two FINs. */
	WEIR_FLOW_RESET = 1 << 6,
	/* The backend sent its FIN before it had the client's: TIME_WAIT is on its side. */
	WEIR_FLOW_BACKEND_WAITS = 1 << 7,
};

/* The word that is only changed by compare-and-swap; everything in it is one consistent view. */
union weir_flow_control {
	__u64 word;
	struct {
		__u16 generation; /* grows by one with each use of the record */
		__u8 state;       /* enum weir_flow_state */
		__u8 flags;       /* enum weir_flow_flag */
		__u16 client_hop; /* ids in `next_hops`, fixed for the life of the flow */
		__u16 backend_hop;
	};
};

/* One end of the translation, as addressed by the packets that come from that side. */
struct weir_ports {
	__be16 source;
	__be16 destination;
};

struct weir_side4 {
	__be32 source;
	__be32 destination;
};

struct weir_side6 {
	struct weir_address source;
	struct weir_address destination;
};

/*
 * What a record holds whatever the family. Sequence numbers are in host order, all for TCP only; the
 * plain (unlocked) fields heal with the next packet of the flow.
 */
struct weir_flow {
	union weir_flow_control control;
	struct weir_ports client_ports;  /* client -> service address */
	struct weir_ports backend_ports; /* backend -> SNAT address */
	__u32 last_seen;                 /* jiffies, low 32 bits: compare by signed difference */
	union {
		/* HALF_OPEN: what acknowledges the SYN-ACK. Later: last ACK that the client sent. */
		__u32 client_ack;
		__u32 created; /* UDP: jiffies of the first packet */
	};
	__u32 backend_ack;   /* HALF_OPEN: client's initial sequence number + 1. Later: last ACK. */
	__u32 client_next;   /* sequence number after the furthest segment that the client sent */
	__u32 backend_next;  /* the same for the backend */
	__u32 backend_id;    /* index in `backends` */
	__u16 address_delta; /* checksum change of the addresses, client -> backend */
	__u8 client_mac[6];  /* who sent the SYN; used when client_hop says "on link" */
};

/* A record of `flows4`: one cache line. */
struct weir_flow4 {
	struct weir_flow flow;
	struct weir_side4 client;
	struct weir_side4 backend;
};

/* A record of `flows6`: two. */
struct weir_flow6 {
	struct weir_flow flow;
	struct weir_side6 client;
	struct weir_side6 backend;
	__u64 reserved[2];
};

/*
 * `fragments`: which flow's datagram the fragments behind a first one belong to, and the id that they get.
 * A value is one word: another's may stand in its place at any time.
 */
struct weir_fragment_key {
	struct weir_address source;
	struct weir_address destination;
	__be32 id;     /* IPv4: in the first two bytes */
	__u8 protocol; /* IPv6: 0, the id says it all (RFC 8200 4.5) */
	__u8 zero[3];
};

/* In `record`: the flow is one of dsr or ipip, the other bits are its backend's id. */
#define WEIR_FRAGMENT_DIRECT 0x40000000

union weir_fragment {
	__u64 word;
	struct {
		__u32 record;
		union {
			struct {
				__u16 generation;
				__be16 id; /* IPv6: the upper half of it, the lower one stays */
			};
			__u32 check; /* dsr, ipip: hash of the key */
		};
	};
};

_Static_assert(sizeof(struct weir_fragment_key) == 40, "no holes");
_Static_assert(sizeof(struct weir_tuple) == 40, "no holes");
_Static_assert(sizeof(struct weir_flow) == 48, "addresses follow");
_Static_assert(sizeof(struct weir_flow6) == 128, "a v6 flow is two cache lines");
_Static_assert(sizeof(struct weir_index_bucket) == 128, "two cache lines");
_Static_assert(sizeof(union weir_index) == 8, "an index entry is one word");
_Static_assert(sizeof(union weir_flow_control) == 8, "control is one word");
_Static_assert(sizeof(struct weir_flow4) == 64, "a v4 flow is one cache line");
