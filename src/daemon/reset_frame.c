// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/reset_frame.h"

#include "src/base/address.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define RESET_TTL 64

/* RFC 1071: adds the words of @bytes, an even number of bytes, to @sum. */
static uint32_t add_words(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i += 2)
		sum += (uint32_t)byte[i] << 8 | byte[i + 1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

void reset_frame_of(const struct flow_record *flow, enum weir_direction side,
		    struct reset_frame *ret)
{
	int client = side == WEIR_FROM_CLIENT;
	const struct weir_tuple *receiver = client ? &flow->client : &flow->backend;
	uint32_t client_ack = flow->flow.client_ack, backend_ack = flow->flow.backend_ack;

	*ret = (struct reset_frame){
		.tuple = {
			.source = receiver->destination,
			.destination = receiver->source,
			.source_port = receiver->destination_port,
			.destination_port = receiver->source_port,
			.protocol = IPPROTO_TCP,
			.family = receiver->family,
		},
		.sequence = client ? client_ack : backend_ack,
		.acknowledgement = client ? backend_ack : client_ack,
	};
}

/* Returns the length of the header. */
static size_t put_ip4(const struct weir_tuple *tuple, uint8_t *to)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tot_len = htons(sizeof(ip) + sizeof(struct tcphdr)),
		.frag_off = htons(IP_DF),
		.ttl = RESET_TTL,
		.protocol = IPPROTO_TCP,
		.saddr = address_to_v4(&tuple->source),
		.daddr = address_to_v4(&tuple->destination),
	};

	memcpy(to, &ip, sizeof(ip));
	ip.check = fold(add_words(0, to, sizeof(ip)));
	memcpy(to, &ip, sizeof(ip));
	return sizeof(ip);
}

static size_t put_ip6(const struct weir_tuple *tuple, uint8_t *to)
{
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6U << 28),
		.ip6_plen = htons(sizeof(struct tcphdr)),
		.ip6_nxt = IPPROTO_TCP,
		.ip6_hlim = RESET_TTL,
	};

	memcpy(&ip.ip6_src, &tuple->source, sizeof(ip.ip6_src));
	memcpy(&ip.ip6_dst, &tuple->destination, sizeof(ip.ip6_dst));
	memcpy(to, &ip, sizeof(ip));
	return sizeof(ip);
}

/* What stands before the IP header. Returns its length. */
static size_t put_link(const struct reset_frame *reset, uint8_t *to)
{
	const uint16_t tag[] = { htons(ETHERTYPE_VLAN), htons(reset->vlan) };
	const uint16_t type = htons(reset->tuple.family == WEIR_IPV6 ? ETHERTYPE_IPV6 :
								       ETHERTYPE_IP);
	const size_t tag_length = reset->vlan ? sizeof(tag) : 0;
	uint8_t *after = to + 2 * ETH_ALEN;

	memcpy(to, reset->destination_mac, ETH_ALEN);
	memcpy(to + ETH_ALEN, reset->source_mac, ETH_ALEN);
	memcpy(after, tag, tag_length);
	memcpy(after + tag_length, &type, sizeof(type));
	return 2 * ETH_ALEN + tag_length + sizeof(type);
}

size_t reset_frame_build(const struct reset_frame *reset, uint8_t ret[static RESET_FRAME_MOST])
{
	const struct weir_tuple *tuple = &reset->tuple;
	bool v6 = tuple->family == WEIR_IPV6;
	struct tcphdr tcp = {
		.source = tuple->source_port,
		.dest = tuple->destination_port,
		.seq = htonl(reset->sequence),
		.ack_seq = htonl(reset->acknowledgement),
		.doff = sizeof(tcp) / 4,
		.rst = 1,
		.ack = 1,
	};
	/* The words of an IPv4 address that say that it is one add up to nothing. */
	uint32_t sum = IPPROTO_TCP + sizeof(tcp);
	size_t length = put_link(reset, ret);

	length += v6 ? put_ip6(tuple, ret + length) : put_ip4(tuple, ret + length);
	sum = add_words(sum, &tuple->source, sizeof(tuple->source));
	sum = add_words(sum, &tuple->destination, sizeof(tuple->destination));
	memcpy(ret + length, &tcp, sizeof(tcp));
	tcp.check = fold(add_words(sum, ret + length, sizeof(tcp)));
	memcpy(ret + length, &tcp, sizeof(tcp));
	return length + sizeof(tcp);
}
