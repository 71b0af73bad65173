// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/detach.h"

#include "src/base/cleanup.h"
#include "src/daemon/check_leftovers.h"
#include "src/daemon/restore.h"
#include "src/datapath/datapath.h"
#include "src/netlink/host.h"
#include "src/netlink/resolver.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* It lets clients and packets finish; that takes a second at most. */
#define STOP_TIMEOUT_MS 15000

struct detach {
	const struct detach_paths *paths;
	detach_say_fn say;
	void *user;
	bool done; /* anything */
};

__attribute__((format(printf, 2, 3))) static void say(struct detach *detach, const char *format,
						      ...)
{
	va_list arguments;
	char line[512];

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	detach->done = true;
	detach->say(line, detach->user);
}

/* The process that listens on the control socket; 0: nobody does. */
static pid_t daemon_pid(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer = {};
	socklen_t length = sizeof(peer);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return 0;
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return 0;
	return peer.pid;
}

static int stop_daemon(struct detach *detach, pid_t pid, struct error *error)
{
	_cleanup_close_ int process = (int)syscall(__NR_pidfd_open, pid, 0);
	struct pollfd end = { .fd = process, .events = POLLIN };

	if (process < 0 || syscall(__NR_pidfd_send_signal, process, SIGTERM, NULL, 0) < 0) {
		if (errno == ESRCH)
			return 0;
		return error_set(error, -errno, "cannot stop the daemon (pid %d): %s", pid,
				 strerror(errno));
	}
	if (poll(&end, 1, STOP_TIMEOUT_MS) <= 0)
		return error_set(error, -ETIMEDOUT,
				 "the daemon (pid %d) did not stop within %d s; see its log, end "
				 "it with 'kill -9 %d' and try again",
				 pid, STOP_TIMEOUT_MS / 1000, pid);
	say(detach, "stopped the daemon (pid %d)", pid);
	return 0;
}

static int refuse_living(struct detach *detach, bool force, struct error *error)
{
	pid_t pid = daemon_pid(detach->paths->socket);

	if (!pid)
		return 0;
	if (force)
		return stop_daemon(detach, pid, error);
	return error_set(error, -EBUSY,
			 "a weir daemon (pid %d) serves %s; stop it first, or let 'weir detach "
			 "--force' stop it",
			 pid, detach->paths->socket);
}

static int put_back(struct detach *detach, const struct restore_entry *entry, struct error *error)
{
	char line[RESTORE_LINE_SIZE];
	int err = restore_put_back(entry, line, error);

	if (err > 0)
		say(detach, "%s", line);
	return err < 0 ? err : 0;
}

static void ignore_hop(const struct resolver_hop *hop, void *user)
{
}

static void ignore_gateway(const struct weir_address *address, uint32_t ifindex, void *user)
{
}

static void ignore_link(const char *name, uint32_t ifindex, bool up, void *user)
{
}

static void ignore_forwarding(uint32_t ifindex, uint8_t family, bool on, void *user)
{
}

static void ignore_address(const struct weir_address *address, bool present, void *user)
{
}

static int remove_neighbours(struct detach *detach, struct error *error)
{
	static const struct resolver_events events = {
		.hop = ignore_hop,
		.gateway_gone = ignore_gateway,
		.link = ignore_link,
		.forwarding = ignore_forwarding,
		.address = ignore_address,
	};
	struct resolver *resolver = NULL;
	int err = resolver_new(&events, NULL, &resolver, error);

	if (err < 0)
		return err;
	err = resolver_remove_leftovers(resolver);
	resolver_free(resolver);
	if (err < 0)
		return error_set(error, err, "cannot remove neighbour entries: %s", strerror(-err));
	say(detach, "neighbour entries of weir removed");
	return 0;
}

/* What has been put back leaves the state file; the file leaves with the last of it. */
static int restore_host(struct detach *detach, struct error *error)
{
	_cleanup_(restore_free) struct restore restore = {};
	struct error ignored;
	int err = restore_load(&restore, detach->paths->state, &ignored), failed = 0;

	if (err < 0)
		return error_set(error, err,
				 "state file %s is damaged, or of another version or network "
				 "namespace: its sysctls and neighbour entries stay as "
				 "they are; remove the file if that is right",
				 detach->paths->state);
	if (err == 0)
		return 0;
	restore.begun = true;
	for (size_t i = restore.count; i-- > 0;) {
		err = put_back(detach, &restore.entries[i], error);
		if (err == 0)
			err = restore_forget(&restore, &restore.entries[i], error);
		failed = err < 0 ? err : failed;
	}
	err = remove_neighbours(detach, error);
	failed = err < 0 ? err : failed;
	return failed < 0 ? failed : restore_end(&restore, error);
}

static int remove_check_paths(struct detach *detach, struct error *error)
{
	int err = check_leftovers_remove(detach->paths->state);

	if (err < 0)
		return error_set(error, err, "cannot remove the interface of health checks: %s",
				 strerror(-err));
	if (err > 0)
		say(detach, "interface and programs of health checks removed");
	return 0;
}

/* A killed daemon leaves its socket. A file that is none is somebody else's. */
static void remove_socket(const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) && !daemon_pid(path))
		unlink(path);
}

int daemon_detach(const struct detach_paths *paths, bool force, detach_say_fn take, void *user,
		  struct error *error)
{
	struct detach detach = { .paths = paths, .say = take, .user = user };
	int err = refuse_living(&detach, force, error), failed;

	if (err == 0)
		err = datapath_remove_pins(paths->pins, error);
	/* As long as it forwards, it needs what was set. */
	if (err < 0)
		return err;
	if (err > 0)
		say(&detach, "taken off all interfaces; tables in %s removed", paths->pins);
	failed = remove_check_paths(&detach, error);
	err = restore_host(&detach, error);
	err = err < 0 ? err : failed;
	remove_socket(paths->socket);
	if (err == 0 && !detach.done)
		say(&detach, "nothing to do: weir has left nothing on this host");
	return err;
}
