/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/*
 * Passes everything. Drivers take frames that XDP sends from an interface only while it has an XDP
 * program of its own; veth wants it on the peer, too, where the lab loads this one.
 */
SEC("xdp.frags")
int weir_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}
