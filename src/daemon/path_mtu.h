/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "abi/flow.h"

/*
 * How long packets may be on the way to backends of mode ipip. A router that finds one too long tells the
 * outer source, which is made up: weir would not hear of it. So each minute an empty datagram of the whole
 * length goes from this host's own address to the backend's discard port (RFC 863), and a router tells that
 * one's sender (RFC 1191, RFC 8201). What it said holds until it was not said three times in a row.
 */
struct path_mtu {
	uv_timer_t timer;
	struct path_mtu_socket {
		uv_poll_t poll;
		bool open;
		bool failed; /* there is no such address family here */
	} sockets[WEIR_FAMILIES];
	uint64_t next_ms; /* when all are asked again */
};
