// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/reset_frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>

#define RESET_TTL 64

struct frame {
	struct ether_header ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

_Static_assert(sizeof(struct frame) == RESET_FRAME_LENGTH, "headers follow each other");

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

void reset_frame_of(const struct weir_flow4 *flow, enum weir_direction side,
		    struct reset_frame *ret)
{
	int client = side == WEIR_FROM_CLIENT;
	const struct weir_side4 *receiver = client ? &flow->client : &flow->backend;

	*ret = (struct reset_frame){
		.source = receiver->destination,
		.destination = receiver->source,
		.source_port = receiver->destination_port,
		.destination_port = receiver->source_port,
		.sequence = client ? flow->client_ack : flow->backend_ack,
		.acknowledgement = client ? flow->backend_ack : flow->client_ack,
	};
}

void reset_frame_build(const struct reset_frame *reset, uint8_t ret[static RESET_FRAME_LENGTH])
{
	struct frame frame = {
		.ethernet.ether_type = htons(ETHERTYPE_IP),
		.ip = {
			.version = 4,
			.ihl = sizeof(frame.ip) / 4,
			.tot_len = htons(sizeof(frame.ip) + sizeof(frame.tcp)),
			.frag_off = htons(IP_DF),
			.ttl = RESET_TTL,
			.protocol = IPPROTO_TCP,
			.saddr = reset->source,
			.daddr = reset->destination,
		},
		.tcp = {
			.source = reset->source_port,
			.dest = reset->destination_port,
			.seq = htonl(reset->sequence),
			.ack_seq = htonl(reset->acknowledgement),
			.doff = sizeof(frame.tcp) / 4,
			.rst = 1,
			.ack = 1,
		},
	};
	uint32_t sum = IPPROTO_TCP + sizeof(frame.tcp);

	memcpy(frame.ethernet.ether_dhost, reset->destination_mac, ETH_ALEN);
	memcpy(frame.ethernet.ether_shost, reset->source_mac, ETH_ALEN);
	frame.ip.check = fold(add_words(0, &frame.ip, sizeof(frame.ip)));
	sum = add_words(sum, &reset->source, sizeof(reset->source));
	sum = add_words(sum, &reset->destination, sizeof(reset->destination));
	frame.tcp.check = fold(add_words(sum, &frame.tcp, sizeof(frame.tcp)));
	memcpy(ret, &frame, sizeof(frame));
}
