/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/flow.h"
#include "src/datapath/records.h"

/* Ethernet, a VLAN tag, IPv6 without extension headers, TCP without options; IPv4 needs less. */
#define RESET_FRAME_MOST (14 + 4 + 40 + 20)

/* A TCP RST in the name of one end of a connection to the other. */
struct reset_frame {
	uint8_t destination_mac[6];
	uint8_t source_mac[6];
	uint16_t vlan;           /* 0: untagged */
	struct weir_tuple tuple; /* of the RST itself */
	uint32_t sequence;       /* what the receiver expects next, host order */
	uint32_t acknowledgement;
};

/*
 * The RST to one side of a killed flow: what the other side would send now. MAC addresses and tag are left zero.
 * Its number is the last ACK of the receiver, what an idle connection expects to the byte (RFC 5961
 * 3.2); it acknowledges, so that a client whose SYN was not answered believes it too.
 */
void reset_frame_of(const struct flow_record *flow, enum weir_direction side,
		    struct reset_frame *ret);

/* Its bytes. Returns how many. */
size_t reset_frame_build(const struct reset_frame *reset, uint8_t ret[static RESET_FRAME_MOST]);
