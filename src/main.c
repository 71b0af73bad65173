// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/cli.h"
#include "src/daemon/daemon.h"

static int run(const struct config *config, const char *socket_path, const char *state_path)
{
	const struct daemon_options options = {
		.socket_path = socket_path,
		.state_path = state_path,
	};

	return daemon_run(config, &options);
}

int main(int argc, char *argv[])
{
	return cli_main(argc, argv, run);
}
