// SPDX-License-Identifier: GPL-2.0-only
#include "abi/reasons.h"

#include "src/base/address.h"
#include "src/cli/command.h"

#include <stdio.h>
#include <string.h>

static const char *check_backend(const char *text)
{
	struct endpoint endpoint;

	return endpoint_parse_any(text, &endpoint) == 0 ? NULL : "ADDR:PORT, IPv6 as [ADDR]:PORT";
}

static const char *check_client(const char *text)
{
	struct endpoint endpoint;

	return endpoint_parse(text, &endpoint) == 0 && !endpoint.port ? NULL :
									"an IPv4 or IPv6 address";
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

static const struct command_option kill_options[] = {
	FLOW_FILTERS,
	{ "--all", NULL, "all flows; goes with no other option", NULL },
	{ .name = NULL },
};

/* The numbers of these two are parsed by their commands. */
static const struct command_option reload_options[] = {
	{ "--confirm", "SECONDS", "roll back after that time unless confirmed, 1 to 86400", NULL },
	{ .name = NULL },
};

static const struct command_option remove_options[] = {
	{ "--deadline", "SECONDS", "cut what is left after that time, 0 to 604800", NULL },
	{ .name = NULL },
};

static const struct command_option trace_options[] = {
	FLOW_FILTERS,
	{ "--reason", "NAME", "only decisions with this reason", check_reason },
	{ .name = NULL },
};

static const struct command_option detach_options[] = {
	{ "--force", NULL, "stop the daemon first, if one runs", NULL },
	{ .name = NULL },
};

/* Parsed by run_flags_parse(); listed here for help. */
static const struct command_option run_options[] = {
	{ "-c", "FILE", "configuration file, see weir.yaml(5); goes with no other option", NULL },
	{ "-i", "IF", "interface to work on", NULL },
	{ "--listen", "ADDR:PORT[/udp]",
	  "address that clients talk to, a service; may be repeated; IPv6 as [ADDR]:PORT", NULL },
	{ "--backends", "A[:PORT][=WEIGHT],...", "servers behind every service", NULL },
	{ "--scheduler", "NAME", "rr, wrr, lc, wlc, p2c, hash, source or maglev (rr)", NULL },
	{ "--mode", "NAME", "nat, dsr or ipip (nat)", NULL },
	{ "--attach", "HOW", "auto, native or generic XDP (auto)", NULL },
	{ "--flows", "N", "limit of live IPv4 flows (262144)", NULL },
	{ "--flows-v6", "N", "limit of live IPv6 flows (a quarter of --flows)", NULL },
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

#define CHANGES_STAY                                                                               \
	"The change survives reload and restart until the file says something else about\n"        \
	"it, or another command takes it back."

/* Parsed by command_decap(). */
static const struct command_option decap_options[] = {
	{ "-i", "IF", "interface that weir sends to", NULL },
	{ "--address", "A", "outer destination; may be repeated (all of the interface's)", NULL },
	{ .name = NULL },
};

/* Parsed by command_check(). */
static const struct command_option check_options[] = {
	{ "-c", "FILE", "the configuration (/etc/weir/weir.yaml)", NULL },
	{ .name = NULL },
};

const struct command commands[] = {
	{
		.name = "run",
		.operand = "-c FILE | -i IF --listen ADDR:PORT --backends A[,A...]",
		.summary = "run the daemon in the foreground",
		.description =
			"Attaches to the interfaces, balances the services over the backends, and\n"
			"prints \"weir: ready\" once traffic flows. With -i, Ctrl-C or SIGTERM\n"
			"detaches and restores what was set. With -c, SIGTERM leaves traffic\n"
			"flowing for the next daemon, and Ctrl-C on a terminal detaches. Numbers\n"
			"take k, M, G; times ms, s, m, h.",
		.options = run_options,
		.example = "weir run -i eth0 --listen 192.168.178.10:8000 "
			   "--backends 192.168.178.11,192.168.178.12=2 --scheduler wrr",
		.run = command_run,
	},
	{
		.name = "reload",
		.summary = "read the configuration file again",
		.description =
			"Reads and checks the file, and makes it what runs. What did not change\n"
			"keeps its connections and health. On any error the old one runs on. With\n"
			"--confirm it rolls back by itself unless 'weir confirm' comes in time.",
		.options = reload_options,
		.example = "weir reload --confirm 60",
		.run = command_reload,
	},
	{
		.name = "confirm",
		.summary = "keep a configuration that is on trial",
		.description = "Ends the trial that 'weir reload --confirm' began.",
		.example = "weir confirm",
		.run = command_confirm,
	},
	{
		.name = "rollback",
		.summary = "go back to the configuration before the one on trial",
		.description = "Ends the trial that 'weir reload --confirm' began, at once.",
		.example = "weir rollback",
		.run = command_rollback,
	},
	{
		.name = "check",
		.summary = "say what is wrong with a configuration file",
		.description =
			"Reads a configuration file and changes nothing. Tells every error as\n"
			"FILE:LINE:COLUMN: error: what, what was expected. See weir.yaml(5).",
		.options = check_options,
		.example = "weir check -c /etc/weir/weir.yaml",
		.run = command_check,
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
		.object = "service",
		.name = "show",
		.operand = "NAME",
		.summary = "one service with its options and backends",
		.description = "Shows a service, its options and its backends.",
		.example = "weir service show web",
		.run = command_service_show,
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
		.object = "backend",
		.name = "add",
		.operand = "SERVICE ADDR:PORT [weight N]",
		.summary = "add a backend at run time",
		.description = CHANGES_STAY,
		.example = "weir backend add web 192.168.178.13:8000 weight 2",
		.run = command_backend_add,
	},
	{
		.object = "backend",
		.name = "set",
		.operand = "SERVICE ADDR:PORT ready|drain|down|reset|weight N",
		.summary = "change state or weight of a backend at run time",
		.description =
			"drain: no new connections, old ones go on. down: old ones are cut, too.\n"
			"reset: as the file says.\n" CHANGES_STAY,
		.example = "weir backend set web 192.168.178.11:8000 drain",
		.run = command_backend_set,
	},
	{
		.object = "backend",
		.name = "remove",
		.operand = "SERVICE ADDR:PORT",
		.summary = "remove a backend at run time",
		.description = "It gets no new connections and is gone when the last one has "
			       "ended; at the\n"
			       "deadline those that are left are cut.\n" CHANGES_STAY,
		.options = remove_options,
		.example = "weir backend remove web 192.168.178.11:8000 --deadline 300",
		.run = command_backend_remove,
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
		.object = "flow",
		.name = "kill",
		.operand = "--service NAME|--backend ADDR:PORT|--client ADDR|--all",
		.summary = "cut live flows",
		.description =
			"Cuts the flows that all given options take: both sides get a TCP reset.",
		.options = kill_options,
		.example = "weir flow kill --client 10.0.0.20",
		.run = command_flow_kill,
	},
	{
		.object = "config",
		.name = "show",
		.summary = "what runs, as a configuration file",
		.description =
			"Prints the running configuration, run-time changes included, as YAML.",
		.example = "weir config show",
		.run = command_config_show,
	},
	{
		.object = "config",
		.name = "diff",
		.summary = "what runs otherwise than the file says",
		.description = "Compares the running configuration with the file as it is now.",
		.example = "weir config diff",
		.run = command_config_diff,
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
		.name = "detach",
		.summary = "end what goes on without a daemon, restore what was set",
		.description = "Takes the program off its interfaces, removes the tables, and puts "
			       "back what\n"
			       "weir has set on this host. Cuts all connections. Refused while a "
			       "daemon runs.",
		.options = detach_options,
		.example = "weir detach",
		.run = command_detach,
	},
	{
		.name = "decap",
		.operand = "-i IF [--address A]...",
		.summary = "on a backend in mode ipip: take the outer header off",
		.description = "Takes the outer header off packets to this host, IPv4 or IPv6 with "
			       "either\n"
			       "in it, in XDP, and hands what was in them to the kernel. Prints "
			       "\"weir: ready\" once it does.\n"
			       "Ctrl-C or SIGTERM detaches.",
		.options = decap_options,
		.example = "weir decap -i eth0",
		.run = command_decap,
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
