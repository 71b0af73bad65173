// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/netlink/host.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/*
 * bpf_fib_lookup() answers only where forwarding is on. The state file only remembers what was changed:
 * what is on already is not touched.
 */

static void put_back(struct restore *restore, struct restore_entry *entry)
{
	struct error error = {};
	char line[RESTORE_LINE_SIZE];
	int err = restore_put_back(entry, line, &error);

	if (err < 0)
		log_error("%s", error.text);
	else if (err > 0)
		log_info("%s", line);
	if (restore_forget(restore, entry, &error) < 0)
		log_error("%s", error.text);
}

static bool is_ours(const struct daemon *daemon, const char *name)
{
	for (size_t i = 0; i < daemon->config->interface_count; i++)
		if (!strcmp(daemon->config->interfaces[i].name, name))
			return true;
	return false;
}

int forwarding_adopt(struct daemon *daemon, bool *killed, struct error *error)
{
	struct restore *restore = &daemon->restore;
	int err = restore_load(restore, daemon->options->state_path, error);

	if (err < 0)
		log_warning("%s", error->text);
	*killed = err > 0;
	err = restore_begin(restore, error);
	if (err < 0 || !*killed)
		return err;
	if (!daemon->adopted)
		log_info("an earlier weir was killed: its changes to this host will be put back");
	for (size_t i = restore->count; i-- > 0;)
		if (!is_ours(daemon, restore->entries[i].interface))
			put_back(restore, &restore->entries[i]);
	return 0;
}

/* IPv4 in any case: the first service may come by a reload. */
static bool wants(const struct config *config, uint8_t family)
{
	for (size_t i = 0; family == AF_INET6 && i < config->service_count; i++)
		for (size_t j = 0; j < config->services[i].listen_count; j++)
			if (!address_is_v4(&config->services[i].listens[j].endpoint.address))
				return true;
	return family == AF_INET;
}

/* From @from to @to, remembered; any other value is left as it is. */
static int change(struct daemon *daemon, enum host_switch which, const char *interface, int from,
		  int to, struct error *error)
{
	char name[HOST_SWITCH_STRING_SIZE];
	int now = host_switch(which, interface);
	int err;

	host_switch_format(which, interface, name);
	if (now < 0)
		return error_set(error, now, "cannot read %s: %s%s", name, strerror(-now),
				 which == HOST_FORWARDING4 || now != -ENOENT ?
					 "" :
					 " (an interface without IPv6: its MTU is below 1280, or "
					 "the kernel was started with ipv6.disable=1)");
	if (now != from)
		return 0;
	err = restore_remember(&daemon->restore, which, interface, now, error);
	if (err < 0)
		return err;
	err = host_set_switch(which, interface, to);
	if (err < 0)
		return error_set(error, err,
				 "cannot set %s to %d: %s; set it by hand, weir needs it", name, to,
				 strerror(-err));
	log_info("%s set to %d (was %d, will be set back)", name, to, now);
	return 0;
}

/* Where an interface forwards IPv6, only accept_ra 2 keeps the routes that routers announce there. */
static int set6(struct daemon *daemon, const char *interface, struct error *error)
{
	int err = 0;

	if (host_switch(HOST_FORWARDING6, interface) == 0)
		err = change(daemon, HOST_ACCEPT_RA, interface, 1, 2, error);
	return err < 0 ? err : change(daemon, HOST_FORWARDING6, interface, 0, 1, error);
}

int forwarding_set(struct daemon *daemon, const struct interface *interface, struct error *error)
{
	const char *name = interface->config->name;
	int err = change(daemon, HOST_FORWARDING4, name, 0, 1, error);

	if (err == 0 && wants(daemon->config, AF_INET6))
		err = set6(daemon, name, error);
	return err;
}

int forwarding_follow(struct daemon *daemon, struct error *error)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < daemon->config->interface_count; i++)
		if (daemon->interfaces[i].ifindex)
			err = forwarding_set(daemon, &daemon->interfaces[i], error);
	return err;
}

void forwarding_event(struct daemon *daemon, uint32_t ifindex, uint8_t family, bool on)
{
	const struct interface *interface = interfaces_by_index(daemon, ifindex);
	enum host_switch which = family == AF_INET ? HOST_FORWARDING4 : HOST_FORWARDING6;
	char name[HOST_SWITCH_STRING_SIZE];
	struct error error = {};

	if (on || !interface || !daemon->ready || daemon->stopping ||
	    !wants(daemon->config, family))
		return;
	/* Read again: the event may be about what was, before weir itself has set it. */
	if (host_switch(which, interface->config->name) != 0)
		return;
	log_warning("somebody switched %s off; weir needs it",
		    host_switch_format(which, interface->config->name, name));
	if (forwarding_set(daemon, interface, &error) < 0)
		log_error("%s", error.text);
}

void forwarding_vanished(struct daemon *daemon, const struct interface *interface)
{
	struct restore *restore = &daemon->restore;
	struct error error = {};

	for (size_t i = restore->count; i-- > 0;)
		if (!strcmp(restore->entries[i].interface, interface->config->name) &&
		    restore_forget(restore, &restore->entries[i], &error) < 0)
			log_error("%s", error.text);
}

void forwarding_restore(struct daemon *daemon)
{
	while (daemon->restore.count)
		put_back(&daemon->restore, &daemon->restore.entries[daemon->restore.count - 1]);
}
