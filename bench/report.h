/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "bench/measure.h"

/* Writes all that was measured as one JSON document to standard output. Returns 0 or a negative errno. */
int report_write(const struct program_sizes *sizes, const struct plan *plans, size_t plan_count);
