// SPDX-License-Identifier: GPL-2.0-only
#include "abi/reasons.h"

#include "src/base/cleanup.h"
#include "src/cli/status.h"
#include "src/cli/table.h"
#include "src/cli/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One screen: of what may be long only the beginning is shown. */
#define STATUS_SERVICES 16
#define STATUS_BACKENDS 32
#define STATUS_SNAT 8

#define _cleanup_table_ _cleanup_(table_release)

struct reason {
	const char *name;
	const char *verdict;
	const char *help;
};

#define REASON_PASS(NAME, name, help) { #name, "pass", help },
#define REASON_DROP(NAME, name, help) { #name, "drop", help },
#define REASON_SEND(NAME, name, help) { #name, "send", help },

static const struct reason reasons[] = { WEIR_REASONS_PASS(REASON_PASS) WEIR_REASONS_DROP(
	REASON_DROP) WEIR_REASONS_SEND(REASON_SEND) };

static void add_pair(struct table *table, const json_t *document, const char *path)
{
	char in[32], out[32];

	snprintf(in, sizeof(in), "%s.in", path);
	snprintf(out, sizeof(out), "%s.out", path);
	table_add(table, "%s / %s", field_short(document, in).s, field_short(document, out).s);
}

static void add_listens(struct table *table, const json_t *service)
{
	const json_t *listens = field(service, "listen");
	const char *first = json_string_value(json_array_get(listens, 0));
	const size_t count = json_array_size(listens);

	if (count > 1)
		table_add(table, "%s (+%zu)", first ? first : "-", count - 1);
	else
		table_add(table, "%s", first ? first : "-");
}

static int print_some_services(const json_t *services, size_t limit, size_t width)
{
	static const struct table_column columns[] = {
		{ "SERVICE", false, 0, 0 },         { "LISTEN", false, 2, 0 },
		{ "PROTO", false, 4, 0 },           { "MODE", false, 4, 0 },
		{ "SCHED", false, 1, 0 },           { "UP", true, 0, 0 },
		{ "ACTIVE", true, 0, 0 },           { "TOTAL", true, 0, 0 },
		{ "PACKETS IN / OUT", true, 3, 0 },
	};
	_cleanup_table_ struct table table = TABLE(columns);

	for (size_t i = 0; i < json_array_size(services) && i < limit; i++) {
		const json_t *service = json_array_get(services, i);

		table_add(&table, "%s", field_text(service, "name"));
		add_listens(&table, service);
		table_add(&table, "%s", field_text(service, "protocol"));
		table_add(&table, "%s", field_text(service, "mode"));
		table_add(&table, "%s", field_text(service, "scheduler"));
		table_add(&table, "%s/%s", field_count(service, "healthy").s,
			  field_count(service, "backends").s);
		table_add(&table, "%s", field_count(service, "connections.active").s);
		table_add(&table, "%s", field_count(service, "connections.total").s);
		add_pair(&table, service, "packets");
	}
	return table_print(&table, width);
}

static bool one_service(const json_t *backends)
{
	const char *first = field_text(json_array_get(backends, 0), "service");

	for (size_t i = 1; i < json_array_size(backends); i++)
		if (strcmp(field_text(json_array_get(backends, i), "service"), first) != 0)
			return false;
	return true;
}

/* Why it gets no new connections. */
static bool has_reason(const json_t *backend)
{
	const char *why = json_string_value(field(backend, "why"));

	return why && why[0];
}

static bool some_have_reasons(const json_t *backends, size_t limit)
{
	for (size_t i = 0; i < json_array_size(backends) && i < limit; i++)
		if (has_reason(json_array_get(backends, i)))
			return true;
	return false;
}

/* @brief: a service's name is not said again with each of its backends. */
static int print_some_backends(const json_t *backends, bool brief, size_t limit, size_t width)
{
	const struct table_column columns[] = {
		{ "SERVICE", false, one_service(backends) ? 7 : 1, 0 },
		{ "BACKEND", false, 0, 0 },
		{ "WEIGHT", true, 4, 0 },
		{ "STATE", false, 0, 0 },
		{ "HEALTH", false, 0, 0 },
		{ "ACTIVE", true, 0, 0 },
		{ "TOTAL", true, 3, 0 },
		{ "PACKETS IN / OUT", true, 6, 0 },
		{ "BYTES IN / OUT", true, 5, 0 },
		{ "WHY NOT", false, 2, 32 },
	};
	_cleanup_table_ struct table table = TABLE(columns);
	const char *before = "";

	if (!some_have_reasons(backends, limit))
		table.column_count--;
	for (size_t i = 0; i < json_array_size(backends) && i < limit; i++) {
		const json_t *backend = json_array_get(backends, i);
		const char *service = field_text(backend, "service");

		table_add(&table, "%s", brief && !strcmp(service, before) ? "" : service);
		before = service;
		table_add(&table, "%s", field_text(backend, "address"));
		table_add(&table, "%s", field_count(backend, "weight").s);
		table_add(&table, "%s", field_text(backend, "state"));
		table_add(&table, "%s", field_text(backend, "health"));
		table_add(&table, "%s", field_count(backend, "connections.active").s);
		table_add(&table, "%s", field_count(backend, "connections.total").s);
		add_pair(&table, backend, "packets");
		add_pair(&table, backend, "bytes");
		if (table.column_count == sizeof(columns) / sizeof(columns[0]))
			table_add(&table, "%s",
				  has_reason(backend) ? field_text(backend, "why") : "");
	}
	return table_print(&table, width);
}

int print_services(const json_t *services, size_t width)
{
	return print_some_services(services, SIZE_MAX, width);
}

int print_backends(const json_t *backends, size_t width)
{
	return print_some_backends(backends, false, SIZE_MAX, width);
}

static void print_rest(const json_t *list, size_t limit, const char *command)
{
	if (json_array_size(list) > limit)
		printf("... and %s more: weir %s\n", text_count(json_array_size(list) - limit).s,
		       command);
	putchar('\n');
}

static int print_interfaces(const json_t *interfaces, size_t width)
{
	static const struct table_column columns[] = {
		{ "INTERFACE", false, 0, 0 },
		{ "ATTACH", false, 0, 0 },
		{ "DRIVER", false, 0, 0 },
		{ "PROGRAM", true, 0, 0 },
	};
	_cleanup_table_ struct table table = TABLE(columns);

	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *interface = json_array_get(interfaces, i);

		table_add(&table, "%s", field_text(interface, "name"));
		table_add(&table, "%s", field_text(interface, "attach"));
		table_add(&table, "%s", field_text(interface, "driver"));
		if (json_is_integer(field(interface, "program_id")))
			table_add(&table, "%ju", (uintmax_t)field_number(interface, "program_id"));
		else
			table_add(&table, "-");
	}
	return table_print(&table, width);
}

static void print_flows(const json_t *flows)
{
	printf("flows    %s established, %s half-open, %s closing\n"
	       "         %s of %s records in use\n",
	       field_count(flows, "established").s, field_count(flows, "half_open").s,
	       field_count(flows, "closing").s, field_count(flows, "used").s,
	       field_count(flows, "limit").s);
	if (json_is_integer(field(flows, "limit_v6")))
		printf("         %s of %s for IPv6\n", field_count(flows, "used_v6").s,
		       field_count(flows, "limit_v6").s);
	if (field_number(flows, "quarantine"))
		printf("         %s source ports rest until their backend forgets them\n",
		       field_count(flows, "quarantine").s);
	if (json_is_integer(field(flows, "half_open_horizon_ms")))
		printf("         a half-open one is kept for %s at the present rate of SYNs\n",
		       field_duration(flows, "half_open_horizon_ms").s);
}

struct snat {
	const json_t *entry;
	double used; /* share of the limit */
};

static int compare_snat(const void *a, const void *b)
{
	const struct snat *left = a, *right = b;

	return (left->used < right->used) - (left->used > right->used);
}

/* The fullest first: they are the ones that need an address more. */
static int print_snat(const json_t *list)
{
	const size_t count = json_array_size(list);
	_cleanup_free_ struct snat *sorted = NULL;

	if (count == 0)
		return 0;
	sorted = calloc(count, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(list, i);
		const uint64_t limit = field_number(entry, "limit");

		sorted[i].entry = entry;
		sorted[i].used = limit ? (double)field_number(entry, "used") / limit : 0;
	}
	qsort(sorted, count, sizeof(*sorted), compare_snat);
	for (size_t i = 0; i < count && i < STATUS_SNAT; i++)
		printf("%s  %s of %s ports towards %s for %s\n", i ? "       " : "snat   ",
		       field_count(sorted[i].entry, "used").s,
		       field_count(sorted[i].entry, "limit").s,
		       field_text(sorted[i].entry, "backend"),
		       field_text(sorted[i].entry, "service"));
	if (count > STATUS_SNAT)
		printf("         ... and %s backends that use fewer\n",
		       text_count(count - STATUS_SNAT).s);
	return 0;
}

struct reason_count {
	const char *name;
	uint64_t count;
};

static int compare_counts(const void *a, const void *b)
{
	const struct reason_count *left = a, *right = b;

	if (left->count != right->count)
		return left->count < right->count ? 1 : -1;
	return strcmp(left->name, right->name);
}

static const struct reason *find_reason(const char *name)
{
	static const struct reason unknown = { "-", "-", "" };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].name, name))
			return &reasons[i];
	return &unknown;
}

static int print_reasons(const json_t *counts, size_t width)
{
	static const struct table_column columns[] = {
		{ "REASON", false, 0, 0 },
		{ "VERDICT", false, 0, 0 },
		{ "PACKETS", true, 0, 0 },
		{ "MEANING", false, 1, 20 },
	};
	_cleanup_table_ struct table table = TABLE(columns);
	_cleanup_free_ struct reason_count *sorted = NULL;
	const json_t *value;
	const char *name;
	size_t used = 0;

	sorted = calloc(json_object_size(counts) + 1, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	json_object_foreach((json_t *)counts, name, value)
		if (json_integer_value(value) > 0)
			sorted[used++] = (struct reason_count){ name, json_integer_value(value) };
	if (used == 0)
		return 0;
	qsort(sorted, used, sizeof(*sorted), compare_counts);
	for (size_t i = 0; i < used; i++) {
		const struct reason *reason = find_reason(sorted[i].name);

		table_add(&table, "%s", sorted[i].name);
		table_add(&table, "%s", reason->verdict);
		table_add(&table, "%s", text_count(sorted[i].count).s);
		table_add(&table, "%s", reason->help);
	}
	putchar('\n');
	return table_print(&table, width);
}

int print_status(const json_t *status, const json_t *services, const json_t *backends, size_t width)
{
	int code;

	printf("weir %s, generation %s, memory %s, swept %s ago\n", field_text(status, "version"),
	       field_count(status, "generation").s, field_short(status, "memory_bytes").s,
	       field_duration(status, "sweep_age_ms").s);
	if (json_is_integer(field(status, "trial_ms")))
		printf("on trial: rolled back in %s unless confirmed with 'weir confirm'\n",
		       field_duration(status, "trial_ms").s);
	putchar('\n');
	code = print_interfaces(field(status, "interfaces"), width);
	putchar('\n');
	if (code == 0)
		code = print_some_services(services, STATUS_SERVICES, width);
	print_rest(services, STATUS_SERVICES, "service list");
	if (code == 0)
		code = print_some_backends(backends, true, STATUS_BACKENDS, width);
	print_rest(backends, STATUS_BACKENDS, "backend list");
	print_flows(field(status, "flows"));
	if (code == 0)
		code = print_snat(field(status, "snat"));
	printf("packets  %s\n", field_count(status, "packets").s);
	if (field(status, "per_second"))
		printf("         %s a second at present, and %s new flow%s\n",
		       field_count(status, "per_second.packets").s,
		       field_count(status, "per_second.flows").s,
		       field_number(status, "per_second.flows") == 1 ? "" : "s");
	if (field_number(status, "redirect_failures"))
		printf("         %s could not be sent from another interface (redirect failures)\n",
		       field_count(status, "redirect_failures").s);
	if (code == 0)
		code = print_reasons(field(status, "reasons"), width);
	return code;
}
