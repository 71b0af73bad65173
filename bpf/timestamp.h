/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Takes the timestamp out of a SYN. One that comes from a port which the backend holds in TIME_WAIT is
 * refused there if its timestamp is older than that of the port's last connection (RFC 7323 5.3), and
 * those of different clients have nothing to do with each other. Without it the sequence number decides.
 */

#include "checksum.h"
#include "maps.h"
#include "packet.h"

#define TCP_OPTIONS_MOST 40
#define TCP_OPTIONS_MASK 63 /* a bound that the verifier can see */

enum tcp_option {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_TIMESTAMP = 8,
	TCP_OPTION_TIMESTAMP_LENGTH = 10,
};

struct option_walk {
	__u8 options[TCP_OPTIONS_MASK + 1];
	__u32 length;
	__u32 at;
	__u32 found;
};

static long option_step(__u32 step, struct option_walk *walk)
{
	__u8 kind = walk->options[walk->at & TCP_OPTIONS_MASK];
	__u8 length = walk->options[(walk->at + 1) & TCP_OPTIONS_MASK];

	if (walk->at + TCP_OPTION_TIMESTAMP_LENGTH > walk->length || kind == TCP_OPTION_END)
		return 1;
	if (kind == TCP_OPTION_NOP)
		length = 1;
	else if (length < 2)
		return 1;
	walk->found = kind == TCP_OPTION_TIMESTAMP && length == TCP_OPTION_TIMESTAMP_LENGTH;
	if (!walk->found)
		walk->at += length;
	return walk->found;
}

__noinline int timestamp_remove(struct xdp_md *ctx, const struct packet *packet)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u8 before[TCP_OPTIONS_MOST];
	struct option_walk walk = {};
	struct tcphdr *tcp;
	__s64 change;
	__u32 i;

	if (!packet)
		return 0;
	tcp = packet_l4(data, packet);
	if ((void *)(tcp + 1) > data_end)
		return 0;
	walk.length = tcp->doff * 4 - sizeof(*tcp);
	if (walk.length < TCP_OPTION_TIMESTAMP_LENGTH || walk.length > TCP_OPTIONS_MOST ||
	    bpf_xdp_load_bytes(ctx, packet->l4_offset + sizeof(*tcp), walk.options, walk.length))
		return 0;
	__builtin_memcpy(before, walk.options, sizeof(before));
	walk.at = unknown_zero();
	walk.found = unknown_zero();
	bpf_loop(TCP_OPTIONS_MOST, option_step, &walk, 0);
	if (!walk.found)
		return 0;
	for (i = 0; i < TCP_OPTION_TIMESTAMP_LENGTH; i++)
		walk.options[(walk.at + i) & TCP_OPTIONS_MASK] = TCP_OPTION_NOP;
	change = bpf_csum_diff((__be32 *)before, sizeof(before), (__be32 *)walk.options,
			       sizeof(before), 0);
	tcp->check = checksum_apply(tcp->check, checksum_fold((__u32)change));
	__builtin_memset(before, TCP_OPTION_NOP, TCP_OPTION_TIMESTAMP_LENGTH);
	return !bpf_xdp_store_bytes(ctx, packet->l4_offset + sizeof(*tcp) + walk.at, before,
				    TCP_OPTION_TIMESTAMP_LENGTH);
}
