// SPDX-License-Identifier: GPL-2.0-only
#include "bench/world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/ipv6.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "src/base/cleanup.h"

#define DEVICE "bench0"
#define FORWARDING "/proc/sys/net/ipv4/conf/" DEVICE "/forwarding"
#define FORWARDING6 "/proc/sys/net/ipv6/conf/" DEVICE "/forwarding"

static struct sockaddr ipv4(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr ret;

	inet_pton(AF_INET, text, &in.sin_addr);
	memcpy(&ret, &in, sizeof(ret));
	return ret;
}

static int open_tap(void)
{
	struct ifreq request = { .ifr_name = DEVICE, .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, TUNSETIFF, &request) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int set_addresses(int socket)
{
	struct ifreq request = { .ifr_name = DEVICE };

	request.ifr_addr = ipv4(WORLD_ADDRESS);
	if (ioctl(socket, SIOCSIFADDR, &request) < 0)
		return -errno;
	request.ifr_netmask = ipv4("255.255.255.0");
	if (ioctl(socket, SIOCSIFNETMASK, &request) < 0)
		return -errno;
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(socket, SIOCSIFFLAGS, &request) < 0)
		return -errno;
	return 0;
}

/* The clients live behind a gateway whose MAC address is known. */
static int set_gateway(int socket)
{
	struct arpreq neighbour = { .arp_pa = ipv4(WORLD_GATEWAY),
				    .arp_flags = ATF_COM | ATF_PERM,
				    .arp_dev = DEVICE };
	struct rtentry route = { .rt_dst = ipv4("10.0.0.0"),
				 .rt_genmask = ipv4("255.0.0.0"),
				 .rt_gateway = ipv4(WORLD_GATEWAY),
				 .rt_flags = RTF_UP | RTF_GATEWAY };

	neighbour.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(neighbour.arp_ha.sa_data, "\x02\0\0\0\0\x02", 6);
	if (ioctl(socket, SIOCSARP, &neighbour) < 0 || ioctl(socket, SIOCADDRT, &route) < 0)
		return -errno;
	return 0;
}

/* The gateway has no neighbour entry: the datapath knows its MAC address from its own table. */
static int set_ipv6(uint32_t ifindex)
{
	struct in6_ifreq address = { .ifr6_prefixlen = 120, .ifr6_ifindex = (int)ifindex };
	struct in6_rtmsg route = { .rtmsg_dst_len = 104,
				   .rtmsg_metric = 1,
				   .rtmsg_flags = RTF_UP | RTF_GATEWAY,
				   .rtmsg_ifindex = (int)ifindex };
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, WORLD_PREFIX6 WORLD_ADDRESS, &address.ifr6_addr);
	inet_pton(AF_INET6, WORLD_PREFIX6 "10.0.0.0", &route.rtmsg_dst);
	inet_pton(AF_INET6, WORLD_GATEWAY6, &route.rtmsg_gateway);
	if (fd < 0 || ioctl(fd, SIOCSIFADDR, &address) < 0 || ioctl(fd, SIOCADDRT, &route) < 0)
		return -errno;
	return 0;
}

static int set_forwarding(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		return -errno;
	return 0;
}

int world_open(struct world *ret, struct error *error)
{
	_cleanup_close_ int socket_ = -1;
	struct world world;
	int r = 0;

	if (unshare(CLONE_NEWNET) < 0)
		return error_set(error, -errno, "cannot make a network namespace: %s; run as root",
				 strerror(errno));
	world.tap = open_tap();
	if (world.tap < 0)
		return error_set(error, world.tap, "cannot make a tap device: %s",
				 strerror(-world.tap));
	socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_ < 0)
		r = -errno;
	if (!r)
		r = set_addresses(socket_);
	if (!r)
		r = set_gateway(socket_);
	if (!r)
		r = set_forwarding(FORWARDING);
	world.ifindex = if_nametoindex(DEVICE);
	if (!r && world.ifindex)
		r = set_ipv6(world.ifindex);
	if (!r)
		r = set_forwarding(FORWARDING6);
	if (r || !world.ifindex) {
		world_close(&world);
		return error_set(error, r ? r : -ENODEV, "cannot set up " DEVICE ": %s",
				 strerror(-r));
	}
	*ret = world;
	return 0;
}

void world_close(struct world *world)
{
	if (world->tap >= 0)
		close(world->tap);
	world->tap = -1;
}
