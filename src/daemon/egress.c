// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/netlink/host.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

/*
 * The interfaces that packets leave by: those of the configuration, and each one that a next hop lies
 * behind. There weir's program that only passes is attached, for without one drivers take no frames.
 */

static struct egress *find(struct daemon *daemon, uint32_t ifindex)
{
	for (size_t i = 0; i < daemon->egress_count; i++)
		if (daemon->egresses[i].ifindex == ifindex)
			return &daemon->egresses[i];
	return NULL;
}

/* Does native XDP on some other interface send packets there? */
static bool other_is_native(const struct daemon *daemon, uint32_t ifindex)
{
	for (size_t i = 0; i < daemon->config->interface_count; i++) {
		const struct interface *interface = &daemon->interfaces[i];

		if (interface->attached && interface->native && interface->ifindex != ifindex)
			return true;
	}
	return false;
}

/* Generic XDP hands packets to any driver. */
static void warn_if_unwilling(const struct daemon *daemon, uint32_t ifindex, const char *name)
{
	int takes = host_takes_redirects(ifindex);
	char driver[32] = "";

	if (takes > 0 || !other_is_native(daemon, ifindex))
		return;
	if (takes < 0)
		takes = datapath_is_native(ifindex);
	if (takes > 0)
		return;
	host_driver(name, driver);
	if (!strcmp(driver, "veth"))
		log_warning(
			"%s takes no packets from native XDP: its peer needs an XDP program, too "
			"(pass.bpf.o will do), or give the interfaces of weir 'attach: "
			"generic'; until then what comes in elsewhere cannot be sent there",
			name);
	else
		log_warning("%s takes no packets from native XDP (driver: %s): what comes in "
			    "elsewhere cannot be sent there; give the interfaces of weir 'attach: "
			    "generic'",
			    name, driver[0] ? driver : "none");
}

static void attach_pass(struct daemon *daemon, uint32_t ifindex, const char *name)
{
	struct error error;
	int err = datapath_attach_pass(daemon->datapath, ifindex, &error);

	if (err == 0)
		log_info("%s: attached a program that passes everything, so that the driver sends "
			 "what weir forwards there",
			 name);
	else if (err == -EBUSY)
		log_info("%s has an XDP program of its own, which stays: weir sends from there as "
			 "long as it is in native mode; else take it off ('ip link set dev %s xdp "
			 "off') and restart weir",
			 name, name);
	else
		log_debug("%s: %s", name, error.text);
}

static void enter(struct daemon *daemon, uint32_t ifindex)
{
	const struct interface *own = interfaces_by_index(daemon, ifindex);
	char name[IF_NAMESIZE];
	int err = -ENOSPC;

	/* One of weir's that is back is entered when weir is attached to it again. */
	if (own && !own->attached && daemon->ready)
		return;
	if (find(daemon, ifindex) || !if_indextoname(ifindex, name))
		return;
	if (!own)
		attach_pass(daemon, ifindex, name);
	if (daemon->egress_count < WEIR_EGRESSES)
		err = datapath_add_egress(daemon->datapath, ifindex);
	if (err < 0) {
		log_warning("cannot send from %s: %s", name, strerror(-err));
		return;
	}
	daemon->egresses[daemon->egress_count++] = (struct egress){ .ifindex = ifindex };
	warn_if_unwilling(daemon, ifindex, name);
}

void egress_use(struct daemon *daemon, uint32_t ifindex)
{
	if (!daemon->egress_open || !ifindex)
		return;
	enter(daemon, ifindex);
	daemon->egress_stale = true;
}

/* What packets are sent by is what stands in the table, also while the kernel has no route. */
static void mark_used(struct daemon *daemon)
{
	struct egress *egress;

	for (size_t i = 0; i < daemon->config->interface_count; i++) {
		egress = find(daemon, daemon->interfaces[i].ifindex);
		if (egress)
			egress->used = true;
	}
	for (uint32_t id = 1; id < daemon->hops.used; id++) {
		const struct weir_hop *hop = &daemon->tables->hops[id];

		if (!(hop->destination.flags & WEIR_HOP_VALID))
			continue;
		enter(daemon, hop->ifindex);
		egress = find(daemon, hop->ifindex);
		if (egress)
			egress->used = true;
	}
}

static void leave(struct daemon *daemon, struct egress *egress)
{
	datapath_remove_egress(daemon->datapath, egress->ifindex);
	datapath_detach_pass(daemon->datapath, egress->ifindex);
	*egress = daemon->egresses[--daemon->egress_count];
}

void egress_follow(struct daemon *daemon)
{
	char name[IF_NAMESIZE];

	if (!daemon->egress_stale)
		return;
	daemon->egress_stale = false;
	for (size_t i = 0; i < daemon->egress_count; i++)
		daemon->egresses[i].used = false;
	mark_used(daemon);
	for (size_t i = daemon->egress_count; i-- > 0;)
		if (!daemon->egresses[i].used || !if_indextoname(daemon->egresses[i].ifindex, name))
			leave(daemon, &daemon->egresses[i]);
}

void egress_vanished(struct daemon *daemon)
{
	daemon->egress_stale = daemon->egress_open;
}

/* What a daemon before has left and nobody needs any more. */
static void remove_leftovers(struct daemon *daemon)
{
	uint32_t left[WEIR_EGRESSES];
	size_t count = datapath_egresses(daemon->datapath, left, WEIR_EGRESSES);

	for (size_t i = 0; i < count; i++)
		if (!find(daemon, left[i]))
			datapath_remove_egress(daemon->datapath, left[i]);
	count = datapath_passing(daemon->datapath, left, WEIR_EGRESSES);
	for (size_t i = 0; i < count; i++)
		if (!find(daemon, left[i]))
			datapath_detach_pass(daemon->datapath, left[i]);
}

void egress_start(struct daemon *daemon)
{
	struct error error;

	daemon->egress_open = daemon->egress_stale = true;
	for (size_t i = 0; i < daemon->config->interface_count; i++)
		enter(daemon, daemon->interfaces[i].ifindex);
	egress_follow(daemon);
	remove_leftovers(daemon);
	if (datapath_watch_failures(daemon->datapath, &error) < 0)
		log_warning("%s", error.text);
}

void egress_attached(const struct daemon *daemon)
{
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < daemon->egress_count; i++)
		if (if_indextoname(daemon->egresses[i].ifindex, name))
			warn_if_unwilling(daemon, daemon->egresses[i].ifindex, name);
}
