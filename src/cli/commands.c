// SPDX-License-Identifier: GPL-2.0-only
#include "abi/reasons.h"

#include "src/base/address.h"
#include "src/cli/command.h"

#include <stdio.h>
#include <string.h>

static const char *check_backend(const char *text)
{
	struct endpoint endpoint;

	return endpoint_parse(text, &endpoint) == 0 && endpoint.port ? NULL : "ADDR:PORT";
}

static const char *check_client(const char *text)
{
	struct weir_address address;

	return address_parse(text, &address) == 0 ? NULL : "an IPv4 or IPv6 address";
}

static const char *check_reason(const char *text)
{
#define REASON_NAME(NAME, name, help) #name,
	static const char *const names[] = { WEIR_REASONS(REASON_NAME) };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], text))
			return NULL;
	return "a reason of weir(8), such as new_flow";
}

#define FLOW_FILTERS                                                                               \
	{ "--service", "NAME", "only what belongs to this service", NULL },                        \
		{ "--backend", "ADDR:PORT", "only what belongs to this backend", check_backend },  \
	{                                                                                          \
		"--client", "ADDR", "only what this client sent or gets", check_client             \
	}

static const struct command_option flow_options[] = { FLOW_FILTERS, { .name = NULL } };

static const struct command_option trace_options[] = {
	FLOW_FILTERS,
	{ "--reason", "NAME", "only decisions with this reason", check_reason },
	{ .name = NULL },
};

/* Parsed by run_flags_parse(); listed here for help. */
static const struct command_option run_options[] = {
	{ "-i", "IF", "interface to work on", NULL },
	{ "--listen", "ADDR:PORT[/udp]", "address that clients talk to, a service; may be repeated",
	  NULL },
	{ "--backends", "A[:PORT][=WEIGHT],...", "servers behind every service", NULL },
	{ "--scheduler", "NAME", "rr, wrr, lc, wlc or hash (rr)", NULL },
	{ "--mode", "NAME", "nat (nat)", NULL },
	{ "--attach", "HOW", "auto, native or generic XDP (auto)", NULL },
	{ "--flows", "N", "limit of live flows (262144)", NULL },
	{ "--half-open", "N", "limit of flows whose handshake is not done (65536)", NULL },
	{ "--udp-share", "PERCENT", "how much of the flows UDP may hold (50)", NULL },
	{ "--reset-rate", "N", "own TCP resets a second and CPU (10000)", NULL },
	{ "--icmp-rate", "N", "own ICMP messages a second and CPU (1000)", NULL },
	{ "--snat", "on|off", "off: keep the client's address; backends route replies here (on)",
	  NULL },
	{ "--snat-address", "A[,A...]", "source addresses towards backends (egress address)",
	  NULL },
	{ "--snat-ports", "LOW-HIGH", "source ports towards backends (1024-65535)", NULL },
	{ "--on-no-backend", "HOW", "reject or drop clients that cannot be served (reject)", NULL },
	{ "--timeout-tcp", "TIME", "idle established TCP flow (2h4m)", NULL },
	{ "--timeout-tcp-handshake", "TIME", "TCP handshake (10s)", NULL },
	{ "--timeout-tcp-close", "TIME", "TCP flow after both FINs or a reset (10s)", NULL },
	{ "--timeout-udp", "TIME", "UDP flow without a conversation (30s)", NULL },
	{ "--timeout-udp-established", "TIME", "UDP flow with one (180s)", NULL },
	{ .name = NULL },
};

const struct command commands[] = {
	{
		.name = "run",
		.operand = "-i IF --listen ADDR:PORT --backends A[,A...]",
		.summary = "run the daemon in the foreground",
		.description =
			"Attaches to the interfaces, balances the services over the backends, and\n"
			"prints \"weir: ready\" once traffic flows. Ctrl-C or SIGTERM detaches "
			"and\n"
			"restores what was set. Numbers take k, M, G; times ms, s, m, h.",
		.options = run_options,
		.example = "weir run -i eth0 --listen 192.168.178.10:8000 "
			   "--backends 192.168.178.11,192.168.178.12=2 --scheduler wrr",
		.run = command_run,
	},
	{
		.name = "status",
		.summary = "one screen: interfaces, services, backends, flows, reasons",
		.description = "Shows what the daemon does, on one screen.",
		.example = "weir status",
		.run = command_status,
	},
	{
		.object = "service",
		.name = "list",
		.summary = "services with their counts",
		.description = "Lists the services. UP says how many of the backends are usable.",
		.example = "weir service list",
		.run = command_service_list,
	},
	{
		.object = "backend",
		.name = "list",
		.operand = "[SERVICE]",
		.summary = "backends with state, health and counts",
		.description =
			"Lists the backends of all services, or of one. IN is what clients sent\n"
			"to the backend, OUT are its replies.",
		.example = "weir backend list tcp-192-168-178-10-8000",
		.run = command_backend_list,
	},
	{
		.object = "flow",
		.name = "list",
		.summary = "live flows",
		.description = "Lists the live flows: who talks to which backend.",
		.options = flow_options,
		.example = "weir flow list --backend 192.168.178.11:8000",
		.run = command_flow_list,
	},
	{
		.object = "flow",
		.name = "count",
		.summary = "number of flows by state",
		.description = "Counts the live flows by their state.",
		.example = "weir flow count",
		.run = command_flow_count,
	},
	{
		.name = "trace",
		.summary = "decisions as they are made, one a line",
		.description =
			"Shows each decision of the datapath as it is made, until Ctrl-C: time,\n"
			"packet, reason, backend. With --json one JSON document a line.",
		.options = trace_options,
		.example = "weir trace --client 10.0.0.20 --reason new_flow",
		.run = command_trace,
	},
	{
		.name = "help",
		.operand = "[COMMAND]",
		.summary = "explain a command",
		.description = "Explains weir, or one command.",
		.example = "weir help flow list",
		.run = command_help,
	},
	{ .name = NULL },
};

char *command_title(const struct command *command, char buffer[static COMMAND_TITLE_SIZE])
{
	snprintf(buffer, COMMAND_TITLE_SIZE, "%s%s%s", command->object ? command->object : "",
		 command->object ? " " : "", command->name);
	return buffer;
}

const struct command *command_find(int argc, char *const argv[], int *ret_used)
{
	for (const struct command *c = commands; c->name; c++) {
		const int words = c->object ? 2 : 1;

		if (argc < words || strcmp(argv[words - 1], c->name) != 0 ||
		    (c->object && strcmp(argv[0], c->object) != 0))
			continue;
		*ret_used = words;
		return c;
	}
	return NULL;
}
