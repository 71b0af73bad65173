/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Outer destinations that `weir decap` takes. */
#define WEIR_DECAP_ADDRESSES 64
