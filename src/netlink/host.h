/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"

/* Facts and switches of the host (its network namespace) that weir must respect or set. */

/* Sysctls of an interface. */
enum host_switch {
	HOST_FORWARDING4, /* net.ipv4.conf.NAME.forwarding */
	HOST_FORWARDING6,
	HOST_ACCEPT_RA, /* net.ipv6.conf.NAME.accept_ra: 0, 1: unless it forwards, 2: always */
	HOST_SWITCHES,
};

#define HOST_SWITCH_STRING_SIZE 64

/* Its value, or a negative errno; -ENOENT: no such interface, or the kernel has no IPv6 there. */
int host_switch(enum host_switch which, const char *interface);
/* No default route is lost by it: those by router announcements on other interfaces stay. */
int host_set_switch(enum host_switch which, const char *interface, int value);
/* Writes "net.ipv4.conf.eth0.forwarding" as sysctl(8) takes it. Returns @buffer. */
char *host_switch_format(enum host_switch which, const char *interface,
			 char buffer[static HOST_SWITCH_STRING_SIZE]);

/*
 * Marks the ports that the host itself uses: bit p of word p / 64 is set if p lies in the ephemeral
 * range (net.ipv4.ip_local_port_range), or a TCP socket listens or a UDP socket is bound on it
 * (sock_diag, IPv4 and IPv6). @bits is cleared first.
 */
int host_used_ports(uint64_t bits[static 1024], struct error *error);

/* Driver of an interface ("veth", "virtio_net"; "" if it has none) as ethtool tells. */
int host_driver(const char *interface, char name[static 32]);

/*
 * Does the driver take frames that native XDP sends from this interface, with the XDP programs that are
 * there now? 1, 0, or a negative errno: Linux before 6.3 does not tell.
 */
int host_takes_redirects(uint32_t ifindex);
