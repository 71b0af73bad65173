// SPDX-License-Identifier: GPL-2.0-only
#include "bench/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "src/base/cleanup.h"

struct spread {
	double median;
	double least;
	double most;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, uint32_t count)
{
	double sorted[LOADS_MOST];

	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	return (struct spread){
		.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2,
		.least = sorted[0],
		.most = sorted[count - 1],
	};
}

static double ratio_of(const struct plan *plan, const struct row *row, uint32_t loads)
{
	return spread_of(row->net, loads).median /
	       spread_of(measure_bare(plan, row)->net, loads).median;
}

/* 0: @row is of IPv4. */
static double ratio_to_ipv4(const struct plan *plan, const struct row *row, uint32_t loads)
{
	const struct row *ipv4 = measure_ipv4(plan, row);

	if (!ipv4)
		return 0;
	return spread_of(row->net, loads).median / spread_of(ipv4->net, loads).median;
}

static uint32_t flows_of(const struct plan *plan, const struct row *row)
{
	return plan->group_size[row->group];
}

static void read_processor(char name[128])
{
	_cleanup_fclose_ FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(name, 128, "unknown processor");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "model name : %127[^\n]", name) == 1)
			return;
}

void report_head_fill(struct report_head *ret, int argc, char **argv, uint32_t loads)
{
	time_t now = time(NULL);
	struct utsname kernel;
	char processor[128];
	size_t used = 0;

	*ret = (struct report_head){ .loads = loads };
	read_processor(processor);
	uname(&kernel);
	snprintf(ret->machine, sizeof(ret->machine), "%s, %ld CPUs, Linux %.100s, %s", processor,
		 sysconf(_SC_NPROCESSORS_ONLN), kernel.release, BENCH_COMPILER);
	strftime(ret->date, sizeof(ret->date), "%F %T %z", localtime(&now));
	for (int i = 0; i < argc && used < sizeof(ret->command); i++)
		used += (size_t)snprintf(ret->command + used, sizeof(ret->command) - used, "%s%s",
					 i ? " " : "", argv[i]);
}

static void print_program(const char *name, const struct balancer_program *program)
{
	printf("%s: %u instructions verified, %u bytes of machine code\n", name,
	       program->verified_instructions, program->jited_bytes);
}

void report_print_head(const struct report_head *head)
{
	printf("%s\n%s, %s\n", head->machine, head->date, head->command);
	print_program("weir_xdp", &head->programs.xdp);
	print_program("weir_slow", &head->programs.slow);
	printf("ns per packet (IPv4 %d B, IPv6 %d B): median of %u loads, least - most; x = times "
	       "bare, or the same path of IPv4, with as many flows\n"
	       "target: most x bare; of paths of IPv6: most x IPv4\n\n",
	       BENCH_FRAME, BENCH_FRAME6, head->loads);
	printf("%-32s %9s %8s %17s %8s %7s %7s %7s\n", "path", "flows", "ns", "least - most",
	       "bare ns", "x bare", "x IPv4", "target");
}

static void print_row(const struct plan *plan, const struct row *row, uint32_t loads)
{
	struct spread ns = spread_of(row->net, loads);
	double ratio = ratio_of(plan, row, loads);
	double ipv4 = ratio_to_ipv4(plan, row, loads);

	printf("%-32s %9u %8.1f %7.1f - %7.1f %8.1f %7.2f", row->path, flows_of(plan, row),
	       ns.median, ns.least, ns.most, spread_of(measure_bare(plan, row)->net, loads).median,
	       ratio);
	if (ipv4 > 0)
		printf(" %7.2f", ipv4);
	else
		printf(" %7s", "");
	if (row->goal)
		printf(" %7.1f%s", row->goal,
		       (ipv4 > 0 ? ipv4 : ratio) <= row->goal ? "" : "  missed");
	putchar('\n');
}

void report_print_plan(const struct plan *plan, uint32_t loads)
{
	for (size_t i = 0; i < plan->row_count; i++)
		if (plan->rows[i].target != BENCH_NOTHING)
			print_row(plan, &plan->rows[i], loads);
	printf("subtracted, the wrapper alone:");
	for (size_t i = 0; i < plan->row_count; i++) {
		const struct row *row = &plan->rows[i];

		if (row->target == BENCH_NOTHING)
			printf(" %s/%u %.1f", row->path, flows_of(plan, row),
			       spread_of(row->raw, loads).median);
	}
	putchar('\n');
}

static json_t *spread_json(const double *values, uint32_t loads)
{
	struct spread ns = spread_of(values, loads);

	return json_pack("{sf, sf, sf}", "median", ns.median, "least", ns.least, "most", ns.most);
}

static json_t *row_json(const struct plan *plan, const struct row *row, uint32_t loads)
{
	double ipv4 = ratio_to_ipv4(plan, row, loads);

	return json_pack("{ss, si, so, so, sf, so, so}", "path", row->path, "flows",
			 (int)flows_of(plan, row), "ns", spread_json(row->net, loads), "bare_ns",
			 spread_json(measure_bare(plan, row)->net, loads), "ratio",
			 ratio_of(plan, row, loads), "ratio_to_ipv4",
			 ipv4 > 0 ? json_real(ipv4) : json_null(), "target",
			 row->goal ? json_real(row->goal) : json_null());
}

static json_t *program_json(const struct balancer_program *program)
{
	return json_pack("{si, si}", "verified_instructions", (int)program->verified_instructions,
			 "jited_bytes", (int)program->jited_bytes);
}

int report_write_json(const char *path, const struct report_head *head,
		      const struct plan *const *plans, size_t plan_count)
{
	json_t *rows = json_array();
	json_t *document;
	int r = 0;

	for (size_t i = 0; i < plan_count; i++)
		for (size_t j = 0; j < plans[i]->row_count; j++)
			if (plans[i]->rows[j].target != BENCH_NOTHING)
				json_array_append_new(
					rows, row_json(plans[i], &plans[i]->rows[j], head->loads));
	document = json_pack("{ss, ss, ss, si, so, so, so}", "machine", head->machine, "date",
			     head->date, "command", head->command, "loads", (int)head->loads,
			     "program", program_json(&head->programs.xdp), "slow_program",
			     program_json(&head->programs.slow), "rows", rows);
	if (!document)
		return -ENOMEM;
	errno = EIO;
	if (json_dump_file(document, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
		r = -errno;
	json_decref(document);
	return r;
}

size_t report_gate(const struct plan *plan, uint32_t loads)
{
	size_t stopped = 0;

	for (size_t i = 0; i < plan->row_count; i++) {
		const struct row *row = &plan->rows[i];

		if (!row->floor || ratio_of(plan, row, loads) <= GATE)
			continue;
		fprintf(stderr, "gate: %s, %u flows: %.2f times bare, more than %.1f\n", row->path,
			flows_of(plan, row), ratio_of(plan, row, loads), GATE);
		stopped++;
	}
	return stopped;
}
