// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/host_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static bool address_of(const struct ifaddrs *entry, struct weir_address *ret)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (!entry->ifa_addr)
		return false;
	if (entry->ifa_addr->sa_family == AF_INET) {
		memcpy(&v4, entry->ifa_addr, sizeof(v4));
		*ret = address_from_v4(v4.sin_addr.s_addr);
		return true;
	}
	if (entry->ifa_addr->sa_family != AF_INET6)
		return false;
	memcpy(&v6, entry->ifa_addr, sizeof(v6));
	memcpy(ret, &v6.sin6_addr, sizeof(*ret));
	return true;
}

size_t host_addresses_read(struct weir_address **ret)
{
	struct weir_address *addresses;
	struct ifaddrs *all = NULL;
	size_t count = 0;

	*ret = NULL;
	if (getifaddrs(&all) < 0)
		return 0;
	for (const struct ifaddrs *entry = all; entry; entry = entry->ifa_next)
		count++;
	addresses = calloc(count + 1, sizeof(*addresses));
	count = 0;
	for (const struct ifaddrs *entry = all; addresses && entry; entry = entry->ifa_next)
		count += address_of(entry, &addresses[count]);
	freeifaddrs(all);
	*ret = addresses;
	return count;
}
