/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

#include "src/base/address.h"

/*
 * The addresses that this host has at this moment, in this network namespace; *ret is the caller's. Returns how
 * many: 0 with *ret NULL if that cannot be told.
 */
size_t host_addresses_read(struct weir_address **ret);
