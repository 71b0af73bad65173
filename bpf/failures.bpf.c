// SPDX-License-Identifier: GPL-2.0-only
#include "egress.h"

#include <bpf/bpf_tracing.h>

/*
 * XDP_REDIRECT is a wish: after the program's end the kernel may find the packet too long, the driver
 * unwilling or its queue full. It tells tracepoints alone, and those of all network namespaces.
 */

const volatile __u32 egress_id = 0;         /* of the map `egress` */
const volatile __u32 network_namespace = 0; /* its inode number, as of /proc/self/ns/net */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	int ifindex;
	possible_net_t nd_net;
};
#pragma clang attribute pop

static __always_inline void count_failures(__u64 count)
{
	__u32 only = 0;
	__u64 *failures = bpf_map_lookup_elem(&redirect_failures, &only);

	if (failures)
		*failures += count;
}

static __always_inline int is_ours(const struct net_device *device)
{
	__u32 ifindex = device->ifindex;

	return device->nd_net.net->ns.inum == network_namespace &&
	       bpf_map_lookup_elem(&egress, &ifindex);
}

SEC("tp_btf/xdp_redirect_err")
int BPF_PROG(weir_redirect_refused, const struct net_device *from, const void *program,
	     const void *target, int error, int map_type, __u32 map_id, __u32 index)
{
	if (map_id == egress_id)
		count_failures(1);
	return 0;
}

/* Once for up to 16 packets, also if all went well. */
SEC("tp_btf/xdp_devmap_xmit")
int BPF_PROG(weir_redirect_dropped, const struct net_device *from, const struct net_device *to,
	     int sent, int drops, int error)
{
	if (drops > 0 && is_ours(from) && is_ours(to))
		count_failures(drops);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
