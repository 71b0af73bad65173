/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* What the programs at both ends of a flood (flood.bpf.c) and who runs them (flood.c) share. */

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <linux/udp.h>

#define FLOOD_PAYLOAD 18 /* makes the smallest frame of IPv4 */

struct flood_frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	__u8 payload[FLOOD_PAYLOAD];
} __attribute__((packed));

struct flood_frame6 {
	struct ethhdr ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
	__u8 payload[FLOOD_PAYLOAD];
} __attribute__((packed));

/* The headers, in words of 8 bytes. */
#define FLOOD_WORDS 6
#define FLOOD_WORDS6 8

/* Flow i comes from port FLOOD_FIRST_PORT + i of an address that ends in i. */
#define FLOOD_FIRST_PORT 1024
#define FLOOD_FLOWS_MOST 64000

#define FLOOD_BACKENDS 256
#define FLOOD_ASTRAY 0 /* no backend's number */

/* What the next frame is made of, and what it looks like when it was forwarded as it should be. */
struct flood_state {
	__u64 headers[FLOOD_WORDS6]; /* of flow 0, without checksums */
	__u32 v6;
	__u32 ifindex; /* frames are sent from there */
	__u32 flows;
	__u32 next;
	__u32 ip_sum; /* of the headers, in host order, folded */
	__u32 udp_sum;
	__be32 balancer[4]; /* the source that backends see; IPv4: the first word */
	__u32 port;         /* of the backends, host order */
	__u32 zero;
};

_Static_assert(sizeof(struct flood_frame) == 60, "the smallest there is, without its checksum");
