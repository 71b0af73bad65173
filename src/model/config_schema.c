// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_schema.h"

#include <string.h>

#define FIELD(object, field)                                                                       \
	.offset = offsetof(struct object, field), .size = sizeof(((struct object *)NULL)->field)

/* CONFIG_TYPE_PORTS takes two neighbours. */
_Static_assert(offsetof(struct config_snat, last_port) ==
		       offsetof(struct config_snat, first_port) + sizeof(uint16_t),
	       "the last port follows the first");

static const struct config_word attach_words[] = {
	{ "auto", ATTACH_AUTO },
	{ "native", ATTACH_NATIVE },
	{ "generic", ATTACH_GENERIC },
	{ NULL, 0 },
};

static const struct config_word mode_words[] = {
	{ "nat", WEIR_MODE_NAT },
	{ "dsr", WEIR_MODE_DSR },
	{ "ipip", WEIR_MODE_IPIP },
	{ NULL, 0 },
};

static const struct config_word scheduler_words[] = {
	{ "rr", WEIR_SCHEDULER_RR },
	{ "wrr", WEIR_SCHEDULER_WRR },
	{ "lc", WEIR_SCHEDULER_LC },
	{ "wlc", WEIR_SCHEDULER_WLC },
	{ "p2c", WEIR_SCHEDULER_P2C },
	{ "hash", WEIR_SCHEDULER_HASH },
	{ "source", WEIR_SCHEDULER_SOURCE },
	{ "maglev", WEIR_SCHEDULER_MAGLEV },
	{ NULL, 0 },
};

static const struct config_word affinity_words[] = {
	{ "none", AFFINITY_NONE },
	{ "source", AFFINITY_SOURCE },
	{ NULL, 0 },
};

static const struct config_word snat_words[] = {
	{ "on", 0 },
	{ "off", 1 }, /* keep_client */
	{ NULL, 0 },
};

static const struct config_word outer_source_words[] = {
	{ "spread", 0 },
	{ "fixed", 1 }, /* outer_fixed */
	{ NULL, 0 },
};

static const struct config_word no_backend_words[] = {
	{ "reject", 0 },
	{ "drop", 1 }, /* silent */
	{ NULL, 0 },
};

static const struct config_word state_words[] = {
	{ "ready", BACKEND_READY },
	{ "drain", BACKEND_DRAIN },
	{ "down", BACKEND_DOWN },
	{ NULL, 0 },
};

static const struct config_word health_words[] = {
	{ "tcp", HEALTH_TCP },
	{ "http", HEALTH_HTTP },
	{ "https", HEALTH_HTTPS },
	{ "icmp", HEALTH_ICMP },
	{ "exec", HEALTH_EXEC },
	{ "none", HEALTH_NONE },
	{ NULL, 0 },
};

const struct config_key config_interface_keys[] = {
	{ .name = "name",
	  .type = CONFIG_TYPE_NAME,
	  .required = true,
	  FIELD(config_interface, name),
	  .help = "Name of the interface." },
	{ .name = "attach",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_interface, attach),
	  .words = attach_words,
	  .fallback = "auto",
	  .help = "How the XDP program is attached; auto: native, else generic with a warning." },
	{ .name = NULL },
};

#define TIMEOUT(field, default, text)                                                              \
	{                                                                                          \
		.name = #field, .type = CONFIG_TYPE_TIME, FIELD(config_timeouts, field),           \
		.least = CONFIG_TIMEOUT_LEAST, .most = CONFIG_TIMEOUT_MOST, .fallback = (default), \
		.help = (text)                                                                     \
	}

const struct config_key config_timeout_keys[] = {
	TIMEOUT(tcp, "2h4m", "Idle established TCP flow."),
	TIMEOUT(tcp_handshake, "10s", "TCP handshake."),
	TIMEOUT(tcp_close, "10s", "TCP flow after both FINs or a reset."),
	TIMEOUT(udp, "30s", "UDP flow without a conversation."),
	TIMEOUT(udp_established, "180s", "UDP flow with one."),
	{ .name = NULL },
};

static const struct config_key affinity_keys[] = {
	{ .name = "by",
	  .type = CONFIG_TYPE_WORD,
	  .required = true,
	  FIELD(config_affinity, by),
	  .words = affinity_words,
	  .help = "source: a client's address; none: no affinity." },
	{ .name = "timeout",
	  .type = CONFIG_TYPE_TIME,
	  FIELD(config_affinity, timeout),
	  .least = CONFIG_TIMEOUT_LEAST,
	  .most = CONFIG_TIMEOUT_MOST,
	  .fallback = "10m",
	  .help = "From the client's last new flow on." },
	{ .name = NULL },
};

const struct config_key config_health_keys[] = {
	{ .name = "type",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_health, type),
	  .words = health_words,
	  .help = "How to check (tcp for services with a TCP listener, else icmp)." },
	{ .name = "interval",
	  .type = CONFIG_TYPE_TIME,
	  FIELD(config_health, interval),
	  .least = CONFIG_INTERVAL_LEAST,
	  .most = CONFIG_INTERVAL_MOST,
	  .fallback = "2s",
	  .help = "From one check to the next." },
	{ .name = "timeout",
	  .type = CONFIG_TYPE_TIME,
	  FIELD(config_health, timeout),
	  .least = CONFIG_CHECK_TIMEOUT_LEAST,
	  .most = CONFIG_INTERVAL_MOST,
	  .fallback = "1s",
	  .help = "For one check, at most the interval." },
	{ .name = "rise",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_health, rise),
	  .least = 1,
	  .most = CONFIG_ROW_MOST,
	  .fallback = "2",
	  .help = "Successes in a row until up." },
	{ .name = "fall",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_health, fall),
	  .least = 1,
	  .most = CONFIG_ROW_MOST,
	  .fallback = "3",
	  .help = "Failures in a row until down." },
	{ .name = "port",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_health, port),
	  .least = 1,
	  .most = UINT16_MAX,
	  .help = "Port to check (the backend's)." },
	{ .name = "path",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_health, path),
	  .help = "http, https: path of the request (/)." },
	{ .name = "host",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_health, host),
	  .help = "http, https: Host header and TLS server name (the address)." },
	{ .name = "status",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_health, status),
	  .least = 100,
	  .most = 599,
	  .help = "http, https: the expected status (any from 200 to 399)." },
	{ .name = "body",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_health, body),
	  .help = "http, https: text that the answer must contain." },
	{ .name = "command",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_health, command),
	  .help = "exec: command for /bin/sh; status 0 is a success." },
	{ .name = NULL },
};

const struct config_key config_backend_keys[] = {
	{ .name = "address",
	  .type = CONFIG_TYPE_ENDPOINT,
	  .required = true,
	  FIELD(config_backend, endpoint),
	  .help = "ADDR or ADDR:PORT; without a port that of the service, which with a range or "
		  "any "
		  "is the one that the client talks to." },
	{ .name = "weight",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_backend, weight),
	  .most = CONFIG_WEIGHT_MOST,
	  .fallback = "1",
	  .help = "Share of new flows; 0: none." },
	{ .name = "state",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_backend, state),
	  .words = state_words,
	  .fallback = "ready",
	  .help = "drain: no new flows; down: old ones are cut, too." },
	{ .name = "backup",
	  .type = CONFIG_TYPE_SWITCH,
	  FIELD(config_backend, backup),
	  .fallback = "false",
	  .help = "Gets new flows only if no other backend can." },
	{ .name = "max_connections",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_backend, max_connections),
	  .most = CONFIG_CONNECTIONS_MOST,
	  .fallback = "0",
	  .help = "Most flows at a time; 0: no limit." },
	{ .name = NULL },
};

const struct config_key config_service_keys[] = {
	{ .name = "name",
	  .type = CONFIG_TYPE_NAME,
	  .required = true,
	  .own = true,
	  FIELD(config_service, name),
	  .help = "Name of the service: 1 to 63 of a-z, 0-9 and '-'." },
	{ .name = "listen",
	  .type = CONFIG_TYPE_LISTENS,
	  .required = true,
	  .own = true,
	  .help = "What clients talk to: ADDR:PORT, ADDR:LOW-HIGH or ADDR:any, or a list of them. "
		  "/tcp or /udp behind one goes before the service's protocol." },
	{ .name = "protocol",
	  .type = CONFIG_TYPE_PROTOCOLS,
	  .fallback = "tcp",
	  .help = "tcp, udp, or a list of both." },
	{ .name = "mode",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_service, mode),
	  .words = mode_words,
	  .fallback = "nat",
	  .help = "How packets reach a backend." },
	{ .name = "scheduler",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_service, scheduler),
	  .words = scheduler_words,
	  .fallback = "rr",
	  .help = "Picks the backend of a new flow." },
	{ .name = "snat",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_service, keep_client),
	  .words = snat_words,
	  .fallback = "on",
	  .help = "off: keep the client's address; backends route replies through weir." },
	{ .name = "outer_source",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_service, outer_fixed),
	  .words = outer_source_words,
	  .fallback = "spread",
	  .help = "ipip: source of the outer header. spread: differs from flow to flow, so that "
		  "the "
		  "backend's queues share them; fixed: this host's address alone." },
	{ .name = "clear_df",
	  .type = CONFIG_TYPE_SWITCH,
	  FIELD(config_service, clear_df),
	  .fallback = "false",
	  .help = "ipip: the outer IPv4 header goes without DF; routers may fragment it." },
	{ .name = "on_no_backend",
	  .type = CONFIG_TYPE_WORD,
	  FIELD(config_service, silent),
	  .words = no_backend_words,
	  .fallback = "reject",
	  .help = "What clients get that cannot be served." },
	{ .name = "fail_open",
	  .type = CONFIG_TYPE_SWITCH,
	  FIELD(config_service, fail_open),
	  .fallback = "false",
	  .help = "With every backend down, use them all." },
	{ .name = "slow_start",
	  .type = CONFIG_TYPE_TIME,
	  FIELD(config_service, slow_start),
	  .most = CONFIG_SLOW_START_MOST,
	  .fallback = "0",
	  .help = "Time over which a returning backend's share rises; not with hash, source, "
		  "maglev." },
	{ .name = "affinity",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config_service, affinity),
	  .keys = affinity_keys,
	  .help = "A client keeps its backend while that one serves, whatever the scheduler." },
	{ .name = "timeouts",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config_service, timeouts),
	  .keys = config_timeout_keys,
	  .help = "Each counts from the flow's last packet." },
	{ .name = "health",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config_service, health),
	  .keys = config_health_keys,
	  .help = "How backends are checked." },
	{ .name = "allow",
	  .type = CONFIG_TYPE_PREFIXES,
	  FIELD(config_service, allow),
	  .help = "Networks whose clients are served: a list of ADDR/LENGTH. The longest prefix of "
		  "allow and deny wins; without allow, whom no deny holds is served." },
	{ .name = "deny",
	  .type = CONFIG_TYPE_PREFIXES,
	  FIELD(config_service, deny),
	  .help = "Networks whose clients are not served: a list of ADDR/LENGTH." },
	{ .name = "except",
	  .type = CONFIG_TYPE_EXCEPT,
	  .own = true,
	  .help = "Ports that `any` and ranges leave to the host and to other services: a list of "
		  "PORT and LOW-HIGH." },
	{ .name = "backends",
	  .type = CONFIG_TYPE_BACKENDS,
	  .help = "Servers: a list of ADDR[:PORT], or of mappings." },
	{ .name = NULL },
};

static const struct config_key limit_keys[] = {
	{ .name = "flows",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_limits, flows),
	  .least = CONFIG_FLOWS_LEAST,
	  .most = CONFIG_FLOWS_MOST,
	  .fallback = "256k",
	  .help = "Live IPv4 flows; memory is taken for them at start." },
	{ .name = "flows_v6",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_limits, flows_v6),
	  .least = CONFIG_FLOWS_LEAST,
	  .most = CONFIG_FLOWS_MOST,
	  .help = "The same for IPv6 (a quarter of flows)." },
	{ .name = "half_open",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_limits, half_open),
	  .least = CONFIG_HALF_OPEN_LEAST,
	  .most = CONFIG_HALF_OPEN_MOST,
	  .fallback = "64k",
	  .help = "Flows whose handshake is not done." },
	{ .name = "udp_share",
	  .type = CONFIG_TYPE_NUMBER,
	  FIELD(config_limits, udp_share),
	  .most = CONFIG_UDP_SHARE_MOST,
	  .fallback = "50",
	  .help = "Percentage of the flows that UDP may hold." },
	{ .name = "icmp_rate",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_limits, icmp_rate),
	  .most = CONFIG_RATE_MOST,
	  .fallback = "1000",
	  .help = "Own ICMP messages a second and CPU." },
	{ .name = "reset_rate",
	  .type = CONFIG_TYPE_SIZE,
	  FIELD(config_limits, reset_rate),
	  .most = CONFIG_RATE_MOST,
	  .fallback = "10000",
	  .help = "Own TCP resets a second and CPU." },
	{ .name = NULL },
};

static const struct config_key snat_keys[] = {
	{ .name = "addresses",
	  .type = CONFIG_TYPE_ADDRESSES,
	  .help = "Source addresses towards backends (the egress address)." },
	{ .name = "ports",
	  .type = CONFIG_TYPE_PORTS,
	  FIELD(config_snat, first_port),
	  .fallback = "1024-65535",
	  .help = "Source ports towards backends, LOW-HIGH." },
	{ .name = NULL },
};

static const struct config_key control_keys[] = {
	{ .name = "socket",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_control, socket),
	  .help = "Path of the control socket (/run/weir/weir.sock)." },
	{ .name = "group",
	  .type = CONFIG_TYPE_TEXT,
	  FIELD(config_control, group),
	  .help = "Group of the control socket (weir, if it exists)." },
	{ .name = "mode",
	  .type = CONFIG_TYPE_MODE,
	  FIELD(config_control, mode),
	  .most = 0777,
	  .fallback = "0660",
	  .help = "Permission bits of the control socket, octal." },
	{ .name = NULL },
};

const struct config_key config_root_keys[] = {
	{ .name = "interfaces",
	  .type = CONFIG_TYPE_INTERFACES,
	  .required = true,
	  .help = "Interfaces to work on: a list of names, or of mappings." },
	{ .name = "http", .type = CONFIG_TYPE_LATER },
	{ .name = "control",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config, control),
	  .keys = control_keys,
	  .help = "The control socket." },
	{ .name = "snat",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config, snat),
	  .keys = snat_keys,
	  .help = "Source addresses and ports towards backends." },
	{ .name = "limits",
	  .type = CONFIG_TYPE_MAPPING,
	  FIELD(config, limits),
	  .keys = limit_keys,
	  .help = "How much of everything there may be." },
	{ .name = "timeouts",
	  .type = CONFIG_TYPE_TIMEOUTS,
	  .keys = config_timeout_keys,
	  .help = "For all services; each counts from the flow's last packet." },
	{ .name = "defaults",
	  .type = CONFIG_TYPE_DEFAULTS,
	  .keys = config_service_keys,
	  .help = "What services have that say nothing else: any key of a service but name and "
		  "listen." },
	{ .name = "services",
	  .type = CONFIG_TYPE_SERVICES,
	  .help = "What clients talk to, and who serves them." },
	{ .name = NULL },
};

const struct config_key *config_key_find(const struct config_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return keys;
	return NULL;
}

#define NEAR_LENGTH 24

/* Levenshtein's: how many characters to insert, remove or replace. */
static size_t distance(const char *a, const char *b)
{
	const size_t width = strlen(b);
	size_t row[NEAR_LENGTH + 1];

	for (size_t j = 0; j <= width; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0]++;

		for (size_t j = 0; j < width; j++) {
			const size_t replace = diagonal + (a[i] != b[j]);
			size_t best = row[j] < row[j + 1] ? row[j] + 1 : row[j + 1] + 1;

			diagonal = row[j + 1];
			row[j + 1] = best < replace ? best : replace;
		}
	}
	return row[width];
}

const char *config_key_nearest(const struct config_key *keys, const char *name)
{
	const char *nearest = NULL;
	size_t least = 1 + strlen(name) / 2;

	if (strlen(name) > NEAR_LENGTH)
		return NULL;
	least = least > 4 ? 4 : least;
	for (; keys->name; keys++) {
		const size_t steps = distance(name, keys->name);

		if (keys->type == CONFIG_TYPE_LATER || steps >= least)
			continue;
		least = steps;
		nearest = keys->name;
	}
	return nearest;
}
