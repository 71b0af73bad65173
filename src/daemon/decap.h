/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

#include "src/base/address.h"

/*
 * `weir decap`: on a backend in mode ipip, takes the outer header off packets to @addresses (none: all that
 * the interface has now, but link-local ones), until SIGINT or SIGTERM. Returns the exit status.
 */
int decap_run(const char *interface, const struct weir_address *addresses, size_t count);
