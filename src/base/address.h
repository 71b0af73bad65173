/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/address.h"

struct sockaddr;
struct sockaddr_storage;

/* An address and a port; the port is in host byte order, 0 where none was given. */
struct endpoint {
	struct weir_address address;
	uint16_t port;
};

/* "[", 45 characters of IPv6, "]:", 5 digits, NUL; a protocol suffix does not fit in. */
#define ENDPOINT_STRING_SIZE 56

/*
 * Parses "A.B.C.D", "A.B.C.D:PORT", "V6", "[V6]" or "[V6]:PORT". Port 0 is refused. An IPv4 address
 * written as ::ffff:A.B.C.D is that IPv4 address.
 * Returns 0, or -EINVAL with *ret untouched.
 */
int endpoint_parse(const char *text, struct endpoint *ret);

/* Writes "A.B.C.D:PORT" or "[V6]:PORT" (without ":PORT" if the port is 0). Returns @buffer. */
char *endpoint_format(const struct endpoint *endpoint, char buffer[static ENDPOINT_STRING_SIZE]);

/*
 * The same for a backend, which has a port of its own or, as "A.B.C.D:any" and port 0, keeps the one that the
 * client talks to. To parse, one of both must be given.
 */
int endpoint_parse_any(const char *text, struct endpoint *ret);
char *endpoint_format_any(const struct endpoint *endpoint,
			  char buffer[static ENDPOINT_STRING_SIZE]);

/* Writes the address alone, IPv6 without brackets. Returns @buffer. */
char *address_format(const struct weir_address *address, char buffer[static ENDPOINT_STRING_SIZE]);

/* Parses a bare IPv4 or IPv6 address. Returns 0, or -EINVAL with *ret untouched. */
int address_parse(const char *text, struct weir_address *ret);

bool address_is_v4(const struct weir_address *address);
bool address_is_zero(const struct weir_address *address);       /* ::, not ::ffff:0.0.0.0 */
bool address_is_link_local(const struct weir_address *address); /* fe80::/10 */
bool address_equal(const struct weir_address *a, const struct weir_address *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* "IPv4" or "IPv6". */
const char *address_family_name(const struct weir_address *address);

/* @v4 in wire order. */
struct weir_address address_from_v4(uint32_t v4);
uint32_t address_to_v4(const struct weir_address *address);

/* Of a socket address, its port left aside. False: it is of another family; *ret is untouched. */
bool address_from_socket(const struct sockaddr *socket, struct weir_address *ret);
/* The same the other way round; returns the length. */
size_t endpoint_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *ret);
