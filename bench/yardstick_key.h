/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

/* What bare looks up: an IPv4 tuple as short as it can be. Network byte order. `zero` must be zero. */
struct yardstick_key {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

_Static_assert(sizeof(struct yardstick_key) == 16, "no holes");
