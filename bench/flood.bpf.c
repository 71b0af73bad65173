// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/flood.h"

/*
 * A flood of UDP that is made and counted on the cable of a load balancer, so that its senders and
 * receivers cost as little as they can.
 */

struct flood_state state;

/* Frames that the balancer sent, by the last byte of the backend's address. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOOD_BACKENDS);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

static __always_inline __be16 checksum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	return bpf_htons(sum ? sum : 0xffff);
}

/* Buffers come back as the balancer has left them: all of the headers is written again. */
static __always_inline void copy_headers(void *data, int words)
{
	volatile __u64 *word = data;

#pragma unroll
	for (int i = 0; i < words; i++)
		word[i] = state.headers[i];
}

static __always_inline int make_frame(void *data, void *data_end, __u32 flow)
{
	struct flood_frame *frame = data;

	if ((void *)(frame + 1) > data_end)
		return 0;
	copy_headers(data, FLOOD_WORDS);
	frame->ip.saddr |= bpf_htonl(flow);
	frame->ip.check = checksum(state.ip_sum + flow);
	frame->udp.source = bpf_htons(FLOOD_FIRST_PORT + flow);
	frame->udp.check = checksum(state.udp_sum + flow + FLOOD_FIRST_PORT + flow);
	return 1;
}

static __always_inline int make_frame6(void *data, void *data_end, __u32 flow)
{
	struct flood_frame6 *frame = data;

	if ((void *)(frame + 1) > data_end)
		return 0;
	copy_headers(data, FLOOD_WORDS6);
	frame->ip.saddr.in6_u.u6_addr16[7] = bpf_htons(flow);
	frame->udp.source = bpf_htons(FLOOD_FIRST_PORT + flow);
	frame->udp.check = checksum(state.udp_sum + flow + FLOOD_FIRST_PORT + flow);
	return 1;
}

SEC("xdp")
int flood_source(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	__u32 flow = state.next;

	state.next = flow + 1 < state.flows ? flow + 1 : 0;
	if (!(state.v6 ? make_frame6(data, data_end, flow) : make_frame(data, data_end, flow)))
		return XDP_ABORTED;
	return bpf_redirect(state.ifindex, 0);
}

/* The backend's number; FLOOD_ASTRAY: not as it should be; negative: no datagram for a backend. */
static __always_inline int number_of(void *data, void *data_end)
{
	struct flood_frame *frame = data;

	if ((void *)(frame + 1) > data_end || frame->ethernet.h_proto != bpf_htons(ETH_P_IP) ||
	    frame->ip.protocol != IPPROTO_UDP || frame->udp.dest != bpf_htons(state.port))
		return -1;
	if (frame->ip.saddr != state.balancer[0])
		return FLOOD_ASTRAY;
	return bpf_ntohl(frame->ip.daddr) & 0xff;
}

static __always_inline int number_of6(void *data, void *data_end)
{
	struct flood_frame6 *frame = data;
	__be32 *source = frame->ip.saddr.in6_u.u6_addr32;

	if ((void *)(frame + 1) > data_end || frame->ethernet.h_proto != bpf_htons(ETH_P_IPV6) ||
	    frame->ip.nexthdr != IPPROTO_UDP || frame->udp.dest != bpf_htons(state.port))
		return -1;
	if (source[0] != state.balancer[0] || source[1] != state.balancer[1] ||
	    source[2] != state.balancer[2] || source[3] != state.balancer[3])
		return FLOOD_ASTRAY;
	return frame->ip.daddr.in6_u.u6_addr8[15];
}

SEC("xdp")
int flood_sink(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	void *data = (void *)(long)ctx->data;
	int number = state.v6 ? number_of6(data, data_end) : number_of(data, data_end);
	__u32 key = number;
	__u64 *count;

	if (number < 0)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&arrived, &key);
	if (count)
		*count += 1;
	return XDP_DROP;
}

/* Stands where a balancer would: sends each frame back, as if it were its own backend. */
SEC("xdp.frags")
int flood_echo(struct xdp_md *ctx)
{
	void *data_end = (void *)(long)ctx->data_end;
	struct flood_frame *frame = (void *)(long)ctx->data;
	struct flood_frame6 *frame6 = (void *)frame;

	if ((void *)(frame + 1) > data_end)
		return XDP_PASS;
	if (frame->ethernet.h_proto == bpf_htons(ETH_P_IP)) {
		frame->ip.saddr = frame->ip.daddr;
		return XDP_TX;
	}
	if (frame->ethernet.h_proto != bpf_htons(ETH_P_IPV6) || (void *)(frame6 + 1) > data_end)
		return XDP_PASS;
	frame6->ip.saddr = frame6->ip.daddr;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "GPL";
