// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/host_addresses.h"

#include <ifaddrs.h>
#include <stdlib.h>

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
		count += entry->ifa_addr && address_from_socket(entry->ifa_addr, &addresses[count]);
	freeifaddrs(all);
	*ret = addresses;
	return count;
}
