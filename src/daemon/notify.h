/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * What the service manager is told (sd_notify protocol, datagrams to $NOTIFY_SOCKET). Without one, or
 * when it does not listen, nothing happens: the daemon never fails for it.
 */
void notify_ready(void);     /* started, and again after each reload, failed ones too */
void notify_reloading(void); /* to be followed by notify_ready() */
void notify_stopping(void);
void notify_status(const char *text); /* one line for `systemctl status` */

/*
 * How often notify_watchdog() must be called: half of what the service manager demands; 0: it does
 * not want to hear.
 */
uint64_t notify_watchdog_interval_ms(void);
void notify_watchdog(void);
