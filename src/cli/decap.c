// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/cli/command.h"
#include "src/model/config.h"

#include <signal.h>
#include <string.h>

int command_decap(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	_cleanup_free_ struct weir_address *addresses = calloc(argc + 1, sizeof(*addresses));
	const char *interface = NULL;
	size_t count = 0;

	if (!addresses)
		return cli_fail("no memory");
	for (int i = 0; i < argc; i += 2) {
		const bool is_interface = !strcmp(argv[i], "-i");

		if (!is_interface && strcmp(argv[i], "--address") != 0)
			return cli_misuse(command, "unexpected argument '%s'", argv[i]);
		if (i + 1 == argc)
			return cli_misuse(command, "%s: its value is missing", argv[i]);
		if (is_interface && interface)
			return cli_misuse(command,
					  "-i: is given twice; run one for each interface");
		if (is_interface)
			interface = argv[i + 1];
		else if (address_parse(argv[i + 1], &addresses[count++]) < 0)
			return cli_misuse(
				command,
				"--address: '%s' is wrong, expected an IPv4 or IPv6 address",
				argv[i + 1]);
	}
	if (!interface || !config_interface_name_valid(interface))
		return cli_misuse(command, "-i: expected the interface that weir sends to");
	/* It outlives whoever reads its output. */
	signal(SIGPIPE, SIG_IGN);
	return cli->decap(interface, addresses, count);
}
