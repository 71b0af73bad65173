/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/harness.h"

/* One frame, and what must become of it in a world of its own. */
struct row {
	const char *name;
	void (*setup)(struct world *world); /* NULL: the world as it is */
	struct frame (*in)(void);
	enum weir_reason reason;
	uint32_t verdict;
	struct frame (*out)(const struct frame *in); /* NULL: the same, not one byte changed */
};

/* Runs each row as a test of its own. */
int rows_run(const struct row *rows, size_t count);
