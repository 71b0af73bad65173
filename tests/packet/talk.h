/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/harness.h"

/*
 * A client and a backend that talk through weir. Each step sends one packet, and compares the whole
 * frame that leaves with one built from what the two sides must see.
 */
struct talk {
	struct world *world;
	uint8_t protocol;
	uint32_t client, service;
	uint16_t client_port, service_port;
	struct mac client_hop; /* where frames to the client must go */
	uint32_t sends;        /* XDP_TX, or XDP_REDIRECT */
	size_t tags;           /* of all frames */
	/* Known after the first packet. */
	uint32_t backend_id, backend, snat;
	uint16_t backend_port, snat_port;
	/* TCP: sequence number that each side sends next. */
	uint32_t client_next, backend_next;
};

struct talk talk_tcp(struct world *world, uint32_t client, uint16_t client_port);
struct talk talk_udp(struct world *world, uint32_t client, uint16_t client_port);

/* The next packet of either side, as it comes to weir. Nothing is sent, nothing moves on. */
struct segment client_segment(const struct talk *talk, uint8_t flags, size_t payload);
struct segment backend_segment(const struct talk *talk, uint8_t flags, size_t payload);

/* @in as the other side must get it. */
struct segment to_backend(const struct talk *talk, const struct segment *in);
struct segment to_client(const struct talk *talk, const struct segment *in);

/* Sends @in, which opens a flow, and learns backend and source port from the record. */
void talk_open_with(struct talk *talk, const struct segment *in);
/* Sends @in, which must be forwarded to the other side. */
void talk_client_with(struct talk *talk, const struct segment *in);
void talk_backend_with(struct talk *talk, const struct segment *in);

/* The same with the next packet of that side; sequence numbers move on. */
void talk_open(struct talk *talk); /* SYN, or a first datagram */
void talk_client(struct talk *talk, uint8_t flags, size_t payload);
void talk_backend(struct talk *talk, uint8_t flags, size_t payload);
void talk_establish(struct talk *talk); /* TCP: all of the handshake */

#define assert_state(talk, state_)                                                                 \
	assert_int_equal(talk_flow(talk)->control.state, WEIR_FLOW_##state_)
/* The flow's record; it must be there. */
const struct weir_flow *talk_flow(const struct talk *talk);
bool talk_has_flow(const struct talk *talk);

/* Sends a packet that must be forwarded but change nothing of the flow's state and counts. */
void talk_client_in_vain(struct talk *talk, const struct segment *in);
void talk_backend_in_vain(struct talk *talk, const struct segment *in);
