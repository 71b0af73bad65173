// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/host_addresses.h"
#include "src/cli/cli.h"
#include "src/cli/command.h"
#include "src/cli/paths.h"
#include "src/model/config_file.h"
#include "src/model/run_flags.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void print_finding(size_t line, size_t column, const char *text, void *user)
{
	const char *path = user;

	fprintf(stderr, "%s:%zu:%zu: error: %s\n", path, line, column, text);
}

static int from_file(const char *path, struct config *config)
{
	int err = config_file_load(path, config, print_finding, (void *)path);

	if (err == -EINVAL)
		return cli_fail("%s: not started, see above", path);
	return err < 0 ? cli_fail("%s: cannot be read: %s", path, strerror(-err)) : EXIT_DONE;
}

static int from_flags(const struct command *command, int argc, char *argv[], struct config *config)
{
	struct error error;
	int code = run_flags_parse(argc, argv, config, &error);

	if (code == 0)
		code = config_check(config, &error);
	if (code == -ENOMEM)
		return cli_fail("%s", error.text);
	return code < 0 ? cli_misuse(command, "%s", error.text) : EXIT_DONE;
}

/* "-c FILE" or "-c=FILE", which goes with nothing else. NULL: flags. */
static int find_file(const struct command *command, int argc, char *argv[], const char **ret)
{
	const char *file = NULL;
	int last = 0;
	const int found = argc ? cli_take_value(argv, &last, "-c", &file) : 0;

	if (found < 0 || (found && !file[0]))
		return cli_misuse(command, "-c: FILE is missing");
	if (found && last + 1 < argc)
		return cli_misuse(command, "'%s': with a file there are no other options",
				  argv[last + 1]);
	*ret = file;
	return EXIT_DONE;
}

int command_run(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	_cleanup_free_ struct weir_address *addresses = NULL;
	_cleanup_(config_free) struct config config;
	_cleanup_(paths_free) struct paths paths = {};
	struct cli_run run = { .config = &config, .socket_path = cli->socket_path };
	int status;

	/* The daemon outlives whoever reads its output. */
	signal(SIGPIPE, SIG_IGN);
	config_init(&config);
	config.host_address_count = host_addresses_read(&addresses);
	config.host_addresses = addresses;
	status = find_file(command, argc, argv, &run.config_path);
	if (status == EXIT_DONE)
		status = run.config_path ? from_file(run.config_path, &config) :
					   from_flags(command, argc, argv, &config);
	if (status != EXIT_DONE)
		return status;
	if (cli->socket_is_default && config.control.socket)
		run.socket_path = config.control.socket;
	if (paths_find(run.socket_path, &paths) < 0)
		return cli_fail("no memory");
	run.state_path = paths.state;
	if (run.config_path) {
		run.changes_path = paths.changes;
		run.pins = paths.pins;
	}
	return cli->run(&run);
}
