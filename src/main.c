// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/cli.h"
#include "src/daemon/daemon.h"
#include "src/daemon/decap.h"
#include "src/daemon/detach.h"

static int run(const struct cli_run *wanted)
{
	const struct daemon_options options = {
		.config_path = wanted->config_path,
		.socket_path = wanted->socket_path,
		.state_path = wanted->state_path,
		.overrides_path = wanted->changes_path,
		.pins = wanted->pins,
	};

	return daemon_run(wanted->config, &options);
}

static int detach(const char *socket_path, const struct paths *paths, bool force, cli_say_fn say,
		  void *user, struct error *error)
{
	const struct detach_paths left = {
		.socket = socket_path,
		.state = paths->state,
		.pins = paths->pins,
	};

	return daemon_detach(&left, force, say, user, error);
}

int main(int argc, char *argv[])
{
	return cli_main(argc, argv, run, detach, decap_run);
}
