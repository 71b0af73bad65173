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
	for (int i = 0; i < argc; i++) {
		const char *value;
		const int is_interface = cli_take_value(argv, &i, "-i", &value);
		const int found = is_interface ? is_interface :
						 cli_take_value(argv, &i, "--address", &value);

		if (found < 0)
			return cli_misuse(command, "%s: its value is missing", argv[i]);
		if (found == 0)
			return cli_unexpected(command, argv[i]);
		if (is_interface && interface)
			return cli_misuse(command,
					  "-i: is given twice; run one for each interface");
		if (is_interface)
			interface = value;
		else if (address_parse(value, &addresses[count++]) < 0)
			return cli_misuse(
				command,
				"--address: '%s' is wrong, expected an IPv4 or IPv6 address",
				value);
	}
	if (!interface || !config_interface_name_valid(interface))
		return cli_misuse(command, "-i: expected the interface that weir sends to");
	/* It outlives whoever reads its output. */
	signal(SIGPIPE, SIG_IGN);
	return cli->decap(interface, addresses, count);
}
