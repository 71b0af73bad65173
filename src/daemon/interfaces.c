// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/netlink/host.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* "eth0, lo" */
static void list_interfaces(char *text, size_t size)
{
	struct if_nameindex *all = if_nameindex();
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; all && all[i].if_index && length < size; i++)
		length += snprintf(text + length, size - length, "%s%s", i ? ", " : "",
				   all[i].if_name);
	if (all)
		if_freenameindex(all);
}

int interfaces_find(struct daemon *daemon, struct error *error)
{
	size_t count = daemon->config->interface_count;
	char all[256];

	daemon->interfaces = calloc(count + 1, sizeof(*daemon->interfaces));
	if (!daemon->interfaces)
		return error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct interface *interface = &daemon->interfaces[i];

		interface->config = &daemon->config->interfaces[i];
		interface->ifindex = if_nametoindex(interface->config->name);
		if (!interface->ifindex) {
			list_interfaces(all, sizeof(all));
			return error_set(error, -ENODEV,
					 "interface '%s' does not exist; interfaces here: %s",
					 interface->config->name, all);
		}
		if (host_driver(interface->config->name, interface->driver) < 0)
			interface->driver[0] = '\0';
	}
	return 0;
}

struct interface *interfaces_by_index(const struct daemon *daemon, uint32_t ifindex)
{
	for (size_t i = 0; ifindex && i < daemon->config->interface_count; i++)
		if (daemon->interfaces[i].ifindex == ifindex)
			return &daemon->interfaces[i];
	return NULL;
}

/* MAC address, MTU and state as the kernel says now. */
static int publish_on_link(struct daemon *daemon, struct interface *interface)
{
	struct weir_gateway_key key = { .ifindex = interface->ifindex };
	struct ifreq request = {};
	uint8_t mac[6];
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, interface->config->name, sizeof(interface->config->name));
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(mac, request.ifr_hwaddr.sa_data, sizeof(mac));
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return -errno;
	interface->up = request.ifr_flags & IFF_UP;
	if (ioctl(fd, SIOCGIFMTU, &request) < 0)
		return -errno;
	hop_write_on_link(&daemon->tables->hops[interface->hop], mac, interface->ifindex,
			  request.ifr_mtu);
	return datapath_set_gateway(daemon->datapath, &key, interface->hop);
}

int interfaces_publish(struct daemon *daemon, struct error *error)
{
	for (size_t i = 0; i < daemon->config->interface_count; i++) {
		struct interface *interface = &daemon->interfaces[i];
		struct weir_address none = {};
		int err;

		interface->hop = hops_add(&daemon->hops, &none, interface->ifindex);
		if (!interface->hop)
			return error_set(error, -E2BIG, "too many next hops");
		err = publish_on_link(daemon, interface);
		if (err < 0)
			return error_set(error, err, "interface %s: %s", interface->config->name,
					 strerror(-err));
	}
	return 0;
}

void interfaces_source_mac(struct daemon *daemon, uint32_t ifindex, const uint8_t mac[6])
{
	struct interface *interface = interfaces_by_index(daemon, ifindex);

	if (interface && memcmp(daemon->tables->hops[interface->hop].source.mac, mac, 6) != 0)
		publish_on_link(daemon, interface);
}

/* Errors that another mode of attachment cannot mend. */
static bool is_final(int err)
{
	return err == -EBUSY || err == -EEXIST || err == -EPERM || err == -ENODEV || err == -ENOMEM;
}

/* A link that is there already stays as it is: nothing is gained by a gap in the traffic. */
static bool first_mode(const struct daemon *daemon, const struct interface *interface)
{
	int native = datapath_attached_native(daemon->datapath, interface->ifindex);

	if (interface->config->attach == ATTACH_AUTO && native >= 0)
		return native;
	return interface->config->attach != ATTACH_GENERIC;
}

static int attach(struct daemon *daemon, struct interface *interface, struct error *error)
{
	const char *name = interface->config->name;
	bool native = first_mode(daemon, interface);
	int err = datapath_attach(daemon->datapath, interface->ifindex, native, error);

	if (err < 0 && interface->config->attach == ATTACH_AUTO && !is_final(err)) {
		log_warning("%s: no native XDP (%s): attaching in generic mode, which is slower",
			    name, error->text);
		native = false;
		err = datapath_attach(daemon->datapath, interface->ifindex, native, error);
	}
	if (err == -EBUSY || err == -EEXIST)
		return error_set(error, err,
				 "another XDP program sits on %s (see: bpftool net "
				 "show); remove it (ip link set dev %s xdp off) or choose another "
				 "interface",
				 name, name);
	if (err == -EOPNOTSUPP && interface->config->attach == ATTACH_NATIVE)
		return error_set(error, err,
				 "%s: its driver (%s) has no native XDP; use --attach "
				 "generic or auto",
				 name, interface->driver[0] ? interface->driver : "unknown");
	if (err < 0)
		return err;
	interface->attached = true;
	daemon->summary_stale = true;
	interface->native = native;
	egress_use(daemon, interface->ifindex);
	log_info("attached to %s in %s mode", name, native ? "native" : "generic");
	if (!interface->up)
		log_warning("%s is down: nothing is forwarded until it is up", name);
	return 0;
}

/* Interfaces that an earlier daemon was told of, and this one is not. */
static void detach_others(struct daemon *daemon)
{
	uint32_t attached[64];
	size_t count = datapath_attached(daemon->datapath, attached, 64);

	for (size_t i = 0; i < count; i++)
		if (!interfaces_by_index(daemon, attached[i]))
			datapath_detach_from(daemon->datapath, attached[i]);
}

int interfaces_attach(struct daemon *daemon, struct error *error)
{
	egress_start(daemon);
	for (size_t i = 0; i < daemon->config->interface_count; i++) {
		int err = attach(daemon, &daemon->interfaces[i], error);

		if (err < 0)
			return err;
	}
	egress_attached(daemon);
	detach_others(daemon);
	return 0;
}

void interfaces_detach(struct daemon *daemon)
{
	char names[256] = "";
	size_t length = 0;

	for (size_t i = 0; daemon->interfaces && i < daemon->config->interface_count; i++) {
		struct interface *interface = &daemon->interfaces[i];

		if (interface->attached && length < sizeof(names))
			length += snprintf(names + length, sizeof(names) - length, "%s%s",
					   length ? ", " : "", interface->config->name);
		interface->attached = false;
	}
	if (!daemon->datapath)
		return;
	datapath_detach(daemon->datapath);
	if (length)
		log_info("detached from %s", names);
}

static void vanish(struct daemon *daemon, struct interface *interface)
{
	struct weir_gateway_key key = { .ifindex = interface->ifindex };

	if (!interface->ifindex)
		return;
	log_warning("interface %s vanished: nothing is forwarded there until it is back",
		    interface->config->name);
	datapath_set_gateway(daemon->datapath, &key, 0);
	datapath_detach_from(daemon->datapath, interface->ifindex);
	forwarding_vanished(daemon, interface);
	interface->ifindex = 0;
	interface->attached = false;
	daemon->summary_stale = true;
	interface->up = false;
	egress_vanished(daemon);
}

void interfaces_link_event(struct daemon *daemon, const char *name, uint32_t ifindex, bool up)
{
	struct interface *interface = NULL;

	for (size_t i = 0; i < daemon->config->interface_count; i++)
		if (!strcmp(daemon->interfaces[i].config->name, name))
			interface = &daemon->interfaces[i];
	if (!interface)
		return;
	if (ifindex != interface->ifindex)
		vanish(daemon, interface);
	if (ifindex != interface->ifindex || !ifindex)
		return;
	if (up != interface->up)
		log_write(up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "%s is %s", name,
			  up ? "up again" : "down");
	publish_on_link(daemon, interface);
	interface->up = up;
}

/* An interface came back under its name: everything that belongs to the device is done again. */
static int come_back(struct daemon *daemon, struct interface *interface, struct error *error)
{
	int err;

	log_info("interface %s is back", interface->config->name);
	if (host_driver(interface->config->name, interface->driver) < 0)
		interface->driver[0] = '\0';
	err = publish_on_link(daemon, interface);
	if (err == 0)
		err = resolver_watch(daemon->resolver, interface->ifindex);
	if (err < 0)
		return error_set(error, err, "%s", strerror(-err));
	err = forwarding_set(daemon, interface, error);
	return err < 0 ? err : attach(daemon, interface, error);
}

void interfaces_settle(struct daemon *daemon)
{
	struct error error = {};

	for (size_t i = 0; i < daemon->config->interface_count; i++) {
		struct interface *interface = &daemon->interfaces[i];

		/* A new link of any name makes the socket readable: this is the moment to look. */
		if (interface->ifindex)
			continue;
		interface->ifindex = if_nametoindex(interface->config->name);
		if (interface->ifindex && come_back(daemon, interface, &error) < 0)
			log_error("interface %s: not attached: %s", interface->config->name,
				  error.text);
	}
}
