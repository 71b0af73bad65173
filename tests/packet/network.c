// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/packet/harness.h"

/* Interfaces and routes as in the lab; peers are there only to give the interfaces a carrier. */
static const char *const commands[] = {
	"ip link set lo up",
	"ip link add weir0 type veth peer name peer0",
	"ip link add weir1 type veth peer name peer1",
	"ip link set weir0 up",
	"ip link set peer0 up",
	"ip link set weir1 up",
	"ip link set peer1 up",
	"ip address add 192.168.178.10/24 dev weir0",
	"ip address add 10.1.0.1/24 dev weir1",
	"ip route add 10.0.0.0/16 via 192.168.178.2",
	"ip route add 10.2.0.0/16 via 10.1.0.2",
	"echo 1 > /proc/sys/net/ipv4/conf/weir0/forwarding",
	"echo 1 > /proc/sys/net/ipv4/conf/weir1/forwarding",
	/* The same for IPv6, as mapped() writes the addresses. */
	"ip address add 2001:db8:1:2:fffe:304:c0a8:b20a/120 dev weir0 nodad",
	"ip address add 2001:db8:1:2:fffe:304:a01:1/120 dev weir1 nodad",
	"ip route add 2001:db8:1:2:fffe:304:a00:0/112 via 2001:db8:1:2:fffe:304:c0a8:b202",
	"ip route add 2001:db8:1:2:fffe:304:a02:0/112 via 2001:db8:1:2:fffe:304:a01:2",
	"echo 1 > /proc/sys/net/ipv6/conf/weir0/forwarding",
	"echo 1 > /proc/sys/net/ipv6/conf/weir1/forwarding",
};

static void die(const char *what)
{
	printf("Bail out! %s\n", what);
	exit(1);
}

/* Token buckets are per CPU: all frames of a test must meet the same ones. */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot stay on one CPU");
}

bool network_enter(void)
{
	if (geteuid()) {
		printf("1..0 # SKIP packet tests need root\n");
		return false;
	}
	stay_on_this_cpu();
	if (unshare(CLONE_NEWNET))
		die("cannot make a network namespace");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (system(commands[i]))
			die(commands[i]);
	return true;
}
