// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/health/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct tcp_run {
	uv_poll_t poll;
	int fd;
	struct prober *prober; /* NULL: cancelled or done */
	struct health *health;
};

static void on_closed(uv_handle_t *handle)
{
	struct tcp_run *run = handle->data;

	health_handle_closed(run->health);
	free(run);
}

/*
 * Ends with RST: a FIN would leave this end in TIME_WAIT for a minute, 30 sockets and local ports for
 * each backend that is checked every two seconds. Servers see that nothing was sent, as with FIN.
 */
static void run_close(struct tcp_run *run)
{
	const struct linger reset = { .l_onoff = 1 };

	uv_poll_stop(&run->poll);
	setsockopt(run->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(run->fd);
	uv_close((uv_handle_t *)&run->poll, on_closed);
}

static void on_connected(uv_poll_t *poll, int status, int events)
{
	struct tcp_run *run = poll->data;
	struct prober *prober = run->prober;
	int code = 0;
	socklen_t length = sizeof(code);

	if (getsockopt(run->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
		code = errno;
	else if (code == 0 && status < 0)
		code = -status;
	run_close(run);
	prober_finish(prober, code ? health_words(code) : NULL);
}

static int tcp_start(struct prober *prober)
{
	struct sockaddr_storage address;
	struct place place = target_place(&prober->target, prober->place_number);
	socklen_t length = endpoint_to_socket(&place.endpoint, &address);
	_cleanup_free_ struct tcp_run *run = calloc(1, sizeof(*run));
	_cleanup_close_ int fd = socket(address.ss_family,
					SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int code;

	if (!run || fd < 0)
		return prober_cannot(prober, run ? -errno : -ENOMEM, "cannot open a socket");
	code = place_bind(&place, fd);
	if (code < 0)
		return prober_cannot(prober, code, "cannot take a port");
	if (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)
		return prober_cannot(prober, -errno, "cannot connect");
	code = uv_poll_init(prober->health->loop, &run->poll, fd);
	if (code < 0)
		return prober_cannot(prober, code, "cannot wait for a socket");
	health_handle_opened(prober->health);
	run->poll.data = run;
	run->fd = fd;
	run->prober = prober;
	run->health = prober->health;
	uv_poll_start(&run->poll, UV_WRITABLE, on_connected);
	prober->run = TAKE(run);
	fd = -1;
	return 0;
}

static void tcp_cancel(struct prober *prober)
{
	run_close(prober->run);
}

const struct check_kind check_tcp = {
	.late = "no answer",
	.start = tcp_start,
	.cancel = tcp_cancel,
};
