/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "src/base/address.h"

/* A network. The length counts bits of the 128-bit form: 10.0.0.0/8 has 104. No bit behind it is set. */
struct prefix {
	struct weir_address address;
	uint8_t length;
};

#define PREFIX_STRING_SIZE 56

/*
 * Parses "A.B.C.D/N", "V6/N", or an address alone, which is all of its bits. Returns 0; -EINVAL: it is
 * neither; -ERANGE: bits behind the length are set, *ret is the network around it.
 */
int prefix_parse(const char *text, struct prefix *ret);

/* As it is parsed, always with the length. Returns @buffer. */
char *prefix_format(const struct prefix *prefix, char buffer[static PREFIX_STRING_SIZE]);
