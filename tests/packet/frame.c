// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/frame.h"

#include <assert.h>
#include <string.h>

#define IP_LENGTH 20
#define TCP_LENGTH 20
#define UDP_LENGTH 8
#define ICMP_LENGTH 8
#define QUOTE 8
#define DONT_FRAGMENT 0x4000
#define PADDING_BYTE 0xa5

void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

uint16_t slow_checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)(0xffff - sum);
}

void ip_checksum_again(struct frame *frame)
{
	uint8_t *ip = frame->bytes + ETHERNET_LENGTH;

	put16(ip + 10, 0);
	put16(ip + 10, slow_checksum(ip, (size_t)(ip[0] & 15) * 4));
}

struct mac mac_of(uint32_t address)
{
	struct mac mac = { { 0x02, 0x00 } };

	put32(mac.bytes + 2, address);
	return mac;
}

struct segment tcp_segment(uint32_t source, uint16_t source_port, uint32_t destination,
			   uint16_t destination_port, uint8_t flags)
{
	return (struct segment){
		.to = mac_of(destination),
		.from = mac_of(source),
		.source = source,
		.destination = destination,
		.source_port = source_port,
		.destination_port = destination_port,
		.protocol = PROTOCOL_TCP,
		.ttl = 64,
		.id = 0x1234,
		.fragment = DONT_FRAGMENT,
		.window = 64240,
		.flags = flags,
	};
}

struct segment udp_datagram(uint32_t source, uint16_t source_port, uint32_t destination,
			    uint16_t destination_port, size_t payload)
{
	struct segment segment = tcp_segment(source, source_port, destination, destination_port, 0);

	segment.protocol = PROTOCOL_UDP;
	segment.payload = payload;
	return segment;
}

static size_t l4_header_length(const struct segment *segment)
{
	return segment->protocol == PROTOCOL_TCP ? TCP_LENGTH + segment->tcp_options_length :
						   UDP_LENGTH;
}

static void put_ethernet(uint8_t *at, struct mac to, struct mac from)
{
	memcpy(at, to.bytes, sizeof(to.bytes));
	memcpy(at + 6, from.bytes, sizeof(from.bytes));
	put16(at + 12, 0x0800);
}

static void put_ip(uint8_t *ip, const struct segment *segment, size_t l4_length)
{
	size_t header = IP_LENGTH + segment->options_length;

	memset(ip, 0, header);
	ip[0] = (uint8_t)(4 << 4 | header / 4);
	ip[1] = segment->tos;
	put16(ip + 2, (uint16_t)(header + l4_length));
	put16(ip + 4, segment->id);
	put16(ip + 6, segment->fragment);
	ip[8] = segment->ttl;
	ip[9] = segment->protocol;
	put32(ip + 12, segment->source);
	put32(ip + 16, segment->destination);
	memcpy(ip + IP_LENGTH, segment->options, segment->options_length);
	put16(ip + 10, slow_checksum(ip, header));
}

/* The checksum over the pseudo header and @length bytes of TCP or UDP at @l4. */
static uint16_t l4_checksum(const struct segment *segment, const uint8_t *l4, size_t length)
{
	uint8_t all[12 + FRAME_MOST] = { 0 };

	put32(all, segment->source);
	put32(all + 4, segment->destination);
	all[9] = segment->protocol;
	put16(all + 10, (uint16_t)length);
	memcpy(all + 12, l4, length);
	return slow_checksum(all, 12 + length);
}

static void put_tcp(uint8_t *tcp, const struct segment *segment)
{
	put16(tcp, segment->source_port);
	put16(tcp + 2, segment->destination_port);
	put32(tcp + 4, segment->sequence);
	put32(tcp + 8, segment->acknowledgement);
	tcp[12] = (uint8_t)((TCP_LENGTH + segment->tcp_options_length) / 4 << 4);
	tcp[13] = segment->flags;
	put16(tcp + 14, segment->window);
	put16(tcp + 18, segment->urgent);
	memcpy(tcp + TCP_LENGTH, segment->tcp_options, segment->tcp_options_length);
}

static void put_udp(uint8_t *udp, const struct segment *segment)
{
	put16(udp, segment->source_port);
	put16(udp + 2, segment->destination_port);
	put16(udp + 4, (uint16_t)(UDP_LENGTH + segment->payload));
}

static void put_payload(uint8_t *at, const struct segment *segment)
{
	for (size_t i = 0; i < segment->payload; i++)
		at[i] = (uint8_t)(segment->seed + 31 * i + i / 256);
	if (segment->first_word)
		put16(at, segment->first_word);
}

struct frame frame_of(const struct segment *segment)
{
	size_t header = l4_header_length(segment), l4_length = header + segment->payload;
	size_t l4_offset = ETHERNET_LENGTH + IP_LENGTH + segment->options_length;
	struct frame frame = { .length = l4_offset + l4_length + segment->padding };
	uint8_t *l4 = frame.bytes + l4_offset;
	bool tcp = segment->protocol == PROTOCOL_TCP;
	uint16_t checksum;

	assert(frame.length <= FRAME_MOST);
	put_ethernet(frame.bytes, segment->to, segment->from);
	put_ip(frame.bytes + ETHERNET_LENGTH, segment, l4_length);
	if (tcp)
		put_tcp(l4, segment);
	else
		put_udp(l4, segment);
	put_payload(l4 + header, segment);
	checksum = l4_checksum(segment, l4, l4_length);
	if (!tcp && !checksum)
		checksum = 0xffff;
	if (!segment->no_checksum)
		put16(l4 + (tcp ? 16 : 6), checksum);
	memset(l4 + l4_length, PADDING_BYTE, segment->padding);
	return frame;
}

struct frame icmp_message(const struct segment *outer, uint8_t type, uint8_t code, uint32_t rest,
			  const uint8_t *body, size_t length)
{
	size_t offset = ETHERNET_LENGTH + IP_LENGTH + outer->options_length;
	struct frame frame = { .length = offset + ICMP_LENGTH + length + outer->padding };
	uint8_t *icmp = frame.bytes + offset;
	struct segment header = *outer;

	assert(frame.length <= FRAME_MOST);
	header.protocol = PROTOCOL_ICMP;
	put_ethernet(frame.bytes, outer->to, outer->from);
	put_ip(frame.bytes + ETHERNET_LENGTH, &header, ICMP_LENGTH + length);
	icmp[0] = type;
	icmp[1] = code;
	put32(icmp + 4, rest);
	memcpy(icmp + ICMP_LENGTH, body, length);
	put16(icmp + 2, slow_checksum(icmp, ICMP_LENGTH + length));
	memset(icmp + ICMP_LENGTH + length, PADDING_BYTE, outer->padding);
	return frame;
}

struct frame icmp_error(struct mac to, struct mac from, uint32_t source, uint32_t destination,
			uint8_t type, uint8_t code, const struct frame *about)
{
	const uint8_t *quoted = about->bytes + ETHERNET_LENGTH;
	struct segment outer = {
		.to = to,
		.from = from,
		.source = source,
		.destination = destination,
		.ttl = 64,
		.fragment = DONT_FRAGMENT,
	};

	return icmp_message(&outer, type, code, 0, quoted, (size_t)(quoted[0] & 15) * 4 + QUOTE);
}
