// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/prefix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "src/base/parse.h"

#define V4_BITS_BEFORE 96

/* Clears what is behind @length. Returns whether anything was. */
static bool cut(struct weir_address *address, unsigned int length)
{
	struct weir_address before = *address;

	for (unsigned int i = 0; i < 4; i++) {
		const unsigned int kept = length > 32 * i ? length - 32 * i : 0;

		if (kept < 32)
			address->word[i] &= kept ? htonl(UINT32_MAX << (32 - kept)) : 0;
	}
	return !address_equal(&before, address);
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	const size_t length = slash ? (size_t)(slash - text) : strlen(text);
	const unsigned int before = strchr(text, ':') ? 0 : V4_BITS_BEFORE;
	struct prefix prefix;
	char host[INET6_ADDRSTRLEN];
	uint64_t bits = 128 - before;

	if (length >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	if (address_parse(host, &prefix.address) < 0)
		return -EINVAL;
	if (slash && (parse_number(slash + 1, &bits) < 0 || bits > 128 - before))
		return -EINVAL;
	prefix.length = (uint8_t)(before + bits);
	*ret = prefix;
	return cut(&ret->address, prefix.length) ? -ERANGE : 0;
}

char *prefix_format(const struct prefix *prefix, char buffer[static PREFIX_STRING_SIZE])
{
	const bool v4 = address_is_v4(&prefix->address) && prefix->length >= V4_BITS_BEFORE;
	char host[ENDPOINT_STRING_SIZE];

	snprintf(buffer, PREFIX_STRING_SIZE, "%.45s/%d", address_format(&prefix->address, host),
		 prefix->length - (v4 ? V4_BITS_BEFORE : 0));
	return buffer;
}
