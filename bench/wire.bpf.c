// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bench/wire.h"

/* Steps over the flows so that neighbours in time are no neighbours in memory: a prime that divides no count. */
#define STRIDE 1610612741ull

#define PAYLOAD (WIRE_FRAME - sizeof(struct ethhdr) - sizeof(struct iphdr) - sizeof(struct tcphdr))

const volatile struct wire_plan plan;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wire_counts);
} counts SEC(".maps");

/* 1: the flow is open. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} opened SEC(".maps");

struct frame {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
	__u8 payload[PAYLOAD];
} __attribute__((packed));

static __always_inline __u32 mix(__u32 h)
{
	h = (h ^ h >> 16) * 0x85ebca6bu;
	h = (h ^ h >> 13) * 0xc2b2ae35u;
	return h ^ h >> 16;
}

/* A backend's first sequence number, which the client's traffic must acknowledge later. */
static __always_inline __u32 backend_sequence(__u32 client_sequence)
{
	return mix(client_sequence ^ 0x5eed);
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u32 add(const void *data, int length)
{
	const __u16 *word = data;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < length / 2; i++)
		sum += word[i];
	return sum;
}

static __always_inline struct wire_counts *counts_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counts, &zero);
}

static __always_inline struct frame *frame_of(struct xdp_md *ctx)
{
	struct frame *frame = (void *)(long)ctx->data;

	return (void *)(frame + 1) <= (void *)(long)ctx->data_end ? frame : (void *)0;
}

/* Lengths and checksums around a finished TCP header. The payload is zero. */
static __always_inline void finish(struct frame *frame, __u16 payload)
{
	__u16 length = sizeof(frame->tcp) + payload;

	frame->ip.tot_len = bpf_htons(sizeof(frame->ip) + length);
	frame->ip.ttl = 64;
	frame->ip.check = 0;
	frame->ip.check = fold(add(&frame->ip, sizeof(frame->ip)));
	frame->tcp.check = 0;
	frame->tcp.check = fold(add(&frame->ip.saddr, 8) + bpf_htons(IPPROTO_TCP) +
				bpf_htons(length) + add(&frame->tcp, sizeof(frame->tcp)));
}

static __always_inline void number(struct frame *frame, __u32 sequence, __u32 acknowledgement,
				   int syn, int ack)
{
	__be16 source = frame->tcp.source, destination = frame->tcp.dest;

	frame->tcp = (struct tcphdr){
		.source = source,
		.dest = destination,
		.seq = bpf_htonl(sequence),
		.ack_seq = bpf_htonl(acknowledgement),
		.doff = sizeof(frame->tcp) / 4,
		.syn = syn,
		.ack = ack,
		.window = bpf_htons(65535),
	};
}

/* The answer to @frame is to go where it came from. */
static __always_inline void turn_round(struct frame *frame)
{
	__be32 address = frame->ip.saddr;
	__be16 port = frame->tcp.source;
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, frame->ethernet.h_source, ETH_ALEN);
	__builtin_memcpy(frame->ethernet.h_source, frame->ethernet.h_dest, ETH_ALEN);
	__builtin_memcpy(frame->ethernet.h_dest, mac, ETH_ALEN);
	frame->ip.saddr = frame->ip.daddr;
	frame->ip.daddr = address;
	frame->tcp.source = frame->tcp.dest;
	frame->tcp.dest = port;
}

static __always_inline void address_to_service(struct frame *frame, __u32 flow)
{
	__builtin_memcpy(frame->ethernet.h_dest, (void *)plan.balancer_mac, ETH_ALEN);
	__builtin_memcpy(frame->ethernet.h_source, (void *)plan.client_mac, ETH_ALEN);
	frame->ethernet.h_proto = bpf_htons(ETH_P_IP);
	frame->ip = (struct iphdr){ .version = 4, .ihl = 5, .protocol = IPPROTO_TCP };
	frame->ip.saddr = bpf_htonl(WIRE_CLIENTS + (flow & ((1u << WIRE_CLIENT_BITS) - 1)));
	frame->ip.daddr = bpf_htonl(plan.service_address + flow % plan.services);
	frame->tcp.source = bpf_htons(WIRE_FIRST_PORT + (flow >> WIRE_CLIENT_BITS));
	frame->tcp.dest = bpf_htons(plan.service_port);
}

/* The next client sends. All of the frame is written: the page may hold what became of another one. */
SEC("xdp")
int wire_send(struct xdp_md *ctx)
{
	struct frame *frame = frame_of(ctx);
	struct wire_counts *count = counts_of();
	__u32 flow, sequence;
	__u64 *open;

	if (!frame || !count || !plan.services || !plan.flows)
		return XDP_DROP;
	flow = count->turn++ * STRIDE % plan.flows;
	sequence = mix(flow);
	address_to_service(frame, flow);
	if (plan.kind == WIRE_TALK) {
		number(frame, sequence + 1, backend_sequence(sequence) + 1, 0, 1);
		frame->tcp.psh = 1;
		finish(frame, PAYLOAD);
		count->sent++;
		return XDP_TX;
	}
	open = bpf_map_lookup_elem(&opened, &flow);
	if (!open || *open)
		return XDP_DROP;
	number(frame, sequence, 0, 1, 0);
	finish(frame, 0);
	count->sent++;
	return XDP_TX;
}

static __always_inline int at_client(struct frame *frame, struct wire_counts *count)
{
	__u32 flow = (bpf_ntohl(frame->ip.daddr) - WIRE_CLIENTS) |
		     (__u32)(bpf_ntohs(frame->tcp.dest) - WIRE_FIRST_PORT) << WIRE_CLIENT_BITS;
	__u64 *open;

	count->at_clients++;
	if (!frame->tcp.syn || !frame->tcp.ack)
		return XDP_DROP;
	open = bpf_map_lookup_elem(&opened, &flow);
	if (open && !*open) {
		*open = 1;
		count->opened++;
	}
	turn_round(frame);
	number(frame, bpf_ntohl(frame->tcp.ack_seq), bpf_ntohl(frame->tcp.seq) + 1, 0, 1);
	finish(frame, 0);
	return XDP_TX;
}

static __always_inline int at_backend(struct frame *frame, struct wire_counts *count)
{
	__u32 sequence = bpf_ntohl(frame->tcp.seq);

	count->at_backends++;
	turn_round(frame);
	if (frame->tcp.syn) {
		number(frame, backend_sequence(sequence), sequence + 1, 1, 1);
	} else {
		/* The ACK that opens a connection carries nothing and is not answered. */
		if (!frame->tcp.psh)
			return XDP_DROP;
		number(frame, bpf_ntohl(frame->tcp.ack_seq), sequence + PAYLOAD, 0, 1);
	}
	finish(frame, 0);
	return XDP_TX;
}

/* Frames that the balancer sends. */
SEC("xdp")
int wire_receive(struct xdp_md *ctx)
{
	struct frame *frame = frame_of(ctx);
	struct wire_counts *count = counts_of();
	__u32 to;

	if (!frame || !count || frame->ethernet.h_proto != bpf_htons(ETH_P_IP) ||
	    frame->ip.ihl != 5 || frame->ip.protocol != IPPROTO_TCP)
		return XDP_PASS;
	to = bpf_ntohl(frame->ip.daddr);
	if (to >> WIRE_CLIENT_BITS == WIRE_CLIENTS >> WIRE_CLIENT_BITS)
		return at_client(frame, count);
	if ((to & plan.backend_mask) == plan.backend_network)
		return at_backend(frame, count);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
