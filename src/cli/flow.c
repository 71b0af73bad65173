// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/fetch.h"
#include "src/cli/table.h"
#include "src/cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/*
 * A list may hold a million flows and is printed as it comes: the first ones say how wide columns are,
 * and whoever is longer widens them from there on.
 */
#define FLOWS_FIRST 256
#define COLUMNS 7
#define ENDPOINT_WIDTH 21 /* IPv4 */
#define GAP 2

static const struct flow_column {
	const char *title, *key;
	size_t width; /* at least */
	bool wide;    /* only where there is room for all */
} columns[COLUMNS] = {
	{ "PROTO", "protocol", 5, false },
	{ "CLIENT", "client", ENDPOINT_WIDTH, false },
	{ "LISTEN", "listen", ENDPOINT_WIDTH, true },
	{ "BACKEND", "backend", ENDPOINT_WIDTH, false },
	{ "SNAT", "snat", ENDPOINT_WIDTH, true },
	{ "STATE", "state", 11, false },
	{ "IDLE", "idle_ms", 8, false },
};

struct flow_list {
	size_t widths[COLUMNS];
	size_t terminal; /* columns, 0: no limit */
	bool wide;
	bool started;
	json_t *first; /* flows that wait for those that say the widths */
};

/* What stands in a column. @flow NULL: its title. */
static const char *cell_of(const json_t *flow, size_t column, struct text *buffer)
{
	if (!flow)
		return columns[column].title;
	if (column < COLUMNS - 1)
		return field_text(flow, columns[column].key);
	*buffer = field_duration(flow, columns[column].key);
	return buffer->s;
}

static void widen(struct flow_list *list, const json_t *flow)
{
	struct text buffer;

	for (size_t c = 0; c < COLUMNS; c++) {
		const size_t length = strlen(cell_of(flow, c, &buffer));

		if (length > list->widths[c])
			list->widths[c] = length;
	}
}

static void print_row(struct flow_list *list, const json_t *flow)
{
	struct text buffer;

	widen(list, flow);
	for (size_t c = 0; c < COLUMNS; c++) {
		const char *cell = cell_of(flow, c, &buffer);

		if (columns[c].wide && !list->wide)
			continue;
		if (c < COLUMNS - 1)
			printf("%-*s", (int)(list->widths[c] + GAP), cell);
		else
			puts(cell);
	}
}

/* Titles, and the flows that waited. */
static void start(struct flow_list *list)
{
	size_t index, total = 0;
	const json_t *flow;

	list->started = true;
	json_array_foreach(list->first, index, flow)
		widen(list, flow);
	for (size_t c = 0; c < COLUMNS; c++)
		total += list->widths[c] + (c ? GAP : 0);
	list->wide = !list->terminal || list->terminal >= total;
	print_row(list, NULL);
	json_array_foreach(list->first, index, flow)
		print_row(list, flow);
	json_array_clear(list->first);
}

static void print_flow(const json_t *flow, void *user)
{
	struct flow_list *list = user;

	/* Without memory it begins with the widths that it has. */
	if (!list->started && json_array_size(list->first) < FLOWS_FIRST &&
	    json_array_append(list->first, (json_t *)flow) == 0)
		return;
	if (!list->started)
		start(list);
	print_row(list, flow);
}

int command_flow_list(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = NULL, *first = json_array();
	struct flow_list list = { .terminal = terminal_width(), .first = first };
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status != EXIT_DONE)
		return status;
	if (cli->json)
		return fetch_print_array(cli, "flow list", arguments);
	for (size_t c = 0; c < COLUMNS; c++)
		list.widths[c] = columns[c].width;
	status = fetch_each(cli, "flow list", arguments, print_flow, &list);
	if (!list.started && (status == EXIT_DONE || json_array_size(list.first)))
		start(&list);
	return status;
}

int command_flow_count(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = NULL, *count = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status == EXIT_DONE && cli->json)
		return fetch_print_lines(cli, "flow count", arguments);
	if (status == EXIT_DONE)
		status = fetch_one(cli, "flow count", arguments, &count);
	if (status != EXIT_DONE)
		return status;
	printf("half-open    %13s", field_count(count, "half_open").s);
	if (json_is_integer(field(count, "half_open_horizon_ms")))
		printf("   (kept for %s at the present rate of SYNs)",
		       field_duration(count, "half_open_horizon_ms").s);
	putchar('\n');
	printf("established  %13s\n", field_count(count, "established").s);
	printf("closing      %13s\n", field_count(count, "closing").s);
	printf("limit        %13s\n", field_count(count, "limit").s);
	if (json_is_integer(field(count, "limit_v6")))
		printf("limit IPv6   %13s\n", field_count(count, "limit_v6").s);
	return EXIT_DONE;
}

static void print_time(const json_t *decision)
{
	const int64_t microseconds = json_number_value(field(decision, "time")) * 1e6 + 0.5;
	const time_t seconds = microseconds / 1000000;
	struct tm local;
	char clock[16];

	if (!localtime_r(&seconds, &local))
		memset(&local, 0, sizeof(local));
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	printf("%s.%06" PRId64, clock, microseconds % 1000000);
}

/* 20:15:02.123456 tcp 10.0.0.20:40000 > 192.168.178.10:8000 [S] new_flow -> 192.168.178.11:8000 */
static void print_decision(const json_t *decision, void *user)
{
	const char *source = json_string_value(field(decision, "source"));
	const char *backend = json_string_value(field(decision, "backend"));
	const char *flags = json_string_value(field(decision, "tcp_flags"));

	print_time(decision);
	if (source && source[0])
		printf(" %s %s > %s", field_text(decision, "protocol"), source,
		       field_text(decision, "destination"));
	if (flags && flags[0])
		printf(" [%s]", flags);
	printf(" %s", field_text(decision, "reason"));
	if (backend && backend[0])
		printf(" -> %s", backend);
	putchar('\n');
	/* Each line at once, also into a pipe. */
	fflush(stdout);
}

int command_trace(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status != EXIT_DONE)
		return status;
	if (cli->json)
		return fetch_print_lines(cli, "trace", arguments);
	return fetch_each(cli, "trace", arguments, print_decision, NULL);
}
