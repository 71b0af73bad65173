// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/fetch.h"
#include "src/cli/status.h"
#include "src/cli/table.h"

static int list(const struct cli *cli, const struct command *command, int argc, char *argv[],
		int (*print)(const json_t *list, size_t width))
{
	json_auto_t *arguments = NULL, *answer = NULL;
	char title[COMMAND_TITLE_SIZE];
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status != EXIT_DONE)
		return status;
	command_title(command, title);
	if (cli->json)
		return fetch_print_array(cli, title, arguments);
	status = fetch_all(cli, title, arguments, &answer);
	if (status != EXIT_DONE)
		return status;
	if (print(answer, terminal_width()) < 0)
		return cli_fail("no memory for the list");
	return EXIT_DONE;
}

int command_service_list(const struct cli *cli, const struct command *command, int argc,
			 char *argv[])
{
	return list(cli, command, argc, argv, print_services);
}

int command_backend_list(const struct cli *cli, const struct command *command, int argc,
			 char *argv[])
{
	return list(cli, command, argc, argv, print_backends);
}

int command_status(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	json_auto_t *arguments = NULL, *document = NULL, *services = NULL, *backends = NULL;
	int status = fetch_parse(command, argc, argv, &arguments);

	if (status == EXIT_DONE && cli->json)
		return fetch_print_lines(cli, "status", arguments);
	if (status == EXIT_DONE)
		status = fetch_one(cli, "status", arguments, &document);
	if (status == EXIT_DONE)
		status = fetch_all(cli, "service list", arguments, &services);
	if (status == EXIT_DONE)
		status = fetch_all(cli, "backend list", arguments, &backends);
	if (status != EXIT_DONE)
		return status;
	if (print_status(document, services, backends, terminal_width()) < 0)
		return cli_fail("no memory for the status");
	return EXIT_DONE;
}
