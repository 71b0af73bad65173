// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define IP_LENGTH 20
#define IP6_LENGTH 40
#define IP6_FRAGMENT_LENGTH 8
#define IP6_QUOTE_MOST (1280 - IP6_LENGTH - ICMP_LENGTH)
#define TAG_LENGTH 4
#define FRAME_ID_LOW 0x5678
#define TCP_LENGTH 20
#define UDP_LENGTH 8
#define ICMP_LENGTH 8
#define QUOTE 8
#define DONT_FRAGMENT 0x4000
#define PADDING_BYTE 0xa5

enum weir_family frame_family(void)
{
	static int family = -1;
	const char *wanted;

	if (family < 0) {
		wanted = getenv("WEIR_TEST_FAMILY");
		family = wanted && !strcmp(wanted, "6") ? WEIR_IPV6 : WEIR_IPV4;
	}
	return (enum weir_family)family;
}

size_t frame_ip_length(void)
{
	return frame_family() == WEIR_IPV6 ? IP6_LENGTH : IP_LENGTH;
}

uint8_t frame_protocol(uint8_t protocol)
{
	if (frame_family() == WEIR_IPV6 && protocol == PROTOCOL_ICMP)
		return PROTOCOL_ICMP6;
	return protocol;
}

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

uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
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

uint32_t ip_source(const uint8_t *ip)
{
	return get32(ip + (frame_family() == WEIR_IPV6 ? 20 : 12));
}

uint32_t ip_destination(const uint8_t *ip)
{
	return get32(ip + (frame_family() == WEIR_IPV6 ? 36 : 16));
}

void ip_checksum_again(struct frame *frame)
{
	uint8_t *ip = frame->bytes + ETHERNET_LENGTH;

	if (frame_family() == WEIR_IPV6)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, slow_checksum(ip, (size_t)(ip[0] & 15) * 4));
}

void frame_put_address(uint8_t *at, uint32_t address)
{
	bool special = address >> 24 == 0 || address >> 24 == 127 || address >> 28 == 15;
	bool multicast = address >> 28 == 14;

	put32(at, multicast ? 0xff020000 : special ? 0 : FRAME_NET6_0);
	put32(at + 4, special || multicast ? 0 : FRAME_NET6_1);
	put32(at + 8, special || multicast ? 0 : FRAME_NET6_2);
	put32(at + 12, special ? address >> 24 == 127 : address);
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

/* Returns the length of what stands before the IP header. */
static size_t put_ethernet(uint8_t *at, const struct segment *segment)
{
	uint8_t *type = at + 12;

	memcpy(at, segment->to.bytes, sizeof(segment->to.bytes));
	memcpy(at + 6, segment->from.bytes, sizeof(segment->from.bytes));
	for (size_t i = 0; i < segment->tags; i++, type += TAG_LENGTH) {
		put16(type, i + 1 < segment->tags ? 0x88a8 : 0x8100);
		put16(type + 2, (uint16_t)(0x6064 + i)); /* priority 3, VLAN 100 and on */
	}
	put16(type, frame_family() == WEIR_IPV6 ? 0x86dd : 0x0800);
	return ETHERNET_LENGTH + TAG_LENGTH * segment->tags;
}

/* Length of the destination options header (RFC 8200 4.6) that holds the options. */
static size_t extension_length(const struct segment *segment)
{
	return segment->options_length ? (segment->options_length + 2 + 7) / 8 * 8 : 0;
}

static bool is_fragment(const struct segment *segment)
{
	return segment->fragment & 0x3fff;
}

static size_t ip_length(const struct segment *segment)
{
	if (frame_family() == WEIR_IPV4)
		return IP_LENGTH + segment->options_length;
	return IP6_LENGTH + extension_length(segment) +
	       (is_fragment(segment) ? IP6_FRAGMENT_LENGTH : 0);
}

size_t frame_l4(const struct segment *segment)
{
	return ETHERNET_LENGTH + TAG_LENGTH * segment->tags + ip_length(segment);
}

static void put_ip4(uint8_t *ip, const struct segment *segment, size_t l4_length)
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

static void put_ip6(uint8_t *ip, const struct segment *segment, size_t l4_length)
{
	size_t header = ip_length(segment), options = extension_length(segment);
	uint8_t *next = ip + 6, *at = ip + IP6_LENGTH;

	memset(ip, 0, header);
	ip[0] = (uint8_t)(6 << 4 | segment->tos >> 4);
	ip[1] = (uint8_t)(segment->tos << 4);
	put16(ip + 4, (uint16_t)(header - IP6_LENGTH + l4_length));
	ip[7] = segment->ttl;
	frame_put_address(ip + 8, segment->source);
	frame_put_address(ip + 24, segment->destination);
	if (options) {
		*next = 60;
		next = at;
		at[1] = (uint8_t)(options / 8 - 1);
		/* PadN, and in it what IPv4 would have as options. */
		at[2] = 1;
		at[3] = (uint8_t)(options - 4);
		memcpy(at + 4, segment->options,
		       options - 4 < segment->options_length ? options - 4 :
							       segment->options_length);
		at += options;
	}
	if (is_fragment(segment)) {
		*next = 44;
		next = at;
		put16(at + 2, (uint16_t)((segment->fragment & 0x1fff) << 3 |
					 (segment->fragment & FRAME_MORE_FRAGMENTS ? 1 : 0)));
		put16(at + 4, segment->id);
		put16(at + 6, FRAME_ID_LOW);
	}
	*next = frame_protocol(segment->protocol);
}

static void put_ip(uint8_t *ip, const struct segment *segment, size_t l4_length)
{
	if (frame_family() == WEIR_IPV6)
		put_ip6(ip, segment, l4_length);
	else
		put_ip4(ip, segment, l4_length);
}

/* The checksum over the pseudo header and @length bytes of what it carries at @l4. */
static uint16_t l4_checksum(const struct segment *segment, uint8_t protocol, const uint8_t *l4,
			    size_t length)
{
	size_t pseudo = frame_family() == WEIR_IPV6 ? 40 : 12;
	uint8_t all[40 + FRAME_MOST];

	memset(all, 0, pseudo);
	if (frame_family() == WEIR_IPV6) {
		frame_put_address(all, segment->source);
		frame_put_address(all + 16, segment->destination);
	} else {
		put32(all, segment->source);
		put32(all + 4, segment->destination);
	}
	all[pseudo - (pseudo == 40 ? 1 : 3)] = protocol;
	put16(all + (pseudo == 40 ? 34 : 10), (uint16_t)length);
	memcpy(all + pseudo, l4, length);
	return slow_checksum(all, pseudo + length);
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
	struct frame frame = { .length = frame_l4(segment) + l4_length + segment->padding };
	uint8_t *l4 = frame.bytes + frame_l4(segment);
	bool tcp = segment->protocol == PROTOCOL_TCP;
	uint16_t checksum;

	assert(frame.length <= FRAME_MOST);
	put_ip(frame.bytes + put_ethernet(frame.bytes, segment), segment, l4_length);
	if (tcp)
		put_tcp(l4, segment);
	else
		put_udp(l4, segment);
	put_payload(l4 + header, segment);
	checksum = l4_checksum(segment, segment->protocol, l4, l4_length);
	if (!tcp && !checksum)
		checksum = 0xffff;
	if (!segment->no_checksum)
		put16(l4 + (tcp ? 16 : 6), checksum);
	memset(l4 + l4_length, PADDING_BYTE, segment->padding);
	return frame;
}

struct frame frame_of_bytes(const struct segment *segment, const uint8_t *l4, size_t length)
{
	size_t offset = frame_l4(segment);
	struct frame frame = { .length = offset + length + segment->padding };

	assert(frame.length <= FRAME_MOST);
	put_ip(frame.bytes + put_ethernet(frame.bytes, segment), segment, length);
	memcpy(frame.bytes + offset, l4, length);
	memset(frame.bytes + offset + length, PADDING_BYTE, segment->padding);
	return frame;
}

/* What ICMP of IPv4 says, in ICMPv6 (RFC 792, RFC 4443). */
static void translate_icmp(uint8_t *type, uint8_t *code)
{
	static const struct {
		uint8_t type, code, type6, code6;
	} rows[] = {
		{ 3, 0, 1, 0 },   { 3, 1, 1, 3 },   { 3, 3, 1, 4 },  { 3, 4, 2, 0 },
		{ 3, 13, 1, 1 },  { 11, 0, 3, 0 },  { 11, 1, 3, 1 }, { 12, 0, 4, 0 },
		{ 8, 0, 128, 0 }, { 0, 0, 129, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].type == *type && rows[i].code == *code) {
			*type = rows[i].type6;
			*code = rows[i].code6;
			return;
		}
	*type = (uint8_t)(200 + *type % 50); /* nothing that anybody knows */
}

struct frame icmp_message(const struct segment *outer, uint8_t type, uint8_t code, uint32_t rest,
			  const uint8_t *body, size_t length)
{
	size_t offset = frame_l4(outer);
	struct frame frame = { .length = offset + ICMP_LENGTH + length + outer->padding };
	uint8_t *icmp = frame.bytes + offset;
	struct segment header = *outer;
	bool v6 = frame_family() == WEIR_IPV6;

	assert(frame.length <= FRAME_MOST);
	header.protocol = PROTOCOL_ICMP;
	put_ip(frame.bytes + put_ethernet(frame.bytes, outer), &header, ICMP_LENGTH + length);
	if (v6)
		translate_icmp(&type, &code);
	icmp[0] = type;
	icmp[1] = code;
	put32(icmp + 4, rest);
	memcpy(icmp + ICMP_LENGTH, body, length);
	put16(icmp + 2, v6 ? l4_checksum(outer, PROTOCOL_ICMP6, icmp, ICMP_LENGTH + length) :
			     slow_checksum(icmp, ICMP_LENGTH + length));
	memset(icmp + ICMP_LENGTH + length, PADDING_BYTE, outer->padding);
	return frame;
}

static size_t frame_tags(const struct frame *frame)
{
	size_t tags = 0;

	while (get16(frame->bytes + 12 + TAG_LENGTH * tags) == 0x8100 ||
	       get16(frame->bytes + 12 + TAG_LENGTH * tags) == 0x88a8)
		tags++;
	return tags;
}

static struct frame icmp_about(struct mac to, struct mac from, uint32_t source,
			       uint32_t destination, uint8_t type, uint8_t code, uint32_t rest,
			       const struct frame *about)
{
	size_t tags = frame_tags(about);
	const uint8_t *quoted = about->bytes + ETHERNET_LENGTH + TAG_LENGTH * tags;
	size_t length = (size_t)(quoted[0] & 15) * 4 + QUOTE;
	struct segment outer = {
		.tags = tags,
		.to = to,
		.from = from,
		.source = source,
		.destination = destination,
		.ttl = 64,
		.fragment = DONT_FRAGMENT,
	};

	if (frame_family() == WEIR_IPV6) {
		length = (IP6_LENGTH + get16(quoted + 4)) & ~3UL;
		length = length < IP6_QUOTE_MOST ? length : IP6_QUOTE_MOST;
	}
	return icmp_message(&outer, type, code, rest, quoted, length);
}

struct frame icmp_error(struct mac to, struct mac from, uint32_t source, uint32_t destination,
			uint8_t type, uint8_t code, const struct frame *about)
{
	return icmp_about(to, from, source, destination, type, code, 0, about);
}

struct frame icmp_too_big(struct mac to, struct mac from, uint32_t source, uint32_t destination,
			  uint32_t mtu, const struct frame *about)
{
	return icmp_about(to, from, source, destination, 3, 4, mtu, about);
}
