/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/flow.h"

/*
 * Frames as tests write them down: a description in host order, turned into bytes by code that
 * shares nothing with the datapath. Its checksums are the naive ones of RFC 1071: every byte, one
 * carry at a time.
 */

#define FRAME_MOST 9216 /* more than the kernel keeps in one piece */
#define ETHERNET_LENGTH 14
/* With WEIR_TEST_FAMILY=6 the same tests are about IPv6: these words stand in front of every address. */
#define FRAME_NET6_0 0x20010db8
#define FRAME_NET6_1 0x00010002
#define FRAME_NET6_2 0xfffe0304
#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMP6 = 58 };

#define FRAME_MORE_FRAGMENTS 0x2000

struct mac {
	uint8_t bytes[6];
};

/* What the test is about. */
enum weir_family frame_family(void);
/*
 * @address in IPv6, 16 bytes: one of the net above; what no host can have becomes one that no host can have:
 * loopback, multicast, or unspecified.
 */
void frame_put_address(uint8_t *at, uint32_t address);
/* Length of the IP header without options or extension headers. */
size_t frame_ip_length(void);
/* The protocol numbers of ICMP and of what IPv4 and IPv6 write into a header for @protocol. */
uint8_t frame_protocol(uint8_t protocol);

struct frame {
	size_t length;
	uint8_t bytes[FRAME_MOST];
};

/* One IP packet that carries a TCP segment or a UDP datagram. IPv6: options are an extension header. */
struct segment {
	struct mac to, from;
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint8_t protocol, ttl, tos;
	uint16_t id, fragment; /* fragment: flags and offset as in the header of IPv4 */
	size_t options_length; /* multiple of 4 */
	uint8_t options[40];
	uint32_t sequence, acknowledgement;
	uint16_t window, urgent;
	uint8_t flags;
	size_t tcp_options_length; /* multiple of 4 */
	uint8_t tcp_options[40];
	size_t payload; /* bytes; their values follow from `seed` and their place */
	uint8_t seed;
	bool no_checksum;    /* UDP: checksum field 0 */
	size_t padding;      /* bytes of 0xa5 after the IP packet */
	size_t tags;         /* VLAN tags, at most 2 */
	uint16_t first_word; /* the payload's first two bytes, if not 0 */
};

/* The locally administered MAC address that the tests give to the host @address. */
struct mac mac_of(uint32_t address);

/* A TCP segment or UDP datagram with defaults for the rest: TTL 64, don't fragment, some window. */
struct segment tcp_segment(uint32_t source, uint16_t source_port, uint32_t destination,
			   uint16_t destination_port, uint8_t flags);
struct segment udp_datagram(uint32_t source, uint16_t source_port, uint32_t destination,
			    uint16_t destination_port, size_t payload);

/* Where its TCP or UDP header begins: bytes from the start of the frame. */
size_t frame_l4(const struct segment *segment);
/* The bytes of @segment. */
struct frame frame_of(const struct segment *segment);

/* The same headers before and of IP, but with @length bytes of @l4 behind them. */
struct frame frame_of_bytes(const struct segment *segment, const uint8_t *l4, size_t length);

/*
 * An ICMP error from @source to @destination about @about: IP without options, TTL 64, don't
 * fragment, id 0, tags as those of @about; quotes the IP header of @about and 8 bytes more, IPv6 as much as 1280 bytes take. Types and
 * codes are those of IPv4.
 */
struct frame icmp_error(struct mac to, struct mac from, uint32_t source, uint32_t destination,
			uint8_t type, uint8_t code, const struct frame *about);
/* The same: too big, @mtu would get through. */
struct frame icmp_too_big(struct mac to, struct mac from, uint32_t source, uint32_t destination,
			  uint32_t mtu, const struct frame *about);

/*
 * An ICMP message in an IP packet with the header of @outer (addresses, MAC addresses, TTL, options, id,
 * padding): @rest is the second half of its header, @length bytes of @body follow.
 */
struct frame icmp_message(const struct segment *outer, uint8_t type, uint8_t code, uint32_t rest,
			  const uint8_t *body, size_t length);

void put16(uint8_t *at, uint16_t value);
void put32(uint8_t *at, uint32_t value);
uint16_t get16(const uint8_t *at);
uint32_t get32(const uint8_t *at);

/* RFC 1071: the checksum of @length bytes, as the number that stands in the header. */
uint16_t slow_checksum(const uint8_t *bytes, size_t length);

/* Who sent the IP packet at @ip, and to whom, as tests write addresses. */
uint32_t ip_source(const uint8_t *ip);
uint32_t ip_destination(const uint8_t *ip);

/* Writes the IP header's checksum anew, after a test has changed the header. IPv6 has none. */
void ip_checksum_again(struct frame *frame);
