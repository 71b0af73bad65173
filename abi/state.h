/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "flow.h"
#include "reasons.h"

/* State that the datapath writes and user space reads. */

/* Room for more reasons than there are: a new one must not change the layout of pinned maps. */
#define WEIR_REASON_PLACES 96

/* `egress`: interfaces that weir sends from, by ifindex. */
#define WEIR_EGRESSES 256

/* The one entry of the per-CPU array `counters`. `packets` is counted apart from the reasons. */
struct weir_counters {
	__u64 packets;
	__u64 reasons[WEIR_REASON_PLACES]; /* by enum weir_reason */
	/* Flows that came (+1) and went (-1) on this CPU; the sum over the CPUs is exact. */
	__s64 flows[WEIR_FLOW_STATES];
	__u64 snat_probes; /* source ports that were tried and found taken */
};

enum weir_session_flag {
	WEIR_SESSION_ESTABLISHED = 1 << 0, /* TCP: the client has sent more than its SYN */
	WEIR_SESSION_CLOSING = 1 << 1,     /* it has sent a FIN or a RST */
};

/* Stored and read as one word, so that nobody takes one session's backend for another's. 0: no session. */
union weir_session_owner {
	__u64 word;
	struct {
		__u32 backend; /* index in `backends` */
		__u32 check;   /* lower half of the tuple's hash, weir_keyed_hash() */
	};
};

/* A flow of dsr or ipip. The word apart, its fields may be those of the session that was here before. */
struct weir_session {
	union weir_session_owner owner;
	__u32 last_seen; /* jiffies, low 32 bits */
	__u16 tag;       /* hash of the rest of the tuple's hash and who the backend is */
	__u8 flags;      /* enum weir_session_flag */
	__u8 place;      /* in its bucket */
};

/* Element of `sessions`, chosen by the upper half of the tuple's hash: two cache lines, the first ones first. */
#define WEIR_SESSION_PLACES 8

struct weir_session_bucket {
	struct weir_session sessions[WEIR_SESSION_PLACES];
};

/* `traffic`, per CPU, indexed by backend id. in: from clients; out: replies. */
struct weir_traffic {
	__u64 in_packets;
	__u64 in_bytes;
	__u64 out_packets;
	__u64 out_bytes;
};

/* `loads`, indexed by backend id: changed by atomic adds, exact. */
struct weir_load {
	__u32 half_open;
	__u32 established;
	__u32 failed;     /* handshakes refused or not answered; the daemon lets it decay */
	__u32 snat_ports; /* source ports in use */
	__u64 total;      /* flows ever created */
	__u64 cursor;     /* next place in the rotation of source ports */
};

/*
 * `port_queues`: free source ports of backends that run short of them, so that a new flow need not
 * search. A ring under `lock`; entries may be stale, the insert into the index decides.
 */
#define WEIR_PORT_QUEUE_PLACES 4096 /* a power of two */

struct weir_free_port {
	struct weir_address address;
	__be16 port;
	__u16 zero;
};

struct weir_port_queue {
	__u32 lock; /* struct bpf_spin_lock */
	__u32 head; /* next to pop */
	__u32 tail; /* next to push; tail - head ports wait */
	__u32 zero;
	struct weir_free_port ports[WEIR_PORT_QUEUE_PLACES];
};

/* `audits`, indexed by backend id: what the sweep counted in its current walk. */
struct weir_audit {
	__u32 half_open;
	__u32 established;
};

/* `service_state`, indexed by service id. */
struct weir_service_state {
	__u64 turn; /* flows scheduled, the position of rr and wrr, and the tie-break of lc and wlc */
};

/* One entry of the array `shared`: words changed by atomic adds from all CPUs. */
struct weir_shared {
	__u64 ring_head[WEIR_FAMILIES]; /* half-open flows ever put into each ring */
	/* Records in use, from creation until the id is free again. */
	__u32 records[WEIR_FAMILIES];
	__u32 udp_established[WEIR_FAMILIES]; /* promoted UDP flows */
	__u64 fragmented; /* ids given to what is or may be fragmented: the last 16 bits are the next */
};

/* A token bucket (per CPU). */
struct weir_bucket {
	__u64 credit; /* tokens x hz */
	__u32 stamp;  /* jiffies of the last refill */
	__u32 zero;
};

/* The one entry of the per-CPU array `buckets`. */
struct weir_buckets {
	struct weir_bucket reset;
	struct weir_bucket icmp;
};

/* What `weir trace` shows, one for each decision, sent through the ring buffer `events`. */
struct weir_event {
	__u64 time_ns;           /* CLOCK_MONOTONIC */
	struct weir_tuple tuple; /* of the packet as it came in; zero if it has none */
	__u32 backend_id;        /* 0: none */
	__u16 length;            /* of the frame, bytes */
	__u8 reason;             /* enum weir_reason */
	__u8 tcp_flags;
};

/*
 * Arguments of the programs that user space runs (bpf/call.h). weir_fill puts ids [first, first + count) into
 * the queue of free ids. weir_sweep expires, frees and audits these records; the fields after `count` are its output, and
 * `count` itself: how many records it came to, fewer than asked for if there was much to do.
 * weir_find_ports looks at source ports [first, first + count) of a backend's space and puts the free
 * ones into its queue, `found` of them. weir_read_clock reads the clock.
 */
struct weir_sweep {
	__u32 first; /* record ids [first, first + count) */
	__u32 count;
	__u32 expired;
	__u32 freed;
	__u32 half_open; /* records seen in this state and not expired */
	__u32 established;
	__u32 closing;
	__u32 quarantine;
	__u32 zero;
};

struct weir_port_search {
	__u32 backend_id;
	__u32 first; /* place in {ports} x {addresses} */
	__u32 count;
	__u32 clear; /* 1: empty the queue first */
	__u32 found;
	__u32 waiting; /* ports in the queue afterwards */
};

/*
 * weir_kill: which flows to cut. Zero fields take any; `marked`: those of backends whose `cut` is set.
 * Output: `killed`, how many were; `count`, how many records it came to, fewer than asked for after WEIR_KILL_MOST of them.
 */
#define WEIR_KILL_MOST 1024

struct weir_kill {
	__u32 first; /* record ids [first, first + count) */
	__u32 count;
	__u32 service_id;
	__u32 backend_id;
	struct weir_address client;
	__be16 client_port;
	__u16 marked;
	__u32 killed;
	__u32 zero2;
};

struct weir_clock {
	__u64 jiffies;
	__u64 zero; /* an argument has 14 bytes at least */
};

_Static_assert(sizeof(struct weir_session_bucket) == 128, "two cache lines");
_Static_assert(WEIR_REASON_COUNT <= WEIR_REASON_PLACES, "every reason has its place");
