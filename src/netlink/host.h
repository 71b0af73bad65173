/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/base/error.h"

/* Facts and switches of the host (its network namespace) that weir must respect or set. */

/*
 * Reads net.ipv4.conf.NAME.forwarding. 1, 0, or a negative errno.
 */
int host_forwarding(const char *interface);
int host_set_forwarding(const char *interface, bool on);

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
