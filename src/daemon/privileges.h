/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"

/*
 * Gives up for good what only the start needs (mounting bpffs, giving the control socket to its
 * group), and gaining anything by execve(). What stays of root's capabilities, if it was there:
 *
 *   CAP_BPF, CAP_PERFMON      tables, test runs, loading the next version of the program
 *   CAP_NET_ADMIN             links, neighbours, sysctls below net
 *   CAP_NET_RAW               ICMP health checks
 *   CAP_SETUID, CAP_SETGID    an exec health check becomes nobody
 *   CAP_KILL                  and is ended at its timeout
 *
 * From then on root is only the owner of its files: what others own and do not share is closed.
 * Capabilities belong to threads: -EBUSY if there is a second one already (uv_queue_work() makes
 * some).
 */
int privileges_drop(struct error *error);
