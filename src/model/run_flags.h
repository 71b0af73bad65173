/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config.h"

/*
 * `weir run -i IF --listen ADDR:PORT[/udp] --backends A[:PORT][=WEIGHT],... [--scheduler S]
 * [--mode M]`, and the options that stand for keys of the file: --attach auto|native|generic,
 * --flows N, --half-open N (sizes take k/M/G), --udp-share PERCENT, --icmp-rate N, --reset-rate N,
 * --snat on|off, --snat-address A[,A...], --snat-ports LO-HI, --on-no-backend reject|drop, and (ms/s/m/h)
 * --timeout-tcp, --timeout-tcp-handshake, --timeout-tcp-close, --timeout-udp and
 * --timeout-udp-established.
 *
 * @argv holds the arguments after "run", without the global options. Each --listen makes a service
 * named "tcp-ADDR-PORT" (dots and colons of ADDR become dashes), all with the same backends and
 * options. A backend without a port uses the service's port.
 * Returns 0 with @config filled and accepted by config_check() (it was initialised by the caller,
 * who frees it in any case), or -EINVAL: @error says which flag or key, what is wrong with it and
 * what was expected. -ENOMEM: out of memory.
 */
int run_flags_parse(int argc, char *const argv[], struct config *config, struct error *error);
