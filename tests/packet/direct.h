/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/harness.h"

/* Services of dsr and ipip, and what their packets must look like on the way to a backend. */

/* Service ids: TCP and UDP, both on DIRECT_PORT. */
enum { DIRECT = 20, DATAGRAMS, DIRECT_PORT = 9000 };

/* The outer header. */
struct outer {
	struct weir_address source, destination;
	bool clear_df;
	uint16_t id; /* IPv4 */
};

/* A TCP and a UDP service of @mode over backends 1 and 2; ipip: a fixed outer source. */
void direct_serve(struct world *world, enum weir_mode mode, enum weir_scheduler scheduler);
/* The same over one backend at @address, of any family, whose MAC address is that of @backend. */
void direct_serve_one(struct world *world, enum weir_mode mode, uint32_t backend,
		      const struct weir_address *address);

struct weir_tuple tuple_of(const struct segment *segment);

/* @in on its way to @backend: two MAC addresses and the TTL. */
struct frame routed(const struct segment *in, uint32_t backend);
/* @inner, which has @tags, with the outer header in front; @label: the flow's hash. */
struct frame encapsulated(const struct frame *inner, size_t tags, const struct outer *outer,
			  uint32_t label);
/* The one or the other, as the services' mode is; the outer header from WEIR to @backend. */
struct frame direct_expected(const struct world *world, const struct segment *in, uint32_t backend);

#define send_to(world, in, reason, backend)                                                        \
	do {                                                                                       \
		struct frame frame_in_ = frame_of(in);                                             \
		struct frame frame_out_ = direct_expected(world, in, backend);                     \
                                                                                                   \
		world_send(world, &frame_in_, reason, XDP_TX, &frame_out_);                        \
	} while (0)
