// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/cli/fetch.h"
#include "src/cli/status.h"
#include "src/cli/table.h"
#include "src/cli/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Commands that change what runs. Their operands have places: SERVICE ADDR:PORT WORD... */

static int set_number(const struct command *command, json_t *arguments, const char *key,
		      const char *text)
{
	char *end;
	long number = strtol(text ? text : "", &end, 10);

	if (!text || !*text || *end || number < 0)
		return cli_misuse(command, "%s: expected a number, not '%s'", key,
				  text ? text : "");
	json_object_set_new(arguments, key, json_integer(number));
	return EXIT_DONE;
}

/* "--deadline SECONDS" as the argument of its name. False: @argv[*index] is something else. */
static bool take_seconds(const struct command *command, char *argv[], int *index,
			 const char *option, json_t *arguments, int *status)
{
	const char *value;
	const int found = cli_take_value(argv, index, option, &value);

	if (found < 0)
		*status = cli_misuse(command, "%s: SECONDS is missing", option);
	else if (found && json_object_get(arguments, option + 2))
		*status = cli_misuse(command, "%s is given twice", option);
	else if (found)
		*status = set_number(command, arguments, option + 2, value);
	return found != 0;
}

/* The first two operands. */
static int take_place(const struct command *command, int argc, char *argv[], json_t *arguments)
{
	struct endpoint endpoint;

	if (argc < 2)
		return cli_misuse(command, "expected SERVICE ADDR:PORT");
	if (endpoint_parse_any(argv[1], &endpoint) < 0)
		return cli_misuse(command,
				  "'%s' is no backend, expected ADDR:PORT, IPv6 as [ADDR]:PORT",
				  argv[1]);
	if (json_object_set_new(arguments, "service", json_string(argv[0])) < 0)
		return cli_misuse(command, "'%s' is not valid UTF-8", argv[0]);
	json_object_set_new(arguments, "backend", json_string(argv[1]));
	return EXIT_DONE;
}

/* Sends the command; prints the answer as JSON if that is wanted. */
static int send(const struct cli *cli, const char *title, const json_t *arguments)
{
	json_auto_t *answer = NULL;

	if (cli->json)
		return fetch_print_lines(cli, title, arguments);
	return fetch_one(cli, title, arguments, &answer);
}

int command_backend_add(const struct cli *cli, const struct command *command, int argc,
			char *argv[])
{
	json_auto_t *arguments = json_object();
	int status = take_place(command, argc, argv, arguments);

	if (status == EXIT_DONE && argc == 4 && !strcmp(argv[2], "weight"))
		status = set_number(command, arguments, "weight", argv[3]);
	else if (status == EXIT_DONE && argc != 2)
		status = cli_misuse(command, "expected 'weight N' after ADDR:PORT, or nothing");
	return status == EXIT_DONE ? send(cli, "backend add", arguments) : status;
}

int command_backend_set(const struct cli *cli, const struct command *command, int argc,
			char *argv[])
{
	static const char *const states[] = { "ready", "drain", "down", "reset" };
	json_auto_t *arguments = json_object();
	int status = take_place(command, argc, argv, arguments);

	if (status != EXIT_DONE)
		return status;
	if (argc == 4 && !strcmp(argv[2], "weight")) {
		status = set_number(command, arguments, "weight", argv[3]);
		return status == EXIT_DONE ? send(cli, "backend set", arguments) : status;
	}
	for (size_t i = 0; argc == 3 && i < sizeof(states) / sizeof(states[0]); i++) {
		if (strcmp(argv[2], states[i]) != 0)
			continue;
		json_object_set_new(arguments, "state", json_string(argv[2]));
		return send(cli, "backend set", arguments);
	}
	return cli_misuse(command, "expected ready, drain, down, reset or 'weight N'");
}

int command_backend_remove(const struct cli *cli, const struct command *command, int argc,
			   char *argv[])
{
	json_auto_t *arguments = json_object();
	int status = EXIT_DONE, count = 0;
	char *places[2];

	for (int i = 0; status == EXIT_DONE && i < argc; i++) {
		const int found = take_seconds(command, argv, &i, "--deadline", arguments, &status);

		if (!found && (argv[i][0] == '-' || count == 2))
			status = cli_unexpected(command, argv[i]);
		else if (!found)
			places[count++] = argv[i];
	}
	if (status == EXIT_DONE)
		status = take_place(command, count, places, arguments);
	return status == EXIT_DONE ? send(cli, "backend remove", arguments) : status;
}

int command_flow_kill(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status != EXIT_DONE)
		return status;
	if (!json_object_size(arguments))
		return cli_misuse(command,
				  "which flows? expected --service, --backend, --client or --all");
	if (json_object_get(arguments, "all") && json_object_size(arguments) > 1)
		return cli_misuse(command, "--all goes with no other option");
	return send(cli, "flow kill", arguments);
}

static int send_generation(const struct cli *cli, const char *title, const json_t *arguments,
			   const char *done)
{
	json_auto_t *answer = NULL;
	int status;

	if (cli->json)
		return fetch_print_lines(cli, title, arguments);
	status = fetch_one(cli, title, arguments, &answer);
	if (status == EXIT_DONE)
		printf("%s, generation %s\n", done, field_count(answer, "generation").s);
	return status;
}

int command_reload(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = json_object();
	int status = EXIT_DONE;

	for (int i = 0; status == EXIT_DONE && i < argc; i++)
		if (!take_seconds(command, argv, &i, "--confirm", arguments, &status))
			status = cli_unexpected(command, argv[i]);
	if (status == EXIT_DONE)
		status = send_generation(cli, "reload", arguments, "reloaded");
	if (status == EXIT_DONE && !cli->json && field(arguments, "confirm"))
		printf("on trial for %s s: keep it with 'weir confirm'\n",
		       field_count(arguments, "confirm").s);
	return status;
}

int command_confirm(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	if (argc)
		return cli_unexpected(command, argv[0]);
	return send_generation(cli, "confirm", NULL, "confirmed");
}

int command_rollback(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	if (argc)
		return cli_unexpected(command, argv[0]);
	return send_generation(cli, "rollback", NULL, "rolled back");
}

int command_config_show(const struct cli *cli, const struct command *command, int argc,
			char *argv[])
{
	json_auto_t *answer = NULL;
	int status;

	if (argc)
		return cli_unexpected(command, argv[0]);
	if (cli->json)
		return fetch_print_lines(cli, "config show", NULL);
	status = fetch_one(cli, "config show", NULL, &answer);
	if (status == EXIT_DONE)
		fputs(field_text(answer, "yaml"), stdout);
	return status;
}

static void print_difference(const json_t *difference)
{
	const char *file = json_string_value(field(difference, "file"));
	const char *running = json_string_value(field(difference, "running"));

	printf("%s: ", field_text(difference, "path"));
	if (!file)
		printf("%s runs, not in the file\n", running);
	else if (!running)
		printf("%s in the file, does not run\n", file);
	else
		printf("%s in the file, %s runs\n", file, running);
}

int command_config_diff(const struct cli *cli, const struct command *command, int argc,
			char *argv[])
{
	json_auto_t *answer = NULL;
	const json_t *difference;
	size_t i;
	int status;

	if (argc)
		return cli_unexpected(command, argv[0]);
	if (cli->json)
		return fetch_print_array(cli, "config diff", NULL);
	status = fetch_all(cli, "config diff", NULL, &answer);
	if (status != EXIT_DONE)
		return status;
	json_array_foreach(answer, i, difference)
		print_difference(difference);
	if (!json_array_size(answer))
		puts("what runs is what the file says");
	return EXIT_DONE;
}

/* Lists and mappings of plain values in one line: "a, b", "active 1, total 2". */
static void print_value(const json_t *value)
{
	const char *between = "", *key;
	const json_t *inner;
	size_t i;

	json_array_foreach(value, i, inner) {
		fputs(between, stdout);
		print_value(inner);
		between = ", ";
	}
	json_object_foreach((json_t *)value, key, inner) {
		printf("%s%s ", between, key);
		print_value(inner);
		between = ", ";
	}
	if (json_is_string(value))
		fputs(json_string_value(value), stdout);
	else if (json_is_integer(value))
		fputs(text_count(json_integer_value(value)).s, stdout);
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "true" : "false", stdout);
}

/* "scheduler  wrr" for every field, then the backends. */
int command_service_show(const struct cli *cli, const struct command *command, int argc,
			 char *argv[])
{
	json_auto_t *arguments = NULL, *answer = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);
	const json_t *value;
	const char *key;

	if (status != EXIT_DONE)
		return status;
	if (!json_object_get(arguments, "service"))
		return cli_misuse(command, "which service? expected NAME");
	if (cli->json)
		return fetch_print_lines(cli, "service show", arguments);
	status = fetch_one(cli, "service show", arguments, &answer);
	if (status != EXIT_DONE)
		return status;
	json_object_foreach(answer, key, value) {
		if (!strcmp(key, "backends"))
			continue;
		printf("%-16s ", key);
		print_value(value);
		putchar('\n');
	}
	putchar('\n');
	if (print_backends(json_object_get(answer, "backends"), terminal_width()) < 0)
		return cli_fail("no memory for the list");
	return EXIT_DONE;
}
