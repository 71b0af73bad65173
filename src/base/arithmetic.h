/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/* 0 if both are 0. */
static inline uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		const uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}
