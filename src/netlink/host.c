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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT_RANGE_PATH "/proc/sys/net/ipv4/ip_local_port_range"

enum { PORTS = 65536, STATE_LISTEN = 10 /* TCP_LISTEN of the kernel's tcp_states.h */ };

/* sysctl files, not sysctl names: only there a '.' in an interface's name means nothing. */
static int forwarding_path(const char *interface, char path[static 128])
{
	size_t length = strlen(interface);

	if (length == 0 || length >= IFNAMSIZ || strchr(interface, '/') ||
	    !strcmp(interface, ".") || !strcmp(interface, ".."))
		return -EINVAL;
	snprintf(path, 128, "/proc/sys/net/ipv4/conf/%s/forwarding", interface);
	return 0;
}

int host_forwarding(const char *interface)
{
	_cleanup_close_ int fd = -1;
	char path[128], value;
	int error = forwarding_path(interface, path);
	ssize_t got;

	if (error < 0)
		return error;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	got = read(fd, &value, 1);
	if (got != 1)
		return got < 0 ? -errno : -EIO;
	return value != '0';
}

int host_set_forwarding(const char *interface, bool on)
{
	_cleanup_close_ int fd = -1;
	char path[128];
	int error = forwarding_path(interface, path);

	if (error < 0)
		return error;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, on ? "1" : "0", 1) == 1 ? 0 : -errno;
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
