/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/*
 * The daemon: one event loop that joins configuration, datapath, netlink and the control socket. It
 * is the only room (besides main) that logs.
 */
struct daemon_options {
	const char *socket_path; /* control socket */
	const char *state_path;  /* what must be restored after a crash (JSON) */
};

/*
 * Runs until SIGINT or SIGTERM, then detaches and restores what it set. Prints "weir: ready" on
 * stdout once traffic flows. Returns the exit status of the process.
 */
int daemon_run(const struct config *config, const struct daemon_options *options);
