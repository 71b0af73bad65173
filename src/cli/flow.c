// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/fetch.h"
#include "src/cli/table.h"
#include "src/cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A list may hold a million flows and is printed as it comes: the widths are those of IPv4. */
#define ENDPOINT_WIDTH 21
#define WIDE 116 /* columns of the long form */

struct flow_list {
	bool wide;
	bool started;
};

static void print_row(const struct flow_list *list, const char *const cells[7])
{
	printf("%-5s  %-*s  ", cells[0], ENDPOINT_WIDTH, cells[1]);
	if (list->wide)
		printf("%-*s  ", ENDPOINT_WIDTH, cells[2]);
	printf("%-*s  ", ENDPOINT_WIDTH, cells[3]);
	if (list->wide)
		printf("%-*s  ", ENDPOINT_WIDTH, cells[4]);
	printf("%-11s  %s\n", cells[5], cells[6]);
}

static void print_titles(struct flow_list *list)
{
	static const char *const titles[] = { "PROTO", "CLIENT", "LISTEN", "BACKEND",
					      "SNAT",  "STATE",  "IDLE" };

	if (!list->started)
		print_row(list, titles);
	list->started = true;
}

static void print_flow(const json_t *flow, void *user)
{
	const struct text idle = field_duration(flow, "idle_ms");
	const char *const cells[] = {
		field_text(flow, "protocol"),
		field_text(flow, "client"),
		field_text(flow, "listen"),
		field_text(flow, "backend"),
		field_text(flow, "snat"),
		field_text(flow, "state"),
		idle.s,
	};

	print_titles(user);
	print_row(user, cells);
}

int command_flow_list(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	const size_t width = terminal_width();
	struct flow_list list = { .wide = width == 0 || width >= WIDE };
	json_auto_t *arguments = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status != EXIT_DONE)
		return status;
	if (cli->json)
		return fetch_print_array(cli, "flow list", arguments);
	status = fetch_each(cli, "flow list", arguments, print_flow, &list);
	if (status == EXIT_DONE)
		print_titles(&list);
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
		printf("   (each is kept for %s at the present rate of SYNs)",
		       field_duration(count, "half_open_horizon_ms").s);
	putchar('\n');
	printf("established  %13s\n", field_count(count, "established").s);
	printf("closing      %13s\n", field_count(count, "closing").s);
	printf("limit        %13s\n", field_count(count, "limit").s);
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
