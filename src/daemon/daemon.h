/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/*
 * The daemon: one event loop that joins configuration, datapath, netlink, health checks and the control
 * socket. It is the only room (besides main) that logs.
 */
struct daemon_options {
	const char *socket_path;    /* control socket */
	const char *state_path;     /* what must be restored after a crash (JSON) */
	const char *overrides_path; /* run-time changes (JSON) */
	const char *config_path;    /* NULL: the configuration came from flags */
	const char *pins;           /* directory on bpffs; NULL: nothing outlives the process */
};

/*
 * Runs until SIGINT or SIGTERM. Without pins it then detaches and restores what it set; with pins
 * traffic goes on, unless it was a SIGINT from a terminal. Prints "weir: ready" on stdout once traffic
 * flows. @config is the file's, without run-time changes; borrowed. Returns the exit status of the
 * process.
 */
int daemon_run(const struct config *config, const struct daemon_options *options);
