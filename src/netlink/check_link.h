/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/base/address.h"
#include "src/base/error.h"

/*
 * The interface that check addresses are routed to (doc/decisions/0016): one end of a veth pair, whose
 * other end is nobody's. Its range is a part of 198.18.0.0/15 (RFC 2544) and of 2001:2::/48 (RFC 5180)
 * that no other weir in this network namespace has. Routes go with it.
 */
struct check_link {
	uint32_t ifindex;
	uint32_t part; /* of the range */
	bool has_v6;   /* IPv6 may be switched off */
};

/*
 * Makes it, in place of one that a killed daemon has left. @name: at most CHECK_LINK_NAME_MOST
 * characters.
 */
#define CHECK_LINK_NAME_MOST 10
int check_link_make(const char *name, struct check_link *ret, struct error *error);
/* Somebody may have removed it, or its route: is it as it was made? */
bool check_link_stands(const struct check_link *link);
/* 1: it is gone, 0: there was none. */
int check_link_remove(const char *name);

/* The check address of @place, of the same family as @service. */
struct weir_address check_link_address(const struct check_link *link, uint32_t place,
				       const struct weir_address *service);
