// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/health/internal.h"

#include <errno.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SLOTS = 512,         /* a power of two above HEALTH_RUNNING_MOST */
	DATAGRAMS_MOST = 64, /* read in one go, so that a flood of replies leaves the loop alone */
};

_Static_assert(SLOTS > (int)HEALTH_RUNNING_MOST, "every running check needs a slot");

/* The token tells a reply from one to an earlier echo, or to somebody else's. */
struct echo {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint16_t id;
	uint16_t sequence;
	uint64_t token;
};

struct icmp_run {
	struct prober *prober;
	uint16_t sequence;
	uint64_t token;
};

/* One socket for all checks of an address family. */
struct icmp {
	uv_poll_t poll;
	struct health *health;
	int fd;
	bool v4;
	bool raw; /* the kernel neither chooses the id nor compares it */
	uint16_t id;
	uint16_t sequence; /* the last one used; its low bits are the slot */
	struct icmp_run slots[SLOTS];
};

static uint16_t checksum(const struct echo *echo)
{
	uint16_t words[sizeof(*echo) / 2];
	uint32_t sum = 0;

	memcpy(words, echo, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static bool sent_by_target(const struct prober *prober, const struct sockaddr_storage *sender)
{
	struct place place = target_place(&prober->target, prober->place_number);
	struct weir_address address;

	return address_from_socket((const struct sockaddr *)sender, &address) &&
	       address_equal(&address, &place.endpoint.address);
}

static void take_datagram(struct icmp *icmp, const uint8_t *data, size_t length,
			  const struct sockaddr_storage *sender)
{
	size_t skipped = icmp->raw && icmp->v4 && length ? (data[0] & 15) * 4 : 0;
	struct icmp_run *run;
	struct prober *prober;
	struct echo echo;

	if (length < skipped + sizeof(echo))
		return;
	memcpy(&echo, data + skipped, sizeof(echo));
	if (echo.type != (icmp->v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) || echo.code != 0 ||
	    (icmp->raw && echo.id != icmp->id))
		return;
	run = &icmp->slots[ntohs(echo.sequence) & (SLOTS - 1)];
	prober = run->prober;
	if (!prober || run->sequence != ntohs(echo.sequence) || run->token != echo.token ||
	    !sent_by_target(prober, sender))
		return;
	run->prober = NULL;
	prober_finish(prober, NULL);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct icmp *icmp = poll->data;

	/* Who is told a result may free all checks: then the socket is closed. */
	for (int i = 0; i < DATAGRAMS_MOST && icmp->fd >= 0; i++) {
		struct sockaddr_storage sender = { .ss_family = AF_UNSPEC };
		socklen_t size = sizeof(sender);
		uint8_t data[256];
		ssize_t length = recvfrom(icmp->fd, data, sizeof(data), 0,
					  (struct sockaddr *)&sender, &size);

		if (length < 0)
			return;
		take_datagram(icmp, data, (size_t)length, &sender);
	}
}

/* A raw socket gets every ICMP message of the host; only echo replies are of interest. */
static void set_filter(int fd, bool v4)
{
	const struct icmp_filter replies = { ~(1U << ICMP_ECHOREPLY) };
	struct icmp6_filter replies6;

	ICMP6_FILTER_SETBLOCKALL(&replies6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &replies6);
	if (v4)
		setsockopt(fd, SOL_RAW, ICMP_FILTER, &replies, sizeof(replies));
	else
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &replies6, sizeof(replies6));
}

static int open_socket(bool v4, bool *ret_raw, struct error *error)
{
	int family = v4 ? AF_INET : AF_INET6, protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	*ret_raw = fd < 0;
	if (fd >= 0)
		return fd;
	fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return error_set(
			error, -errno,
			"cannot open a socket for icmp checks: %s; give weir CAP_NET_RAW, or "
			"its group a place in the sysctl net.ipv4.ping_group_range",
			strerror(errno));
	set_filter(fd, v4);
	return fd;
}

static int prepare(struct health *health, bool v4, struct error *error)
{
	bool raw;
	struct icmp **place = v4 ? &health->icmp : &health->icmp6;
	_cleanup_free_ struct icmp *icmp = NULL;
	_cleanup_close_ int fd = -1;
	int code;

	if (*place)
		return 0;
	fd = open_socket(v4, &raw, error);
	if (fd < 0)
		return fd;
	icmp = calloc(1, sizeof(*icmp));
	if (!icmp)
		return error_set(error, -ENOMEM, "no memory for icmp checks");
	code = uv_poll_init(health->loop, &icmp->poll, fd);
	if (code < 0)
		return error_set(error, code, "cannot wait for icmp: %s", uv_strerror(code));
	health_handle_opened(health);
	icmp->poll.data = icmp;
	icmp->health = health;
	icmp->fd = fd;
	icmp->v4 = v4;
	icmp->raw = raw;
	icmp->id = (uint16_t)arc4random();
	uv_poll_start(&icmp->poll, UV_READABLE, on_readable);
	*place = TAKE(icmp);
	fd = -1;
	return 0;
}

static int icmp_prepare(struct health *health, const struct target *target, struct error *error)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < target_places(target); i++) {
		struct place place = target_place(target, i);

		code = prepare(health, address_is_v4(&place.endpoint.address), error);
	}
	return code;
}

static void on_closed(uv_handle_t *handle)
{
	struct icmp *icmp = handle->data;

	health_handle_closed(icmp->health);
	free(icmp);
}

void icmp_free(struct icmp *icmp)
{
	if (!icmp)
		return;
	uv_poll_stop(&icmp->poll);
	close(icmp->fd);
	icmp->fd = -1;
	uv_close((uv_handle_t *)&icmp->poll, on_closed);
}

static int icmp_start(struct prober *prober)
{
	struct place place = target_place(&prober->target, prober->place_number);
	bool v4 = address_is_v4(&place.endpoint.address);
	struct icmp *icmp = v4 ? prober->health->icmp : prober->health->icmp6;
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_socket(&place.endpoint, &address);
	struct icmp_run *run;
	struct echo echo = { .type = icmp->v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST, .id = icmp->id };

	do
		run = &icmp->slots[++icmp->sequence & (SLOTS - 1)];
	while (run->prober);
	echo.sequence = htons(icmp->sequence);
	arc4random_buf(&echo.token, sizeof(echo.token));
	if (icmp->v4)
		echo.checksum = checksum(&echo);
	if (sendto(icmp->fd, &echo, sizeof(echo), 0, (struct sockaddr *)&address, length) < 0)
		return prober_cannot(prober, -errno, "cannot send");
	*run = (struct icmp_run){ prober, icmp->sequence, echo.token };
	prober->run = run;
	return 0;
}

static void icmp_cancel(struct prober *prober)
{
	((struct icmp_run *)prober->run)->prober = NULL;
}

const struct check_kind check_icmp = {
	.late = "no answer",
	.prepare = icmp_prepare,
	.start = icmp_start,
	.cancel = icmp_cancel,
};
