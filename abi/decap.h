/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "address.h"

/* Outer destinations that `weir decap` takes, struct weir_address each. */
#define WEIR_DECAP_ADDRESSES 64
