/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* Addresses of both families in one type (abi/address.h). Plain memory only. */

#include <linux/types.h>

#include <bpf/bpf_endian.h>

#include "abi/address.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline struct weir_address address_from_v4(__be32 v4)
{
	return (struct weir_address){ { 0, 0, bpf_htonl(0xffff), v4 } };
}

static __always_inline int address_is_same(const struct weir_address *a,
					   const struct weir_address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] && a->word[1] == b->word[1] &&
	       a->word[0] == b->word[0];
}

static __always_inline int address_is_zero(const struct weir_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

static __always_inline int address_is_v4(const struct weir_address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == bpf_htonl(0xffff);
}
