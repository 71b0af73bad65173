// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "src/base/parse.h"

struct weir_address address_from_v4(uint32_t v4)
{
	return (struct weir_address){ { 0, 0, htonl(0xffff), v4 } };
}

uint32_t address_to_v4(const struct weir_address *address)
{
	return address->word[3];
}

bool address_from_socket(const struct sockaddr *socket, struct weir_address *ret)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (socket->sa_family == AF_INET) {
		memcpy(&v4, socket, sizeof(v4));
		*ret = address_from_v4(v4.sin_addr.s_addr);
		return true;
	}
	if (socket->sa_family != AF_INET6)
		return false;
	memcpy(&v6, socket, sizeof(v6));
	memcpy(ret, &v6.sin6_addr, sizeof(*ret));
	return true;
}

size_t endpoint_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *ret)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memset(ret, 0, sizeof(*ret));
	if (address_is_v4(&endpoint->address)) {
		v4.sin_port = htons(endpoint->port);
		v4.sin_addr.s_addr = address_to_v4(&endpoint->address);
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_port = htons(endpoint->port);
	memcpy(&v6.sin6_addr, &endpoint->address, sizeof(v6.sin6_addr));
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}

bool address_is_v4(const struct weir_address *address)
{
	return !address->word[0] && !address->word[1] && address->word[2] == htonl(0xffff);
}

bool address_is_link_local(const struct weir_address *address)
{
	return (address->word[0] & htonl(0xffc00000)) == htonl(0xfe800000);
}

const char *address_family_name(const struct weir_address *address)
{
	return address_is_v4(address) ? "IPv4" : "IPv6";
}

bool address_is_zero(const struct weir_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

bool address_equal(const struct weir_address *a, const struct weir_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && address_equal(&a->address, &b->address);
}

static int parse_v4(const char *text, struct weir_address *ret)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) != 1)
		return -EINVAL;
	*ret = address_from_v4(v4.s_addr);
	return 0;
}

static int parse_v6(const char *text, struct weir_address *ret)
{
	struct in6_addr v6;

	if (inet_pton(AF_INET6, text, &v6) != 1)
		return -EINVAL;
	memcpy(ret, &v6, sizeof(*ret));
	return 0;
}

int address_parse(const char *text, struct weir_address *ret)
{
	return strchr(text, ':') ? parse_v6(text, ret) : parse_v4(text, ret);
}

static int parse_port(const char *text, uint16_t *ret)
{
	uint64_t number;

	if (parse_number(text, &number) < 0 || number < 1 || number > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)number;
	return 0;
}

/* Splits @text into host and port (NULL: none was given). Returns the host's length or -EINVAL. */
static int split(const char *text, const char **ret_host, const char **ret_port)
{
	const char *end;

	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		*ret_host = text + 1;
		*ret_port = end[1] ? end + 2 : NULL;
		return (int)(end - text - 1);
	}
	end = strchr(text, ':');
	*ret_host = text;
	if (!end || strchr(end + 1, ':')) { /* no colon, or those of a bare IPv6 address */
		*ret_port = NULL;
		return (int)strlen(text);
	}
	*ret_port = end + 1;
	return (int)(end - text);
}

static int parse(const char *text, bool any, struct endpoint *ret)
{
	struct endpoint endpoint = { 0 };
	char copy[INET6_ADDRSTRLEN];
	const char *host, *port;
	int length, r;

	length = split(text, &host, &port);
	if (length < 0 || (size_t)length >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, host, (size_t)length);
	copy[length] = '\0';
	if (text[0] == '[')
		r = parse_v6(copy, &endpoint.address);
	else
		r = address_parse(copy, &endpoint.address);
	if (r < 0)
		return r;
	if (any && !port)
		return -EINVAL;
	if (port && !(any && !strcmp(port, "any")) && parse_port(port, &endpoint.port) < 0)
		return -EINVAL;
	*ret = endpoint;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	return parse(text, false, ret);
}

int endpoint_parse_any(const char *text, struct endpoint *ret)
{
	return parse(text, true, ret);
}

char *address_format(const struct weir_address *address, char buffer[static ENDPOINT_STRING_SIZE])
{
	if (address_is_v4(address))
		inet_ntop(AF_INET, &address->word[3], buffer, ENDPOINT_STRING_SIZE);
	else
		inet_ntop(AF_INET6, address, buffer, ENDPOINT_STRING_SIZE);
	return buffer;
}

char *endpoint_format(const struct endpoint *endpoint, char buffer[static ENDPOINT_STRING_SIZE])
{
	char host[ENDPOINT_STRING_SIZE];
	const bool v4 = address_is_v4(&endpoint->address);

	address_format(&endpoint->address, host);
	if (!endpoint->port)
		snprintf(buffer, ENDPOINT_STRING_SIZE, v4 ? "%.45s" : "[%.45s]", host);
	else
		snprintf(buffer, ENDPOINT_STRING_SIZE, v4 ? "%.45s:%u" : "[%.45s]:%u", host,
			 endpoint->port);
	return buffer;
}

char *endpoint_format_any(const struct endpoint *endpoint, char buffer[static ENDPOINT_STRING_SIZE])
{
	endpoint_format(endpoint, buffer);
	if (!endpoint->port)
		strcat(buffer, ":any");
	return buffer;
}
