// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/parse.h"
#include "src/daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void notify(const char *text)
{
	/* A READY that is lost is a start that failed, but a deaf manager must not stop us either. */
	const struct timeval patience = { .tv_sec = 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;
	_cleanup_close_ int fd = -1;

	if (!length || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
	       offsetof(struct sockaddr_un, sun_path) + length);
}

void notify_ready(void)
{
	notify("READY=1");
}

void notify_reloading(void)
{
	struct timespec now;
	char text[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 now.tv_sec * 1000000ULL + now.tv_nsec / 1000);
	notify(text);
}

void notify_stopping(void)
{
	notify("STOPPING=1");
}

void notify_status(const char *text)
{
	char line[512];

	snprintf(line, sizeof(line), "STATUS=%s", text);
	/* A second line would be another variable. */
	for (char *c = line; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	notify(line);
}

uint64_t notify_watchdog_interval_ms(void)
{
	const char *interval = getenv("WATCHDOG_USEC");
	const char *process = getenv("WATCHDOG_PID");
	uint64_t usec, pid;

	if (!interval || parse_number(interval, &usec) < 0)
		return 0;
	/* Meant for a parent that left its environment to us. */
	if (process && (parse_number(process, &pid) < 0 || pid != (uint64_t)getpid()))
		return 0;
	return usec / 2000;
}

void notify_watchdog(void)
{
	notify("WATCHDOG=1");
}
