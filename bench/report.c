// SPDX-License-Identifier: GPL-2.0-only
#include "bench/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/primitives.h"

static const char *const target_names[BENCH_TARGETS] = {
	[BENCH_NOTHING] = "wrapper",     [BENCH_PASS] = "pass", [BENCH_BARE] = "bare",
	[BENCH_LINE] = "one cache line", [BENCH_WEIR] = "weir",
};

/* The row of the wrapper alone, doing the same work for the same flows. */
static const struct row *wrapper_of(const struct plan *plan, const struct row *row)
{
	enum traffic_kind kind = traffic_wrapper(row->path->kind);

	for (size_t i = 0; i < plan->row_count; i++)
		if (plan->rows[i].path->target == BENCH_NOTHING &&
		    plan->rows[i].path->kind == kind && plan->rows[i].group == row->group)
			return &plan->rows[i];
	abort(); /* a table of paths without its wrapper */
}

static json_t *numbers(const double *values, uint32_t count)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(array, json_real(values[i]));
	return array;
}

/* As arrays: program, file, line, samples; or of the kernel: address, samples. */
static json_t *profile_json(const struct profile *profile)
{
	json_t *array = json_array();

	for (size_t i = 0; i < profile->count; i++) {
		const struct profile_spot *spot = &profile->spots[i];
		char address[32];

		snprintf(address, sizeof(address), "%lx", (unsigned long)spot->address);
		json_array_append_new(
			array, spot->file[0] ? json_pack("[s, s, i, i]", spot->program, spot->file,
							 (int)spot->line, (int)spot->samples) :
					       json_pack("[s, i]", address, (int)spot->samples));
	}
	return array;
}

static json_t *row_json(size_t number, const struct plan *plan, const struct row *row)
{
	const struct path *path = row->path;
	bool ipv6 = traffic_is_ipv6(path->kind);

	json_t *json;

	json = json_pack("{si, ss, ss, si, si, si, so, so}", "plan", (int)number, "path",
			 path->name, "program", target_names[path->target], "family", ipv6 ? 6 : 4,
			 "flows", (int)plan->group_size[row->group], "frame_bytes",
			 ipv6 ? BENCH_FRAME6 : BENCH_FRAME, "raw_ns", numbers(row->ns, plan->loads),
			 "wrapper_ns", numbers(wrapper_of(plan, row)->ns, plan->loads));
	if (row->profile.count) {
		json_object_set_new(json, "profile", profile_json(&row->profile));
		json_object_set_new(json, "wrapper_profile",
				    profile_json(&wrapper_of(plan, row)->profile));
	}
	return json;
}

static json_t *primitives_json(uint32_t loads)
{
	json_t *array = json_array();

	for (size_t i = 0; i < PRIMITIVES; i++)
		json_array_append_new(array, json_pack("{ss, si, so}", "name", primitives[i].name,
						       "times", (int)primitives[i].times, "ns",
						       numbers(primitives[i].ns, loads)));
	return array;
}

static json_t *program_json(const struct program_size *size)
{
	return json_pack("{si, si}", "verified_instructions", (int)size->verified_instructions,
			 "jited_bytes", (int)size->jited_bytes);
}

int report_write(const struct program_sizes *sizes, const struct plan *plans, size_t plan_count)
{
	json_t *rows = json_array();
	json_t *document;
	int r;

	for (size_t i = 0; i < plan_count; i++)
		for (size_t j = 0; j < plans[i].row_count; j++)
			if (plans[i].rows[j].path->target != BENCH_NOTHING)
				json_array_append_new(rows,
						      row_json(i, &plans[i], &plans[i].rows[j]));
	document = json_pack("{s{so, so, so, so}, so, so}", "programs", "weir_xdp",
			     program_json(&sizes->xdp), "weir_slow", program_json(&sizes->slow),
			     "bare", program_json(&sizes->bare), "pass", program_json(&sizes->pass),
			     "rows", rows, "primitives", primitives_json(plans[0].loads));
	if (!document)
		return -ENOMEM;
	r = json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(document);
	if (r || putchar('\n') == EOF || fflush(stdout))
		return -EIO;
	return 0;
}
