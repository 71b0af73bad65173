/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/types.h>

/*
 * An IPv4 or IPv6 address in wire order. IPv4 is written as ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so
 * that one field, one comparison and one table serve both families.
 */
struct weir_address {
	__be32 word[4];
};
