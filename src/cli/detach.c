// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/cli/command.h"
#include "src/cli/paths.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void print_line(const char *line, void *user)
{
	puts(line);
}

static void collect_line(const char *line, void *user)
{
	json_array_append_new(user, json_string(line));
}

static int detach_as_json(const struct cli *cli, const struct paths *paths, bool force,
			  struct error *error)
{
	json_auto_t *lines = json_array();
	json_auto_t *document = json_pack("{s:O}", "done", lines);
	int err;

	if (!document)
		return error_set(error, -1, "no memory");
	err = cli->detach(cli->socket_path, paths, force, collect_line, lines, error);
	json_dumpf(document, stdout, JSON_INDENT(2));
	putchar('\n');
	return err;
}

int command_detach(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	_cleanup_(paths_free) struct paths paths = {};
	struct error error = {};
	bool force = false;
	int err;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--force") != 0)
			return cli_unexpected(command, argv[i]);
		force = true;
	}
	if (paths_find(cli->socket_path, &paths) < 0)
		return cli_fail("no memory");
	err = cli->json ? detach_as_json(cli, &paths, force, &error) :
			  cli->detach(cli->socket_path, &paths, force, print_line, NULL, &error);
	return err < 0 ? cli_fail("%s", error.text) : EXIT_DONE;
}
