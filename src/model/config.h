/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/config.h"
#include "src/base/address.h"
#include "src/base/error.h"

/*
 * What the operator wants, as data: made from the flags of `weir run -i` (and later from a file).
 * A struct config owns everything it points to; config_free() gives all of it back. After
 * config_check() has accepted it, it is not changed any more.
 *
 * I1  every service has at least one listen address and a name that no other service has
 * I2  no address, port and protocol is listened on twice
 * I3  every backend has a port; no service has the same backend twice
 * I4  no backend of a service is itself listened on with the service's protocol (it would loop)
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
	CONFIG_LISTENS_MOST = 1000000,  /* the same */
	CONFIG_TIMEOUT_LEAST = 100,     /* milliseconds */
	CONFIG_TIMEOUT_MOST = 7 * 24 * 3600 * 1000,
};

enum attach { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC };

struct config_interface {
	char name[16];
	enum attach attach;
};

struct config_listen {
	struct endpoint endpoint;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct config_backend {
	struct endpoint endpoint;
	uint32_t weight; /* 0-256; 0: no new flows */
};

struct config_timeouts { /* milliseconds */
	uint64_t tcp;
	uint64_t tcp_handshake;
	uint64_t tcp_close;
	uint64_t udp;
	uint64_t udp_established;
};

struct config_service {
	char name[64]; /* [a-z0-9-]{1,63} */
	struct config_listen *listens;
	size_t listen_count;
	enum weir_mode mode;
	enum weir_scheduler scheduler;
	bool silent;      /* on_no_backend: drop */
	bool keep_client; /* snat: off */
	struct config_timeouts timeouts;
	struct config_backend *backends;
	size_t backend_count;
};

struct config_limits {
	uint32_t flows;
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

struct config {
	struct config_interface *interfaces;
	size_t interface_count;
	struct config_service *services;
	size_t service_count;
	struct config_limits limits;
	struct config_snat snat;
};

/* Defaults of interface.md: limits, timeouts, SNAT ports. No interface, no service. */
void config_init(struct config *config);
void config_free(struct config *config); /* an initialised or zeroed one; leaves it initialised */

/*
 * Appends a zeroed element with its defaults. Returns it (owned by @config, valid until the next
 * one is appended), or NULL: no memory.
 */
struct config_interface *config_add_interface(struct config *config);
struct config_service *config_add_service(struct config *config);
struct config_listen *config_service_add_listen(struct config_service *service);
struct config_backend *config_service_add_backend(struct config_service *service);
struct weir_address *config_add_snat_address(struct config *config);

/* What the kernel takes as the name of an interface. */
bool config_interface_name_valid(const char *name);

/*
 * Checks I1-I4, ranges and combinations. 0, or -EINVAL with the first thing that is wrong (-ENOMEM:
 * it could not be checked). A service without backends is allowed.
 */
int config_check(const struct config *config, struct error *error);

/* "rr" ... NULL where the name or number is unknown (parse: negative). */
const char *scheduler_name(enum weir_scheduler scheduler);
int scheduler_parse(const char *name);
const char *mode_name(enum weir_mode mode);
int mode_parse(const char *name);
const char *protocol_name(uint8_t protocol); /* "tcp", "udp" */

/* "tcp", "udp", or for a service that listens on both "tcp,udp". */
const char *service_protocols(const struct config_service *service);
