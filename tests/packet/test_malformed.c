// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/rows.h"

/* The same broken headers twice: for a service they are dropped, for the host they pass. */

enum { IP = ETHERNET_LENGTH };
#define L4 (IP + frame_ip_length())

static struct frame tcp_to(uint16_t port)
{
	struct segment segment = tcp_segment(CLIENT, 40000, WEIR, port, SYN);

	segment.payload = 8;
	return frame_of(&segment);
}

static struct frame udp_to(uint16_t port)
{
	struct segment segment = udp_datagram(CLIENT, 40000, WEIR, port, 8);

	return frame_of(&segment);
}

static struct frame elsewhere(struct frame frame)
{
	if (frame_family() == WEIR_IPV6)
		frame_put_address(frame.bytes + IP + 24, BACKEND_2);
	else
		put32(frame.bytes + IP + 16, BACKEND_2);
	ip_checksum_again(&frame);
	return frame;
}

static struct frame header_length(unsigned int words)
{
	struct frame frame = tcp_to(8000);

	frame.bytes[IP] = (uint8_t)(4 << 4 | words);
	ip_checksum_again(&frame);
	return frame;
}

static struct frame total_length(struct frame frame, size_t length)
{
	if (frame_family() == WEIR_IPV6)
		put16(frame.bytes + IP + 4, (uint16_t)(length - frame_ip_length()));
	else
		put16(frame.bytes + IP + 2, (uint16_t)length);
	ip_checksum_again(&frame);
	return frame;
}

/* The frame ends after @length bytes of TCP or UDP, and IP says so. */
static struct frame cut(struct frame frame, uint16_t length)
{
	frame.length = L4 + length;
	return total_length(frame, frame_ip_length() + length);
}

/* The same, but the frame goes on beyond the IP packet. */
static struct frame cut_and_padded(struct frame frame, uint16_t length)
{
	return total_length(frame, frame_ip_length() + length);
}

static struct frame data_offset(struct frame frame, unsigned int words)
{
	frame.bytes[L4 + 12] = (uint8_t)(words << 4);
	return frame;
}

static struct frame udp_length(struct frame frame, uint16_t length)
{
	put16(frame.bytes + L4 + 4, length);
	return frame;
}

/* Each function of a row: NAME_to_service() and NAME_to_host(). */
#define BOTH(name, to_service, to_host)                                                            \
	static struct frame name##_to_service(void)                                                \
	{                                                                                          \
		return to_service;                                                                 \
	}                                                                                          \
	static struct frame name##_to_host(void)                                                   \
	{                                                                                          \
		return to_host;                                                                    \
	}

BOTH(ihl_4, header_length(4), elsewhere(header_length(4)))
BOTH(ihl_0, header_length(0), elsewhere(header_length(0)))
BOTH(ihl_beyond_packet, header_length(15), elsewhere(header_length(15)))
BOTH(length_below_header, total_length(tcp_to(8000), 19), elsewhere(total_length(tcp_to(8000), 19)))
BOTH(length_0, total_length(udp_to(53), 0), elsewhere(total_length(udp_to(53), 0)))
BOTH(length_beyond_frame, total_length(tcp_to(8000), frame_ip_length() + 29),
     elsewhere(total_length(tcp_to(8000), frame_ip_length() + 29)))
BOTH(length_most, total_length(tcp_to(8000), 65535), elsewhere(total_length(tcp_to(8000), 65535)))
BOTH(nothing_in_it, cut_and_padded(udp_to(53), 0), elsewhere(cut_and_padded(udp_to(53), 0)))
BOTH(tcp_without_ports, cut(tcp_to(8000), 3), elsewhere(cut(tcp_to(8000), 3)))
BOTH(tcp_empty, cut(tcp_to(8000), 0), elsewhere(cut(tcp_to(8000), 0)))
BOTH(tcp_19, cut(tcp_to(8000), 19), cut(tcp_to(22), 19))
BOTH(tcp_19_padded, cut_and_padded(tcp_to(8000), 19), cut_and_padded(tcp_to(22), 19))
/* What stands behind the packet is no port: the address alone decides. */
BOTH(tcp_ports_in_padding, cut_and_padded(tcp_to(22), 2),
     elsewhere(cut_and_padded(tcp_to(8000), 2)))
BOTH(doff_4, data_offset(tcp_to(8000), 4), data_offset(tcp_to(22), 4))
BOTH(doff_0, data_offset(tcp_to(8000), 0), data_offset(tcp_to(22), 0))
BOTH(doff_beyond_packet, data_offset(tcp_to(8000), 8), data_offset(tcp_to(22), 8))
BOTH(doff_in_padding, data_offset(cut_and_padded(tcp_to(8000), 24), 7),
     data_offset(cut_and_padded(tcp_to(22), 24), 7))
BOTH(udp_without_ports, cut(udp_to(53), 3), elsewhere(cut(udp_to(53), 3)))
BOTH(udp_7, cut(udp_to(53), 7), cut(udp_to(54), 7))
BOTH(udp_length_7, udp_length(udp_to(53), 7), udp_length(udp_to(54), 7))
BOTH(udp_length_0, udp_length(udp_to(53), 0), udp_length(udp_to(54), 0))
BOTH(udp_length_beyond, udp_length(udp_to(53), 17), udp_length(udp_to(54), 17))

static struct frame ip_header_cut_off(void)
{
	struct frame frame = tcp_to(8000);

	frame.length = L4 - 1;
	return frame;
}

static struct frame ip_header_missing(void)
{
	struct frame frame = tcp_to(8000);

	frame.length = IP;
	return frame;
}

#define ROWS_OF(family, name, text, reason)                                                        \
	{                                                                                          \
		text ", service",                                                                  \
		NULL,                                                                              \
		name##_to_service,                                                                 \
		WEIR_REASON_##reason,                                                              \
		XDP_DROP,                                                                          \
		NULL,                                                                              \
		family                                                                             \
	},                                                                                         \
	{                                                                                          \
		text ", host", NULL, name##_to_host, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS,     \
			NULL, family                                                               \
	}
#define ROWS(name, text, reason) ROWS_OF(ROW_BOTH, name, text, reason)

static const struct row rows[] = {
	ROWS_OF(ROW_V4, ihl_4, "IP header of 16 bytes", MALFORMED_IP),
	ROWS_OF(ROW_V4, ihl_0, "IP header of 0 bytes", MALFORMED_IP),
	ROWS_OF(ROW_V4, ihl_beyond_packet, "IP header longer than the packet", MALFORMED_IP),
	ROWS_OF(ROW_V4, length_below_header, "IP length 19", MALFORMED_IP),
	ROWS_OF(ROW_V4, length_0, "IP length 0", MALFORMED_IP),
	ROWS(length_beyond_frame, "IP length beyond the frame", MALFORMED_IP),
	ROWS(length_most, "IP length as large as can be", MALFORMED_IP),
	ROWS(nothing_in_it, "UDP of 0 bytes, padded", MALFORMED_UDP),
	ROWS(tcp_empty, "TCP of 0 bytes", MALFORMED_TCP),
	ROWS(tcp_without_ports, "TCP of 3 bytes", MALFORMED_TCP),
	ROWS(tcp_ports_in_padding, "TCP of 2 bytes, padded", MALFORMED_TCP),
	ROWS(tcp_19, "TCP of 19 bytes", MALFORMED_TCP),
	ROWS(tcp_19_padded, "TCP of 19 bytes, padded", MALFORMED_TCP),
	ROWS(doff_4, "TCP header of 16 bytes", MALFORMED_TCP),
	ROWS(doff_0, "TCP header of 0 bytes", MALFORMED_TCP),
	ROWS(doff_beyond_packet, "TCP header longer than the segment", MALFORMED_TCP),
	ROWS(doff_in_padding, "TCP header that ends in the padding", MALFORMED_TCP),
	ROWS(udp_without_ports, "UDP of 3 bytes", MALFORMED_UDP),
	ROWS(udp_7, "UDP of 7 bytes", MALFORMED_UDP),
	ROWS(udp_length_7, "UDP length 7", MALFORMED_UDP),
	ROWS(udp_length_0, "UDP length 0", MALFORMED_UDP),
	ROWS(udp_length_beyond, "UDP length beyond the packet", MALFORMED_UDP),
	{ "IP header cut off by the frame's end", NULL, ip_header_cut_off,
	  WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS, NULL, ROW_BOTH },
	{ "no IP header at all", NULL, ip_header_missing, WEIR_REASON_NOT_OURS_MALFORMED, XDP_PASS,
	  NULL, ROW_BOTH },
};

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!network_enter())
		return 0;
	return rows_run(rows, sizeof(rows) / sizeof(rows[0]));
}
