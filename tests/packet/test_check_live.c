// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/datapath/check_path.h"
#include "src/netlink/check_link.h"

#include "tests/packet/harness.h"

/*
 * Sockets of this host talk to a service address at another one, by way of a check address. The host has
 * the service address itself, and strict rp_filter.
 */

enum { PORT = 8000, LONG = 100000 };

static const char *const SERVICE[] = { "10.9.9.9", "fd00:9::9" };
static const char *const SOURCE[] = { "10.8.0.1", "fd00:8::1" };

#define AT_BACKEND "nsenter --net=/proc/%d/ns/net "

/* Two addresses of each family: %d is the process that holds the backend's namespace. */
static const char *const commands[] = {
	"ip link add lb type veth peer name backend",
	"ip link set backend netns %d",
	"ip link set lb address 02:00:00:00:00:01 up",
	"ip address add 10.8.0.1/24 dev lb",
	"ip address add fd00:8::1/64 dev lb nodad",
	"ip address add 10.9.9.9/32 dev lo",
	"ip address add fd00:9::9/128 dev lo",
	"echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter",
	AT_BACKEND "ip link set lo up",
	AT_BACKEND "ip link set backend address 02:00:00:00:00:02 up",
	AT_BACKEND "ip address add 10.8.0.2/24 dev backend",
	AT_BACKEND "ip address add fd00:8::2/64 dev backend nodad",
	AT_BACKEND "ip address add 10.9.9.9/32 dev lo",
	AT_BACKEND "ip address add fd00:9::9/128 dev lo",
	AT_BACKEND "ip neighbour add 10.8.0.1 lladdr 02:00:00:00:00:01 dev backend",
	AT_BACKEND "ip neighbour add fd00:8::1 lladdr 02:00:00:00:00:01 dev backend",
};

static pid_t holder;
static struct check_path *path;
static struct check_link made;

static int hold_namespace(int ready)
{
	if (unshare(CLONE_NEWNET) || write(ready, "", 1) != 1)
		return 1;
	pause();
	return 0;
}

static int begin(void **state)
{
	char command[256], byte;
	struct error error = {};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	holder = fork();
	if (holder == 0)
		_exit(hold_namespace(ends[1]));
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	close(ends[1]);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		snprintf(command, sizeof(command), commands[i], holder);
		if (system(command))
			fail_msg("%s", command);
	}
	assert_int_equal(check_link_make("weir-test", &made, &error), 0);
	assert_true(made.has_v6);
	assert_int_equal(check_path_open(1, &path, &error), 0);
	assert_int_equal(check_path_attach(path, made.ifindex, CHECK_OUT, &error), 0);
	assert_int_equal(check_path_attach(path, if_nametoindex("lb"), CHECK_IN, &error), 0);
	return 0;
}

static int end(void **state)
{
	check_path_close(path);
	assert_int_equal(check_link_remove("weir-test"), 1);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	return 0;
}

static struct weir_address address(const char *text)
{
	struct weir_address parsed;

	assert_int_equal(address_parse(text, &parsed), 0);
	return parsed;
}

static socklen_t socket_address(const struct weir_address *from, struct sockaddr_storage *ret)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(PORT) };

	memset(ret, 0, sizeof(*ret));
	if (address_is_v4(from)) {
		v4.sin_addr.s_addr = address_to_v4(from);
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, from, sizeof(v6.sin6_addr));
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}

/* On the service address, at the backend. */
static int serve(bool v6, int kind)
{
	struct weir_address service = address(SERVICE[v6]);
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY), there = -1;
	struct sockaddr_storage at;
	socklen_t length = socket_address(&service, &at);
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/ns/net", holder);
	there = open(name, O_RDONLY);
	assert_int_equal(setns(there, CLONE_NEWNET), 0);
	fd = socket(v6 ? AF_INET6 : AF_INET, kind, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, length), 0);
	if (kind == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	return fd;
}

static int connect_to_check(bool v6, int kind)
{
	const struct weir_check way = {
		.service = address(SERVICE[v6]),
		.source = address(SOURCE[v6]),
		.destination_mac = { 2, 0, 0, 0, 0, 2 },
		.source_mac = { 2, 0, 0, 0, 0, 1 },
		.ifindex = if_nametoindex("lb"),
	};
	struct weir_address check = check_link_address(&made, 3, &way.service);
	struct sockaddr_storage to;
	socklen_t length = socket_address(&check, &to);
	const struct timeval patience = { .tv_sec = 3 };
	int fd = socket(v6 ? AF_INET6 : AF_INET, kind, kind == SOCK_RAW ? IPPROTO_ICMPV6 : 0);

	assert_int_equal(check_path_set(path, 3, &way), 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (kind == SOCK_RAW)
		((struct sockaddr_in6 *)&to)->sin6_port = 0;
	if (connect(fd, (struct sockaddr *)&to, length) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

/* @from writes more than a segment of bytes that @to must read. */
static void transfer(int from, int to)
{
	static char sent[LONG], got[LONG];
	size_t done = 0;

	for (size_t i = 0; i < LONG; i++)
		sent[i] = (char)(i * 7 + i / 251);
	assert_int_equal(write(from, sent, LONG), LONG);
	while (done < LONG) {
		ssize_t length = read(to, got + done, LONG - done);

		assert_true(length > 0);
		done += (size_t)length;
	}
	assert_memory_equal(got, sent, LONG);
}

static void streams(bool v6)
{
	_cleanup_close_ int listener = serve(v6, SOCK_STREAM);
	_cleanup_close_ int client = connect_to_check(v6, SOCK_STREAM);
	_cleanup_close_ int server = accept(listener, NULL, NULL);

	assert_true(server >= 0);
	transfer(client, server);
	transfer(server, client);
}

static void datagrams(bool v6)
{
	_cleanup_close_ int server = serve(v6, SOCK_DGRAM);
	_cleanup_close_ int client = connect_to_check(v6, SOCK_DGRAM);
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	char text[16] = "";

	assert_int_equal(write(client, "ping", 4), 4);
	assert_int_equal(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&peer, &length),
			 4);
	assert_int_equal(sendto(server, "pong!", 5, 0, (struct sockaddr *)&peer, length), 5);
	assert_int_equal(read(client, text, sizeof(text)), 5);
	assert_memory_equal(text, "pong!", 5);
}

static void tcp4(void **state)
{
	streams(false);
}

static void tcp6(void **state)
{
	streams(true);
}

static void udp4(void **state)
{
	datagrams(false);
}

static void udp6(void **state)
{
	datagrams(true);
}

static void ping6(void **state)
{
	const uint8_t request[] = { 128, 0, 0, 0, 0x12, 0x34, 0, 7, 'e', 'c', 'h', 'o' };
	_cleanup_close_ int client = connect_to_check(true, SOCK_RAW);
	uint8_t reply[64];
	ssize_t length;

	assert_int_equal(write(client, request, sizeof(request)), sizeof(request));
	do
		length = read(client, reply, sizeof(reply));
	while (length > 0 && reply[0] != 129);
	assert_int_equal(length, sizeof(request));
	assert_memory_equal(reply + 4, request + 4, sizeof(request) - 4);
}

/* Nobody listens: the backend's RST arrives as one of the check address. */
static void refused(void **state)
{
	struct sockaddr_storage to;
	struct weir_address check;
	const struct weir_address service = address(SERVICE[1]);
	_cleanup_close_ int client = socket(AF_INET6, SOCK_STREAM, 0);

	close(connect_to_check(true, SOCK_DGRAM));
	check = check_link_address(&made, 3, &service);
	assert_int_equal(connect(client, (struct sockaddr *)&to, socket_address(&check, &to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp4), cmocka_unit_test(tcp6),  cmocka_unit_test(udp4),
		cmocka_unit_test(udp6), cmocka_unit_test(ping6), cmocka_unit_test(refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return network_enter() ? cmocka_run_group_tests(tests, begin, end) : 0;
}
