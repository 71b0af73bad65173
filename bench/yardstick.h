/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "bench/frame.h"
#include "src/base/error.h"

/* The yardsticks (yardstick.bpf.c), loaded fresh each time like what they are compared with. */
struct yardstick;

/* @entries: size of the tables that bare and line look into. */
int yardstick_open(uint32_t entries, struct yardstick **ret, struct error *error);
void yardstick_close(struct yardstick *yardstick); /* NULL is allowed */

/* Makes @tuple (TCP) known to bare. */
int yardstick_add(struct yardstick *yardstick, const struct bench_tuple *tuple);

int yardstick_bare(const struct yardstick *yardstick);
int yardstick_pass(const struct yardstick *yardstick);
int yardstick_line(const struct yardstick *yardstick);
