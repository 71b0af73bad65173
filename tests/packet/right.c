// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/right.h"

#include <string.h>

enum { IPIP = 4, IP6IP6 = 41, HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, OPTIONS = 60 };

struct layout layout_of(const struct frame *frame)
{
	struct layout layout = { .l3 = ETHERNET_LENGTH };

	while (layout.l3 <= frame->length) {
		layout.ethertype = get16(frame->bytes + layout.l3 - 2);
		if (layout.ethertype != 0x8100 && layout.ethertype != 0x88a8)
			break;
		layout.tags++;
		layout.l3 += 4;
	}
	return layout;
}

/* The sum over a pseudo header of @addresses, @length bytes long, and @l4. 0: right. */
static uint16_t sum_with_pseudo(const uint8_t *addresses, size_t address_length, uint8_t protocol,
				const uint8_t *l4, size_t length)
{
	uint8_t all[40 + FRAME_MOST];

	memcpy(all, addresses, address_length);
	put32(all + address_length, (uint32_t)length);
	put32(all + address_length + 4, protocol);
	memcpy(all + address_length + 8, l4, length);
	return slow_checksum(all, address_length + 8 + length);
}

static bool ip_is_right(const uint8_t *ip, size_t room);

static bool l4_is_right(uint8_t protocol, const uint8_t *addresses, size_t address_length,
			const uint8_t *l4, size_t length)
{
	size_t header;

	switch (protocol) {
	case PROTOCOL_TCP:
		header = length < 20 ? 0 : (size_t)(l4[12] >> 4) * 4;
		return header >= 20 && header <= length &&
		       !sum_with_pseudo(addresses, address_length, protocol, l4, length);
	case PROTOCOL_UDP:
		if (length < 8 || get16(l4 + 4) < 8 || get16(l4 + 4) > length)
			return false;
		return !get16(l4 + 6) ||
		       !sum_with_pseudo(addresses, address_length, protocol, l4, get16(l4 + 4));
	case PROTOCOL_ICMP:
		return length >= 8 && !slow_checksum(l4, length);
	case PROTOCOL_ICMP6:
		return length >= 8 &&
		       !sum_with_pseudo(addresses, address_length, protocol, l4, length);
	case IPIP:
	case IP6IP6:
		return length && l4[0] >> 4 == (protocol == IPIP ? 4 : 6) &&
		       ip_is_right(l4, length);
	default:
		return false;
	}
}

static bool header4_is_right(const uint8_t *ip, size_t room)
{
	size_t header = room < 20 ? 0 : (size_t)(ip[0] & 15) * 4;

	return header >= 20 && ip[0] >> 4 == 4 && get16(ip + 2) >= header &&
	       get16(ip + 2) <= room && !slow_checksum(ip, header);
}

static bool ip4_is_right(const uint8_t *ip, size_t room)
{
	size_t header = (size_t)(ip[0] & 15) * 4;

	if (!header4_is_right(ip, room))
		return false;
	if (get16(ip + 6) & 0x3fff)
		return true;
	return l4_is_right(ip[9], ip + 12, 8, ip + header, get16(ip + 2) - header);
}

static bool header6_is_right(const uint8_t *ip, size_t room)
{
	return room >= 40 && ip[0] >> 4 == 6 && 40u + get16(ip + 4) <= room;
}

static bool ip6_is_right(const uint8_t *ip, size_t room)
{
	const uint8_t *at = ip + 40, *end;
	uint8_t next;

	if (!header6_is_right(ip, room))
		return false;
	end = at + get16(ip + 4);
	next = ip[6];
	while (next == HOP_BY_HOP || next == ROUTING || next == OPTIONS || next == FRAGMENT) {
		size_t length = next == FRAGMENT ? 8 : 8 * (size_t)(at[1] + 1);

		if (end - at < 8 || (size_t)(end - at) < length)
			return false;
		if (next == FRAGMENT && (get16(at + 2) & 0xfff9))
			return true;
		if (next == ROUTING && at[3])
			return false;
		next = at[0];
		at += length;
	}
	return l4_is_right(next, ip + 8, 32, at, (size_t)(end - at));
}

static bool ip_is_right(const uint8_t *ip, size_t room)
{
	return ip[0] >> 4 == 6 ? ip6_is_right(ip, room) : ip4_is_right(ip, room);
}

bool frame_is_right(const struct frame *frame)
{
	const struct layout layout = layout_of(frame);
	const uint8_t *ip = frame->bytes + layout.l3;

	if (layout.l3 >= frame->length)
		return false;
	if (layout.ethertype == 0x0800)
		return ip4_is_right(ip, frame->length - layout.l3);
	return layout.ethertype == 0x86dd && ip6_is_right(ip, frame->length - layout.l3);
}

bool frame_ip_is_right(const struct frame *frame)
{
	const struct layout layout = layout_of(frame);
	const uint8_t *ip = frame->bytes + layout.l3;

	if (layout.l3 >= frame->length)
		return false;
	if (layout.ethertype == 0x0800)
		return header4_is_right(ip, frame->length - layout.l3);
	return layout.ethertype == 0x86dd && header6_is_right(ip, frame->length - layout.l3);
}
