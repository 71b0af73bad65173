/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/* What a service listens on: one port of an address, a range of them, or any. */

/* An IPv6 address in brackets and two ports. */
#define LISTEN_STRING_SIZE 64

/*
 * Parses "ADDR:PORT", "ADDR:LOW-HIGH" or "ADDR:any", which may end with "/tcp" or "/udp": else
 * ret->protocol is 0. IPv6 addresses stand in brackets. -EINVAL leaves *ret untouched.
 */
int listen_parse(const char *text, struct config_listen *ret);
/* Without the protocol. Returns @buffer. */
char *listen_format(const struct config_listen *listen, char buffer[static LISTEN_STRING_SIZE]);

/* Any port, or a range. */
static inline bool listen_is_wide(const struct config_listen *listen)
{
	return listen->last_port;
}

static inline bool listen_is_any(const struct config_listen *listen)
{
	return listen_is_wide(listen) && !listen->endpoint.port;
}

/* Has @service such a one? Then its backends keep the client's port, or have one of their own. */
bool service_is_wide(const struct config_service *service);

/* How many ports it serves, where they are most. */
uint32_t service_port_count(const struct config_service *service);

/*
 * The ports that @service serves on @listen, without those of `except`: the first run of them from *next on,
 * which is moved behind it. Begin with *next = 0. False: there are no more.
 */
bool listen_next_ports(const struct config_service *service, const struct config_listen *listen,
		       uint32_t *next, struct config_ports *ret);
