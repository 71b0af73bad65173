/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/* What `weir run` calls: the daemon, until it ends. Returns the exit status. */
typedef int (*cli_run_fn)(const struct config *config, const char *socket_path,
			  const char *state_path);

/*
 * The command line. Returns the exit status of the process: 0 done, 1 refused or failed (one line on
 * stderr), 2 wrong usage.
 */
int cli_main(int argc, char *argv[], cli_run_fn run);
