/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

/*
 * A message for the operator: what happened, where, how to mend. Functions that can fail in a way
 * that a number does not tell take a `struct error *`, fill it and return a negative errno.
 */
struct error {
	char text[512];
};

/* Fills @error (NULL is allowed) and returns @code, so that `return error_set(...)` reads well. */
__attribute__((format(printf, 3, 4))) int error_set(struct error *error, int code,
						    const char *format, ...);
