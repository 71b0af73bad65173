/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"

/*
 * Builds the open-addressing table that the datapath looks services up in (abi/config.h). @entries
 * hold address, port, protocol and service id of each listener, or port 0 and where the ranges of an address
 * and protocol lie, in any order, without doubles (their `used` and `zero` need not be set, nor flags);
 * the address-only places are added here. The length is
 * the smallest power of two, at least twice the number of places, with which every entry lies fewer
 * than WEIR_LISTENER_PROBES places behind its home, with no empty place in between.
 *
 * On success *ret is an array that the caller frees, and its length is returned (0: no entry,
 * *ret = NULL). -ENOMEM, or -E2BIG beyond 2^24 places, leave *ret untouched.
 */
int listeners_build(const struct weir_listener *entries, size_t count, struct weir_listener **ret);
