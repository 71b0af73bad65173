// SPDX-License-Identifier: GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi/check.h"
#include "address.h"
#include "checksum.h"

/*
 * Health checks by the path of the traffic. weir_check_out, where packets to check addresses leave the
 * host's own stack, makes them packets to the service address and hands them to the backend.
 * weir_check_in, where backends are, turns the replies back before the stack sees them: to it they
 * would come from itself if the host has the service address, too.
 */

#define IP_FRAGMENT_MASK 0x3fff
#define IP_DONT_FRAGMENT 0x4000
#define OUTER_TTL 64
#define ICMP_ECHO 8
#define ICMP_ECHOREPLY 0
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

/* A late answer is given to the stack for this long, so that it resets the connection. */
#define LATE_NS (10ULL * 1000 * 1000 * 1000)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEIR_CHECK_PLACES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct weir_check);
} ways SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEIR_CHECK_ASKED);
	__type(key, struct weir_tuple);
	__type(value, struct weir_check_asked);
} asked SEC(".maps");

/* Of ICMP and ICMPv6 alike; <linux/icmp.h> drags in the C library. */
struct echo {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
};

/* The fields of a packet that are looked at or changed. */
struct parsed {
	struct weir_tuple tuple; /* as it is on the wire */
	__u32 l4_offset;
	__u16 source_offset; /* of the addresses */
	__u16 destination_offset;
	__u8 v6;
	__u8 tos;
	__u8 icmp_type;
	__u8 zero;
};

static __always_inline int parse_v4(struct __sk_buff *skb, struct parsed *packet)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return 0;
	if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return 0;
	packet->tuple.source = address_from_v4(ip.saddr);
	packet->tuple.destination = address_from_v4(ip.daddr);
	packet->tuple.protocol = ip.protocol;
	packet->tos = ip.tos;
	packet->l4_offset = ETH_HLEN + ip.ihl * 4;
	packet->source_offset = ETH_HLEN + offsetof(struct iphdr, saddr);
	packet->destination_offset = ETH_HLEN + offsetof(struct iphdr, daddr);
	return 1;
}

static __always_inline int parse_v6(struct __sk_buff *skb, struct parsed *packet)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6)
		return 0;
	__builtin_memcpy(&packet->tuple.source, &ip.saddr, sizeof(ip.saddr));
	__builtin_memcpy(&packet->tuple.destination, &ip.daddr, sizeof(ip.daddr));
	packet->tuple.protocol = ip.nexthdr;
	packet->tuple.family = WEIR_IPV6;
	packet->tos = ip.priority << 4 | ip.flow_lbl[0] >> 4;
	packet->v6 = 1;
	packet->l4_offset = ETH_HLEN + sizeof(ip);
	packet->source_offset = ETH_HLEN + offsetof(struct ipv6hdr, saddr);
	packet->destination_offset = ETH_HLEN + offsetof(struct ipv6hdr, daddr);
	return 1;
}

/* 0: nothing that a check sends or gets. */
static __always_inline int parse(struct __sk_buff *skb, struct parsed *packet)
{
	struct echo echo;

	__builtin_memset(packet, 0, sizeof(*packet));
	if (skb->protocol == bpf_htons(ETH_P_IP)   ? !parse_v4(skb, packet) :
	    skb->protocol == bpf_htons(ETH_P_IPV6) ? !parse_v6(skb, packet) :
						     1)
		return 0;
	if (packet->tuple.protocol == (packet->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
		if (bpf_skb_load_bytes(skb, packet->l4_offset, &echo, sizeof(echo)) || echo.code)
			return 0;
		packet->icmp_type = echo.type;
		packet->tuple.source_port = echo.id;
		packet->tuple.destination_port = echo.sequence;
		return 1;
	}
	return (packet->tuple.protocol == IPPROTO_TCP || packet->tuple.protocol == IPPROTO_UDP) &&
	       !bpf_skb_load_bytes(skb, packet->l4_offset, &packet->tuple.source_port, 4);
}

static __always_inline int has_echo_type(const struct parsed *packet, __u8 v4, __u8 v6)
{
	if (packet->tuple.protocol == IPPROTO_TCP || packet->tuple.protocol == IPPROTO_UDP)
		return 1;
	return packet->icmp_type == (packet->v6 ? v6 : v4);
}

/* Where the L4 checksum lies; 0: no address is in it. */
static __always_inline __u32 checksum_offset(const struct parsed *packet)
{
	switch (packet->tuple.protocol) {
	case IPPROTO_TCP:
		return packet->l4_offset + offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return packet->l4_offset + offsetof(struct udphdr, check);
	case IPPROTO_ICMPV6:
		return packet->l4_offset + offsetof(struct echo, checksum);
	default:
		return 0;
	}
}

static __always_inline long replace_v4(struct __sk_buff *skb, const struct parsed *packet,
				       __u32 offset, __be32 from, __be32 to)
{
	__u32 checksum = checksum_offset(packet);
	__u64 flags = BPF_F_PSEUDO_HDR | sizeof(to) |
		      (packet->tuple.protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);

	if (checksum && bpf_l4_csum_replace(skb, checksum, from, to, flags))
		return -1;
	if (bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), from, to,
				sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(skb, offset, &to, sizeof(to), 0);
}

/*
 * The checksum of IPv4's header makes up for the address, IPv6 has none: there the sum over the packet
 * that a device may have computed must learn of the address, for the L4 checksum takes it away again.
 */
static __always_inline long replace_v6(struct __sk_buff *skb, const struct parsed *packet,
				       __u32 offset, struct weir_address *from,
				       struct weir_address *to)
{
	__s64 delta = bpf_csum_diff(from->word, sizeof(*from), to->word, sizeof(*to), 0);

	if (bpf_l4_csum_replace(skb, checksum_offset(packet), 0, delta, BPF_F_PSEUDO_HDR))
		return -1;
	return bpf_skb_store_bytes(skb, offset, to, sizeof(*to), BPF_F_RECOMPUTE_CSUM);
}

/* Gives @packet other addresses, of the same family; checksums that a device is to finish stay so. */
static __noinline long readdress(struct __sk_buff *skb, struct parsed *packet,
				 struct weir_address *source, struct weir_address *destination)
{
	struct weir_tuple *tuple = &packet->tuple;

	if (packet->v6)
		return replace_v6(skb, packet, packet->source_offset, &tuple->source, source) ||
		       replace_v6(skb, packet, packet->destination_offset, &tuple->destination,
				  destination);
	return replace_v4(skb, packet, packet->source_offset, tuple->source.word[3],
			  source->word[3]) ||
	       replace_v4(skb, packet, packet->destination_offset, tuple->destination.word[3],
			  destination->word[3]);
}

static __always_inline long set_ttl(struct __sk_buff *skb, const struct parsed *packet)
{
	__u32 offset = ETH_HLEN + (packet->v6 ? offsetof(struct ipv6hdr, hop_limit) :
						offsetof(struct iphdr, ttl));
	__u8 before, now = WEIR_CHECK_TTL;

	if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)))
		return -1;
	if (!packet->v6 && bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check),
					       bpf_htons(before << 8), bpf_htons(now << 8), 2))
		return -1;
	return bpf_skb_store_bytes(skb, offset, &now, sizeof(now), 0);
}

static __always_inline long put_outer_v4(struct __sk_buff *skb, const struct weir_check *way,
					 const struct parsed *packet, __u32 length)
{
	struct iphdr outer = {
		.version = 4,
		.ihl = sizeof(outer) / 4,
		.tos = packet->tos,
		.tot_len = bpf_htons(length + sizeof(outer)),
		.frag_off = bpf_htons(IP_DONT_FRAGMENT),
		.ttl = OUTER_TTL,
		.protocol = packet->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP,
		.saddr = way->outer_source.word[3],
		.daddr = way->outer_destination.word[3],
	};

	outer.check = ~checksum_fold(bpf_csum_diff(NULL, 0, (void *)&outer, sizeof(outer), 0));
	if (bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4))
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &outer, sizeof(outer), 0);
}

static __always_inline long put_outer_v6(struct __sk_buff *skb, const struct weir_check *way,
					 const struct parsed *packet, __u32 length)
{
	struct ipv6hdr outer = {
		.version = 6,
		.priority = packet->tos >> 4,
		.flow_lbl = { packet->tos << 4 },
		.payload_len = bpf_htons(length),
		.nexthdr = packet->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP,
		.hop_limit = OUTER_TTL,
	};

	__builtin_memcpy(&outer.saddr, &way->outer_source, sizeof(outer.saddr));
	__builtin_memcpy(&outer.daddr, &way->outer_destination, sizeof(outer.daddr));
	if (bpf_skb_adjust_room(skb, sizeof(outer), BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6))
		return -1;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &outer, sizeof(outer), 0);
}

/* The frame to the backend, with an outer header if the service's mode is ipip. */
static __always_inline long direct(struct __sk_buff *skb, const struct weir_check *way,
				   const struct parsed *packet)
{
	int v6 = way->encapsulate ? !address_is_v4(&way->outer_destination) : packet->v6;
	__u32 length = skb->len - ETH_HLEN;
	struct ethhdr ethernet = { .h_proto = bpf_htons(v6 ? ETH_P_IPV6 : ETH_P_IP) };

	if (way->encapsulate &&
	    (v6 ? put_outer_v6(skb, way, packet, length) : put_outer_v4(skb, way, packet, length)))
		return -1;
	__builtin_memcpy(ethernet.h_dest, way->destination_mac, sizeof(ethernet.h_dest));
	__builtin_memcpy(ethernet.h_source, way->source_mac, sizeof(ethernet.h_source));
	return bpf_skb_store_bytes(skb, 0, &ethernet, sizeof(ethernet), 0);
}

SEC("tc")
int weir_check_out(struct __sk_buff *skb)
{
	struct weir_check_asked sender = { .ifindex = skb->ifindex };
	struct weir_tuple key;
	struct parsed packet;
	struct weir_check *way;
	__u32 place;

	if (!parse(skb, &packet) || !has_echo_type(&packet, ICMP_ECHO, ICMPV6_ECHO_REQUEST))
		return TC_ACT_SHOT;
	place = bpf_ntohl(packet.tuple.destination.word[3]) & (WEIR_CHECK_PLACES - 1);
	way = bpf_map_lookup_elem(&ways, &place);
	if (!way || packet.v6 == address_is_v4(&way->service))
		return TC_ACT_SHOT;
	sender.source = packet.tuple.source;
	sender.destination = packet.tuple.destination;
	sender.time_ns = bpf_ktime_get_ns();
	key = packet.tuple;
	key.source = way->source;
	key.destination = way->service;
	if (bpf_map_update_elem(&asked, &key, &sender, BPF_ANY))
		return TC_ACT_SHOT;
	if (readdress(skb, &packet, &key.source, &key.destination) || set_ttl(skb, &packet) ||
	    direct(skb, way, &packet))
		return TC_ACT_SHOT;
	return bpf_redirect(way->ifindex, 0);
}

/* Does the socket still exist that asked? Else another one of this host may have its port by now. */
static __always_inline int is_awaited(struct __sk_buff *skb, const struct parsed *packet,
				      const struct weir_check_asked *sender)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 size;

	if (packet->tuple.protocol != IPPROTO_TCP)
		return 1;
	if (packet->v6) {
		__builtin_memcpy(tuple.ipv6.saddr, &sender->destination, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &sender->source, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = packet->tuple.source_port;
		tuple.ipv6.dport = packet->tuple.destination_port;
		size = sizeof(tuple.ipv6);
	} else {
		tuple.ipv4.saddr = sender->destination.word[3];
		tuple.ipv4.daddr = sender->source.word[3];
		tuple.ipv4.sport = packet->tuple.source_port;
		tuple.ipv4.dport = packet->tuple.destination_port;
		size = sizeof(tuple.ipv4);
	}
	socket = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (socket)
		bpf_sk_release(socket);
	return socket || bpf_ktime_get_ns() - sender->time_ns < LATE_NS;
}

static __always_inline struct weir_tuple key_of_reply(const struct parsed *packet)
{
	const struct weir_tuple *tuple = &packet->tuple;
	struct weir_tuple key = *tuple;

	key.source = tuple->destination;
	key.destination = tuple->source;
	/* The id and the sequence number of an echo come back where they were. */
	if (tuple->protocol == IPPROTO_TCP || tuple->protocol == IPPROTO_UDP) {
		key.source_port = tuple->destination_port;
		key.destination_port = tuple->source_port;
	}
	return key;
}

SEC("tc")
int weir_check_in(struct __sk_buff *skb)
{
	struct ethhdr ethernet = { .h_dest = WEIR_CHECK_MAC };
	struct weir_check_asked *found, sender;
	struct weir_tuple key;
	struct parsed packet;

	if (skb->vlan_present || skb->pkt_type != 0 /* PACKET_HOST */ || !parse(skb, &packet) ||
	    !has_echo_type(&packet, ICMP_ECHOREPLY, ICMPV6_ECHO_REPLY))
		return TC_ACT_UNSPEC;
	key = key_of_reply(&packet);
	found = bpf_map_lookup_elem(&asked, &key);
	if (!found)
		return TC_ACT_UNSPEC;
	sender = *found;
	if (!is_awaited(skb, &packet, &sender))
		return TC_ACT_UNSPEC;
	if (readdress(skb, &packet, &sender.destination, &sender.source) ||
	    bpf_skb_store_bytes(skb, 0, ethernet.h_dest, sizeof(ethernet.h_dest), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(sender.ifindex, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "GPL";
