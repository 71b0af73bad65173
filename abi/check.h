/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

#include "address.h"
#include "flow.h"

/*
 * Health checks of modes dsr and ipip (doc/decisions/0016): a socket of this host talks to a check
 * address, which leads to a service address by way of one backend.
 */

/* Check addresses are numbers of this many bits in a range of an interface's own. */
#define WEIR_CHECK_BITS 14
#define WEIR_CHECK_PLACES (1 << WEIR_CHECK_BITS)

/* The MAC address of that interface, which replies are handed to. */
#define WEIR_CHECK_MAC                                                                             \
	{                                                                                          \
		0x02, 'w', 'e', 'i', 'r', 0                                                        \
	}

/* `ways`, by place: where the packets to a check address go. */
struct weir_check {
	struct weir_address service;
	struct weir_address source; /* of this host: where the backend's replies go */
	struct weir_address outer_source;
	struct weir_address outer_destination; /* the backend */
	__u8 destination_mac[6];
	__u8 source_mac[6];
	__u32 ifindex;     /* egress */
	__u32 encapsulate; /* 1: ipip */
};

/*
 * `asked`: by the tuple of a packet as the backend gets it (ICMP echo: the id is the source port, the
 * sequence number the destination port) the addresses that its sender knows.
 */
struct weir_check_asked {
	struct weir_address source;
	struct weir_address destination; /* the check address */
	__u64 time_ns;                   /* of the last packet */
	__u32 ifindex;                   /* where it came from, and replies go to */
	__u32 zero;
};

#define WEIR_CHECK_ASKED 16384

/*
 * What a backend gets in the TTL. One that does not have the service address but forwards packets would
 * send them back here: weir takes nothing with a TTL of 1 for a client's.
 */
#define WEIR_CHECK_TTL 2
