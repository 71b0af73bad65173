/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"
#include "src/base/address.h"
#include "src/base/error.h"
#include "src/model/prefix_list.h"

/*
 * What the operator wants, as data: made from the flags of `weir run -i`, or from a file.
 * A struct config owns everything it points to; config_free() gives all of it back. After
 * config_check() has accepted it, it is not changed any more.
 *
 * I1  every service has at least one listen address and a name that no other service has
 * I2  no address, port and protocol is listened on twice
 * I3  every backend has a port, unless its service listens on more than single ports; no service has the same
 *     backend twice
 * I4  no backend of a service is itself listened on with the service's protocol (it would loop)
 * I5  but in mode ipip, all addresses of a service and of its backends are of one family
 * I6  no network is in both `allow` and `deny` of a service, or twice in one of them
 */

enum {
	CONFIG_FLOWS_LEAST = 1,
	CONFIG_FLOWS_MOST = 16 << 20,
	CONFIG_HALF_OPEN_LEAST = 64,
	CONFIG_HALF_OPEN_MOST = 4 << 20,
	CONFIG_UDP_SHARE_MOST = 100,
	CONFIG_RATE_MOST = 1000000,
	CONFIG_WEIGHT_MOST = 256,
	CONFIG_BACKENDS_MOST = 1000000, /* of all services together */
	CONFIG_LISTENS_MOST = 1000000,  /* the same, each run of ports for itself */
	CONFIG_PREFIXES_MOST = 1000000, /* of all lists that differ */
	CONFIG_EXCEPTS_MOST = 64,       /* of one service */
	CONFIG_TIMEOUT_LEAST = 100,     /* milliseconds */
	CONFIG_TIMEOUT_MOST = 7 * 24 * 3600 * 1000,
	CONFIG_CONNECTIONS_MOST = 16 << 20,
	CONFIG_SLOW_START_MOST = 24 * 3600 * 1000,
	CONFIG_INTERVAL_LEAST = 100,
	CONFIG_INTERVAL_MOST = 24 * 3600 * 1000,
	CONFIG_CHECK_TIMEOUT_LEAST = 10,
	CONFIG_ROW_MOST = 1000,   /* rise, fall */
	CONFIG_TEXT_MOST = 4096,  /* characters of path, body, command */
	CONFIG_SOCKET_MOST = 107, /* what the kernel takes as the path of a socket */
};

enum attach { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC };

struct config_interface {
	char name[16];
	enum attach attach;
};

/* Both belong to it. */
struct config_ports {
	uint16_t first, last;
};

struct config_listen {
	struct endpoint endpoint;
	uint16_t
		last_port; /* of a range that begins with endpoint.port (0: any port); 0: no range */
	uint8_t protocol;  /* IPPROTO_TCP or IPPROTO_UDP */
};

/* What the operator wants of a backend, not how it is. */
enum backend_state {
	BACKEND_READY,
	BACKEND_DRAIN, /* no new flows, old ones stay */
	BACKEND_DOWN,  /* no new flows, old ones are cut */
};

struct config_backend {
	struct endpoint endpoint; /* port 0: the one that the client talks to */
	uint32_t weight;          /* 0-256; 0: no new flows */
	enum backend_state state;
	bool backup;              /* gets new flows only if no other one can */
	uint32_t max_connections; /* half-open and established ones; 0: no limit */
};

enum health_type {
	HEALTH_NONE,
	HEALTH_TCP,
	HEALTH_HTTP,
	HEALTH_HTTPS,
	HEALTH_ICMP,
	HEALTH_EXEC,
};

/* How a service's backends are checked. Strings are owned; NULL: not given. */
struct config_health {
	enum health_type type;
	uint32_t interval; /* milliseconds */
	uint32_t timeout;  /* the same; at most the interval */
	uint32_t rise;     /* successes in a row until up */
	uint32_t fall;     /* failures in a row until down */
	uint16_t port;     /* 0: the backend's */
	uint16_t status;   /* http, https: the expected one; 0: any from 200 to 399 */
	char *path;        /* http, https: of the request; NULL: "/" */
	char *host;        /* http, https: Host header and TLS server name; NULL: the address */
	char *body;        /* http, https: text that the answer must contain */
	char *command;     /* exec: for /bin/sh -c */
};

struct config_timeouts { /* milliseconds */
	uint64_t tcp;
	uint64_t tcp_handshake;
	uint64_t tcp_close;
	uint64_t udp;
	uint64_t udp_established;
};

enum affinity { AFFINITY_NONE, AFFINITY_SOURCE };

/* A client keeps its backend, whatever the scheduler. */
struct config_affinity {
	enum affinity by;
	uint64_t timeout; /* milliseconds from its last new flow on */
};

struct config_service {
	char name[64]; /* [a-z0-9-]{1,63} */
	struct config_listen *listens;
	size_t listen_count;
	struct config_ports
		*except; /* what ranges and `any` leave to the host or to other services */
	size_t except_count;
	struct prefix_list *allow; /* may be NULL, and shared */
	struct prefix_list *deny;
	enum weir_mode mode;
	enum weir_scheduler scheduler;
	bool silent;      /* on_no_backend: drop */
	bool keep_client; /* snat: off */
	bool fail_open;   /* with every backend down, use them all */
	bool outer_fixed; /* ipip: outer_source: fixed */
	bool clear_df;    /* ipip: the outer IPv4 header goes without DF */
	uint64_t
		slow_start; /* milliseconds over which a returning backend's share rises; 0: at once */
	struct config_affinity affinity;
	struct config_timeouts timeouts;
	struct config_health health;
	struct config_backend *backends;
	size_t backend_count;
};

struct config_limits {
	uint32_t flows;
	uint32_t flows_v6; /* 0: not given, see config_flows_v6() */
	uint32_t half_open;
	uint32_t udp_share; /* percent of flows */
	uint32_t icmp_rate; /* own ICMP messages a second */
	uint32_t reset_rate;
};

struct config_snat {
	struct weir_address *addresses; /* none: the egress address of the route to the backend */
	size_t address_count;
	uint16_t first_port;
	uint16_t last_port;
};

/* The control socket. Strings are owned; NULL: not given. */
struct config_control {
	char *socket;
	char *group;   /* NULL: weir, if that group exists */
	uint32_t mode; /* permission bits */
};

struct config {
	struct config_interface *interfaces;
	size_t interface_count;
	struct config_service *services;
	size_t service_count;
	struct config_limits limits;
	struct config_snat snat;
	struct config_control control;
	/*
	 * Borrowed, for the checks alone, and not copied: the addresses of the host that this is for. None:
	 * they are not known.
	 */
	const struct weir_address *host_addresses;
	size_t host_address_count;
};

/* Defaults of interface.md: limits, timeouts, SNAT ports. No interface, no service. */
void config_init(struct config *config);
void config_free(struct config *config); /* an initialised or zeroed one; leaves it initialised */

/* What one service owns. A zeroed one is fine; leaves it zeroed. */
void config_service_free(struct config_service *service);

/*
 * Appends a zeroed element with its defaults (a service: without health checks; who reads a file
 * chooses their type by the service's protocols). Returns it (owned by @config, valid until the next
 * one is appended), or NULL: no memory.
 */
struct config_interface *config_add_interface(struct config *config);
struct config_service *config_add_service(struct config *config);
struct config_listen *config_service_add_listen(struct config_service *service);
struct config_backend *config_service_add_backend(struct config_service *service);
struct config_ports *config_service_add_except(struct config_service *service);
struct weir_address *config_add_snat_address(struct config *config);

/* NULL: there is none of this name. */
struct config_service *config_find_service(const struct config *config, const char *name);

/* Live IPv6 flows that there may be: `flows_v6`, or else a quarter of `flows`. At least 1. */
uint32_t config_flows_v6(const struct config_limits *limits);

/* What the kernel takes as the name of an interface. */
bool config_interface_name_valid(const char *name);

/*
 * Checks I1-I5, ranges and combinations. 0, or -EINVAL with the first thing that is wrong (-ENOMEM:
 * it could not be checked). A service without backends is allowed.
 */
int config_check(const struct config *config, struct error *error);

/*
 * The same, but tells everything that is wrong. @path: where, as "services[3].backends[0].weight".
 * Returns the number of errors, or -ENOMEM.
 */
typedef void (*config_report_fn)(const char *path, const char *text, void *user);
int config_check_all(const struct config *config, config_report_fn report, void *user);

/* A deep copy into an uninitialised @ret, which the caller frees. -ENOMEM leaves it untouched. */
int config_copy(const struct config *config, struct config *ret);
int config_service_copy(const struct config_service *service, struct config_service *ret);

/* "rr" ... NULL where the name or number is unknown (parse: negative). */
const char *scheduler_name(enum weir_scheduler scheduler);
int scheduler_parse(const char *name);
/* Its slots are a table of src/model/maglev.h. */
bool scheduler_hashes(enum weir_scheduler scheduler);
const char *mode_name(enum weir_mode mode);
int mode_parse(const char *name);
const char *backend_state_name(enum backend_state state);
int backend_state_parse(const char *name);
const char *health_type_name(enum health_type type);
int health_type_parse(const char *name);
const char *protocol_name(uint8_t protocol); /* "tcp", "udp" */

/* "tcp", "udp", or for a service that listens on both "tcp,udp". */
const char *service_protocols(const struct config_service *service);
