/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "bench/measure.h"

/* How much slower than bare an established nat packet may be before the gate shuts. */
#define GATE 2.5

/* What a number is worth nothing without. */
struct report_head {
	char machine[256]; /* processor, kernel, compiler */
	char date[32];
	char command[256];
	uint32_t loads;
	struct balancer_programs programs;
};

void report_head_fill(struct report_head *ret, int argc, char **argv, uint32_t loads);

void report_print_head(const struct report_head *head);
void report_print_plan(const struct plan *plan, uint32_t loads);

/* Writes all of it as one JSON document. Returns 0 or a negative errno. */
int report_write_json(const char *path, const struct report_head *head,
		      const struct plan *const *plans, size_t plan_count);

/* Prints the rows that the gate stops. Returns how many. */
size_t report_gate(const struct plan *plan, uint32_t loads);
