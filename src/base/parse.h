/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * Numbers as the operator writes them: decimal digits, no sign, no blanks, no superfluous leading
 * zero. All return 0, -EINVAL (not of this form) or -ERANGE (beyond 64 bits); *ret is untouched on
 * failure.
 */
int parse_number(const char *text, uint64_t *ret);

/* A number, or one with a suffix: k (1024), M (1024 k), G (1024 M). */
int parse_size(const char *text, uint64_t *ret);

/*
 * Milliseconds: numbers with a unit each (h, m, s, ms), the larger unit first and each at most
 * once: "500ms", "2h4m". A zero needs no unit.
 */
int parse_time(const char *text, uint64_t *ret);

/* "LOW-HIGH", both 1-65535 and LOW <= HIGH (else -ERANGE). */
int parse_port_range(const char *text, uint16_t *ret_low, uint16_t *ret_high);
