// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/path_mtu.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* linux/in6.h has it, which does not go together with netinet/in.h. */
enum { IP6_HEADER = 40 };

enum {
	REST_MS = 60000,
	PAUSE_MS = 100,
	HOPS_AT_ONCE = 64, /* between two pauses, so that many backends make no burst */
	SILENCES_MOST = 3,
	ANSWERS_AT_ONCE = 64,
	DISCARD_PORT = 9,
	LONGEST = 65535,
	/* Who says less is not believed: RFC 8200 5, and the kernel's own net.ipv4.route.min_pmtu. */
	LEAST4 = 552,
	LEAST6 = 1280,
};

static const uint8_t nothing[LONGEST];

/* The error queue's control data: what went wrong, behind it who said so. */
struct answer {
	uint32_t mtu;
	struct weir_address target;
};

static bool read_answer(struct msghdr *message, struct answer *ret)
{
	struct sock_extended_err failure;
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		bool v4 = control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR;
		bool v6 = control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR;

		if (!v4 && !v6)
			continue;
		memcpy(&failure, CMSG_DATA(control), sizeof(failure));
		if (failure.ee_errno != EMSGSIZE || failure.ee_origin == SO_EE_ORIGIN_LOCAL ||
		    failure.ee_info < (v4 ? LEAST4 : LEAST6))
			return false;
		ret->mtu = failure.ee_info;
		return address_from_socket(message->msg_name, &ret->target);
	}
	return false;
}

static void learn(struct daemon *daemon, struct hop *hop, uint32_t mtu)
{
	char address[ENDPOINT_STRING_SIZE];

	hop->path.silent = 0;
	if (hop->path.mtu == mtu)
		return;
	hop->path.mtu = mtu;
	network_write_hop(daemon, hop);
	log_info("backend address %s: a router on the way takes packets of %u bytes at most",
		 address_format(&hop->address, address), mtu);
}

static void forget(struct daemon *daemon, struct hop *hop)
{
	char address[ENDPOINT_STRING_SIZE];

	hop->path.mtu = 0;
	network_write_hop(daemon, hop);
	log_info("backend address %s: no router on the way complains of %u bytes any more",
		 address_format(&hop->address, address), hop->state.mtu);
}

/* False: there is no more. An ICMP message that answers no datagram of ours is not in this queue. */
static bool take_answer(struct daemon *daemon, int fd)
{
	_Alignas(struct cmsghdr) char control[512];
	struct sockaddr_storage name = {};
	struct answer answer;
	struct msghdr message = {
		.msg_name = &name,
		.msg_namelen = sizeof(name),
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	uint16_t id;

	if (recvmsg(fd, &message, MSG_ERRQUEUE) < 0)
		return false;
	if (!read_answer(&message, &answer))
		return true;
	id = hops_find(&daemon->hops, &answer.target, 0);
	if (id && answer.mtu < daemon->hops.entries[id].state.mtu)
		learn(daemon, &daemon->hops.entries[id], answer.mtu);
	return true;
}

/* Datagrams are not expected, and must not fill the buffer that answers need. */
static void on_answers(uv_poll_t *poll, int status, int events)
{
	int fd = -1;

	uv_fileno((uv_handle_t *)poll, &fd);
	for (int i = 0; i < ANSWERS_AT_ONCE; i++)
		if (!take_answer(poll->data, fd) && recv(fd, NULL, 0, 0) < 0)
			return;
}

static int open_socket(bool v4)
{
	const int on = 1, probe = IP_PMTUDISC_PROBE; /* the same number as IPv6's */
	int level = v4 ? IPPROTO_IP : IPPROTO_IPV6, ready;
	_cleanup_close_ int fd = socket(v4 ? AF_INET : AF_INET6,
					SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* libuv takes a full error queue for an end unless it is told as urgent. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, &on, sizeof(on)) ||
	    setsockopt(fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &probe,
		       sizeof(probe)) ||
	    setsockopt(fd, level, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on)))
		return -errno;
	ready = fd;
	fd = -1;
	return ready;
}

static struct path_mtu_socket *socket_for(struct daemon *daemon, const struct weir_address *target)
{
	bool v4 = address_is_v4(target);
	struct path_mtu_socket *socket = &daemon->path_mtu.sockets[v4 ? WEIR_IPV4 : WEIR_IPV6];
	int fd, r;

	if (socket->open || socket->failed)
		return socket->open ? socket : NULL;
	fd = open_socket(v4);
	r = fd < 0 ? fd : uv_poll_init(&daemon->loop, &socket->poll, fd);
	if (r < 0) {
		log_warning("cannot ask how long packets may be on the way to %s backends: %s",
			    v4 ? "IPv4" : "IPv6", strerror(-r));
		if (fd >= 0)
			close(fd);
		socket->failed = true;
		return NULL;
	}
	socket->poll.data = daemon;
	uv_poll_start(&socket->poll, UV_READABLE | UV_PRIORITIZED, on_answers);
	socket->open = true;
	return socket;
}

static bool to_be_asked(const struct daemon *daemon, const struct hop *hop)
{
	return hop->first_backend && hop->known && hop->state.reachable && !hop->state.local &&
	       !hop->path.asked && network_serves(daemon, hop, WEIR_MODE_IPIP);
}

static void send_longest(const struct path_mtu_socket *socket, const struct weir_address *target,
			 uint32_t mtu)
{
	uint32_t headers = sizeof(struct udphdr) +
			   (address_is_v4(target) ? sizeof(struct iphdr) : IP6_HEADER);
	const struct endpoint to = { .address = *target, .port = DISCARD_PORT };
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_socket(&to, &address);
	int fd = -1;

	uv_fileno((const uv_handle_t *)&socket->poll, &fd);
	if (mtu <= headers)
		return;
	/* The first time may tell what became of another one. If it is lost, the next minute comes. */
	for (int i = 0; i < 2; i++)
		if (sendto(fd, nothing, mtu - headers, 0, (struct sockaddr *)&address, length) >= 0)
			return;
}

static void ask(struct daemon *daemon, struct hop *hop)
{
	const struct path_mtu_socket *socket = socket_for(daemon, &hop->address);

	hop->path.asked = true;
	if (!socket)
		return;
	if (hop->path.mtu && ++hop->path.silent > SILENCES_MOST)
		forget(daemon, hop);
	send_longest(socket, &hop->address, hop->state.mtu < LONGEST ? hop->state.mtu : LONGEST);
}

static void on_timer(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	uint64_t now = uv_now(&daemon->loop);
	bool begins = now >= daemon->path_mtu.next_ms;
	int asked = 0;

	if (begins)
		daemon->path_mtu.next_ms = now + REST_MS;
	for (uint32_t id = 1; id < daemon->hops.used; id++) {
		struct hop *hop = &daemon->hops.entries[id];

		if (begins)
			hop->path.asked = false;
		if (asked < HOPS_AT_ONCE && to_be_asked(daemon, hop)) {
			ask(daemon, hop);
			asked++;
		}
	}
	uv_timer_start(timer, on_timer,
		       asked < HOPS_AT_ONCE ? daemon->path_mtu.next_ms - now : PAUSE_MS, 0);
}

void path_mtu_init(struct daemon *daemon)
{
	uv_timer_init(&daemon->loop, &daemon->path_mtu.timer);
	daemon->path_mtu.timer.data = daemon;
	/* A backend that is known already may come to be one of a service of mode ipip. */
	uv_timer_start(&daemon->path_mtu.timer, on_timer, REST_MS, 0);
}

void path_mtu_ask(struct daemon *daemon, struct hop *hop)
{
	hop->path.asked = false;
	if (to_be_asked(daemon, hop))
		uv_timer_start(&daemon->path_mtu.timer, on_timer, 0, 0);
}

void path_mtu_close(struct daemon *daemon)
{
	for (size_t i = 0; i < WEIR_FAMILIES; i++) {
		struct path_mtu_socket *socket = &daemon->path_mtu.sockets[i];
		int fd = -1;

		if (!socket->open)
			continue;
		uv_fileno((uv_handle_t *)&socket->poll, &fd);
		uv_poll_stop(&socket->poll);
		close(fd);
		socket->open = false;
	}
}
