// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/*
 * Passes everything. On veth, frames that XDP sends reach the peer at once only if the peer has an
 * XDP program of its own: the lab loads this one there.
 */
SEC("xdp.frags")
int weir_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
