// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/decap.h"

#include "src/base/log.h"
#include "src/datapath/decap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct outer {
	struct weir_address addresses[WEIR_DECAP_ADDRESSES];
	size_t count;
};

static int add(struct outer *outer, const struct weir_address *address, struct error *error)
{
	if (outer->count == WEIR_DECAP_ADDRESSES)
		return error_set(error, -E2BIG,
				 "more than %d addresses; name those that weir sends to with "
				 "--address",
				 WEIR_DECAP_ADDRESSES);
	outer->addresses[outer->count++] = *address;
	return 0;
}

/* False: none that weir could send to. */
static bool usable(const struct ifaddrs *one, const char *interface, struct weir_address *ret)
{
	return one->ifa_addr && !strcmp(one->ifa_name, interface) &&
	       address_from_socket(one->ifa_addr, ret) && !address_is_link_local(ret);
}

static int find_addresses(const char *interface, struct outer *outer, struct error *error)
{
	struct weir_address address;
	struct ifaddrs *all;
	int r = 0;

	if (getifaddrs(&all) < 0)
		return error_set(error, -errno, "cannot list addresses: %s", strerror(errno));
	for (const struct ifaddrs *one = all; r == 0 && one; one = one->ifa_next)
		if (usable(one, interface, &address))
			r = add(outer, &address, error);
	freeifaddrs(all);
	if (r == 0 && !outer->count)
		return error_set(error, -EADDRNOTAVAIL,
				 "%s has no address but link-local ones; name the one that weir "
				 "sends to with "
				 "--address",
				 interface);
	return r;
}

static int attach(struct decap *decap, const char *interface, uint32_t ifindex, struct error *error)
{
	int r = decap_attach(decap, ifindex, true, error);

	if (r == 0 || r == -EBUSY)
		return r;
	log_warning("%s: no native XDP (%s): attaching in generic mode, which is slower", interface,
		    error->text);
	return decap_attach(decap, ifindex, false, error);
}

/* Until somebody wants it to end. The signals are blocked from before the program is attached. */
static void wait_for_end(const sigset_t *signals)
{
	int signal_number;

	puts("weir: ready");
	fflush(stdout);
	sigwait(signals, &signal_number);
}

int decap_run(const char *interface, const struct weir_address *addresses, size_t count)
{
	uint32_t ifindex = if_nametoindex(interface);
	struct decap *decap = NULL;
	struct outer outer = {};
	struct error error = {};
	sigset_t signals;
	int r = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (!ifindex)
		r = error_set(&error, -errno, "no interface %s; see 'ip link'", interface);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add(&outer, &addresses[i], &error);
	if (r == 0 && !count)
		r = find_addresses(interface, &outer, &error);
	if (r == 0)
		r = decap_open(outer.addresses, outer.count, &decap, &error);
	if (r == 0)
		r = attach(decap, interface, ifindex, &error);
	if (r == 0)
		wait_for_end(&signals);
	else
		log_error("%s", error.text);
	decap_close(decap);
	return r == 0 ? 0 : 1;
}
