/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"
#include "src/cli/paths.h"
#include "src/model/config.h"

#include <stdbool.h>

/* What `weir run` wants of the daemon. */
struct cli_run {
	const struct config *config;
	const char *config_path; /* NULL: from flags */
	const char *socket_path;
	const char *state_path;
	const char *changes_path; /* of run-time changes; NULL: they end with the daemon */
	const char *pins;         /* NULL: nothing outlives the daemon */
};

/* What `weir run` calls: the daemon, until it ends. Returns the exit status. */
typedef int (*cli_run_fn)(const struct cli_run *run);

/* What `weir detach` calls: takes back what a daemon has left; @say gets a line for each thing done. */
typedef void (*cli_say_fn)(const char *line, void *user);
typedef int (*cli_detach_fn)(const char *socket_path, const struct paths *paths, bool force,
			     cli_say_fn say, void *user, struct error *error);

/* What `weir decap` calls: takes outer headers off, until a signal. Returns the exit status. */
typedef int (*cli_decap_fn)(const char *interface, const struct weir_address *addresses,
			    size_t count);

/*
 * The command line. Returns the exit status of the process: 0 done, 1 refused or failed (one line on
 * stderr), 2 wrong usage.
 */
int cli_main(int argc, char *argv[], cli_run_fn run, cli_detach_fn detach, cli_decap_fn decap);
