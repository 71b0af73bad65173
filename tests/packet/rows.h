/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/harness.h"

/* One frame, and what must become of it. Rows without a setup leave no trace and share one world. */
struct row {
	const char *name;
	void (*setup)(struct world *world); /* NULL: the world as it is */
	struct frame (*in)(void);
	enum weir_reason reason;
	uint32_t verdict;
	struct frame (*out)(const struct frame *in); /* NULL: the same, not one byte changed */
	enum { ROW_BOTH, ROW_V4, ROW_V6 } only;      /* of which family */
};

/* Runs each row as a test of its own. */
int rows_run(const struct row *rows, size_t count);
