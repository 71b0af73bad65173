// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/netlink/host.h"

#include <errno.h>
#include <string.h>

/*
 * bpf_fib_lookup() answers only where forwarding is on. The state file only ever remembers "off": what
 * is on already is not touched.
 */

static void put_back(struct restore *restore, struct restore_forwarding *entry)
{
	struct error error = {};
	int err = host_set_forwarding(entry->interface, entry->original);

	if (err < 0 && err != -ENOENT && err != -ENODEV)
		log_error("cannot set net.ipv4.conf.%s.forwarding back to %d: %s", entry->interface,
			  entry->original, strerror(-err));
	else if (err == 0)
		log_info("net.ipv4.conf.%s.forwarding set back to %d", entry->interface,
			 entry->original);
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
		if (!is_ours(daemon, restore->forwarding[i].interface))
			put_back(restore, &restore->forwarding[i]);
	return 0;
}

int forwarding_set(struct daemon *daemon, const struct interface *interface, struct error *error)
{
	const char *name = interface->config->name;
	int now = host_forwarding(name);
	int err;

	if (now > 0)
		return 0;
	if (now < 0)
		return error_set(error, now, "cannot read net.ipv4.conf.%s.forwarding: %s", name,
				 strerror(-now));
	err = restore_remember(&daemon->restore, name, false, error);
	if (err < 0)
		return err;
	err = host_set_forwarding(name, true);
	if (err < 0)
		return error_set(error, err,
				 "cannot set net.ipv4.conf.%s.forwarding to 1: %s; "
				 "set it by hand, weir needs it",
				 name, strerror(-err));
	log_info("net.ipv4.conf.%s.forwarding set to 1 (was 0, will be set back)", name);
	return 0;
}

void forwarding_event(struct daemon *daemon, uint32_t ifindex, bool on)
{
	const struct interface *interface = interfaces_by_index(daemon, ifindex);
	struct error error = {};

	if (on || !interface || !daemon->ready || daemon->stopping)
		return;
	/* Read again: the event may be about what was, before weir itself has set it. */
	if (host_forwarding(interface->config->name) != 0)
		return;
	log_warning("somebody switched net.ipv4.conf.%s.forwarding off; weir needs it",
		    interface->config->name);
	if (forwarding_set(daemon, interface, &error) < 0)
		log_error("%s", error.text);
}

void forwarding_vanished(struct daemon *daemon, const struct interface *interface)
{
	struct restore_forwarding *entry = restore_find(&daemon->restore, interface->config->name);
	struct error error = {};

	if (entry && restore_forget(&daemon->restore, entry, &error) < 0)
		log_error("%s", error.text);
}

void forwarding_restore(struct daemon *daemon)
{
	while (daemon->restore.count)
		put_back(&daemon->restore, &daemon->restore.forwarding[daemon->restore.count - 1]);
}
