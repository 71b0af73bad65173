// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/netlink/host.h"
#include "src/netlink/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_RANGE_PATH "/proc/sys/net/ipv4/ip_local_port_range"

enum { PORTS = 65536, STATE_LISTEN = 10 /* TCP_LISTEN of the kernel's tcp_states.h */ };

static const struct {
	const char *protocol;
	const char *name;
} switches[HOST_SWITCHES] = {
	[HOST_FORWARDING4] = { "ipv4", "forwarding" },
	[HOST_FORWARDING6] = { "ipv6", "forwarding" },
	[HOST_ACCEPT_RA] = { "ipv6", "accept_ra" },
};

/* Files, not sysctl names: only there a '.' in an interface's name means nothing. */
static int open_switch(enum host_switch which, const char *interface, int flags)
{
	size_t length = strlen(interface);
	char path[128];
	int fd;

	if (length == 0 || length >= IFNAMSIZ || strchr(interface, '/') ||
	    !strcmp(interface, ".") || !strcmp(interface, ".."))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", switches[which].protocol,
		 interface, switches[which].name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int host_switch(enum host_switch which, const char *interface)
{
	_cleanup_close_ int fd = open_switch(which, interface, O_RDONLY);
	char text[16] = "";
	ssize_t got;
	int value;

	if (fd < 0)
		return fd;
	got = read(fd, text, sizeof(text) - 1);
	if (got <= 0)
		return got < 0 ? -errno : -EIO;
	value = (int)strtol(text, NULL, 10);
	/* To the kernel any number but 0 and 2 means on. */
	return value < 0 ? 1 : value;
}

static int write_switch(enum host_switch which, const char *interface, int value)
{
	_cleanup_close_ int fd = open_switch(which, interface, O_WRONLY);

	if (fd < 0)
		return fd;
	return dprintf(fd, "%d", value) > 0 ? 0 : -errno;
}

static void cleanup_names(struct if_nameindex **all)
{
	if (*all)
		if_freenameindex(*all);
}

/*
 * Where the first interface begins to forward, the kernel drops the default routes that routers have
 * announced on every interface where accept_ra is not 2; they would come back minutes later.
 */
static int forward6(const char *interface)
{
	_cleanup_(cleanup_names) struct if_nameindex *all = if_nameindex();
	struct if_nameindex *last = all;
	int result;

	/* Those that were changed are moved to the front. */
	for (struct if_nameindex *one = all; one && one->if_index; one++) {
		struct if_nameindex swap = *last;

		if (!strcmp(one->if_name, interface) ||
		    host_switch(HOST_ACCEPT_RA, one->if_name) != 1 ||
		    write_switch(HOST_ACCEPT_RA, one->if_name, 2) < 0)
			continue;
		*last++ = *one;
		*one = swap;
	}
	result = write_switch(HOST_FORWARDING6, interface, 1);
	while (last != all)
		write_switch(HOST_ACCEPT_RA, (--last)->if_name, 1);
	return result;
}

int host_set_switch(enum host_switch which, const char *interface, int value)
{
	if (which == HOST_FORWARDING6 && value)
		return forward6(interface);
	return write_switch(which, interface, value);
}

char *host_switch_format(enum host_switch which, const char *interface,
			 char buffer[static HOST_SWITCH_STRING_SIZE])
{
	int start = snprintf(buffer, HOST_SWITCH_STRING_SIZE, "net.%s.conf.",
			     switches[which].protocol);
	int end = start +
		  snprintf(buffer + start, HOST_SWITCH_STRING_SIZE - start, "%.15s", interface);

	for (char *place = buffer + start; place < buffer + end; place++)
		if (*place == '.')
			*place = '/';
	snprintf(buffer + end, HOST_SWITCH_STRING_SIZE - end, ".%s", switches[which].name);
	return buffer;
}

static void mark_port(uint64_t *bits, unsigned int port)
{
	bits[port / 64] |= UINT64_C(1) << port % 64;
}

static int mark_ephemeral(uint64_t *bits, struct error *error)
{
	_cleanup_fclose_ FILE *file = fopen(PORT_RANGE_PATH, "re");
	unsigned int first, last;

	if (!file)
		return error_set(error, -errno, "cannot open " PORT_RANGE_PATH ": %s",
				 strerror(errno));
	if (fscanf(file, "%u %u", &first, &last) != 2 || last >= PORTS)
		return error_set(error, -EIO, "cannot read two ports from " PORT_RANGE_PATH);
	for (unsigned int port = first; port <= last; port++)
		mark_port(bits, port);
	return 0;
}

static int take_socket(const struct nlmsghdr *message, void *data)
{
	const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);

	if (message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
	    mnl_nlmsg_get_payload_len(message) >= sizeof(*socket))
		mark_port(data, ntohs(socket->id.idiag_sport));
	return 0;
}

static int mark_sockets(struct rtnl *diag, uint8_t family, uint8_t protocol, uint64_t *bits)
{
	_Alignas(struct nlmsghdr) char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct inet_diag_req_v2 *header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	int error;

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_DUMP;
	header->sdiag_family = family;
	header->sdiag_protocol = protocol;
	header->idiag_states = protocol == IPPROTO_TCP ? 1 << STATE_LISTEN : ~0U;
	error = rtnl_request(diag, request, take_socket, bits);
	/* Sockets that come and go meanwhile do not spoil the others. */
	return error == -EINTR ? 0 : error;
}

int host_used_ports(uint64_t bits[static 1024], struct error *error)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct rtnl diag = { 0 };
	int result;

	memset(bits, 0, PORTS / 8);
	result = mark_ephemeral(bits, error);
	if (result < 0)
		return result;
	result = rtnl_open(&diag, NETLINK_SOCK_DIAG, 0);
	for (int i = 0; i < 4 && result == 0; i++)
		result = mark_sockets(&diag, families[i / 2], protocols[i % 2], bits);
	rtnl_close(&diag);
	if (result < 0)
		return error_set(error, result,
				 "cannot list the host's sockets by sock_diag: %s (modprobe "
				 "tcp_diag udp_diag, or a kernel with CONFIG_INET_DIAG)",
				 strerror(-result));
	return 0;
}

int host_driver(const char *interface, char name[static 32])
{
	struct ethtool_drvinfo information = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&information };
	_cleanup_close_ int fd = -1;

	if (strlen(interface) >= sizeof(request.ifr_name))
		return -EINVAL;
	strcpy(request.ifr_name, interface);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0) {
		if (errno != EOPNOTSUPP)
			return -errno;
		information.driver[0] = 0;
	}
	snprintf(name, 32, "%.31s", information.driver);
	return 0;
}
