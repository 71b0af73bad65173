/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/decap.h"
#include "src/base/error.h"

/*
 * The program that takes the outer header off packets in mode ipip, on a backend. It has nothing to do with the
 * balancer's object. Functions return 0 or a negative errno.
 */
struct decap;

/* Loads it for these outer destinations, at most WEIR_DECAP_ADDRESSES of them. */
int decap_open(const struct weir_address *addresses, size_t count, struct decap **ret,
	       struct error *error);
/* NULL is allowed. Detaches. */
void decap_close(struct decap *decap);

/* @native: in the driver, else generic. Once only. */
int decap_attach(struct decap *decap, uint32_t ifindex, bool native, struct error *error);

/* The program's descriptor, owned by @decap: for BPF_PROG_TEST_RUN. */
int decap_fd(const struct decap *decap);
