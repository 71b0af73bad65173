/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Programs that user space runs itself (BPF_PROG_TEST_RUN, object_run in src/datapath). They are of the XDP
 * kind, for one that may sleep (SEC("syscall")) can use neither spin locks nor queues on Linux 6.1. Their
 * argument lies where the frame would be, and goes back from there. XDP_PASS: done.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

static __always_inline void *call_argument(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data;
}

/* Is the argument as long as the program expects it? @end: behind the last byte. */
static __always_inline int call_holds(const struct xdp_md *ctx, const void *end)
{
	return end <= (void *)(long)ctx->data_end;
}
