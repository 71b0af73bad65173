// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/control/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_BACKLOG 64

static int make_directory(const char *path, struct error *error)
{
	char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return 0;
	snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
	if (mkdir(directory, 0755) == 0) {
		/* The mode of mkdir() is cut by the umask. */
		if (chmod(directory, 0755) == 0)
			return 0;
	} else if (errno == EEXIST) {
		return 0;
	}
	return error_set(error, -errno,
			 "cannot make the directory %s for the control socket: %s; make it, or "
			 "choose another place with --socket",
			 directory, strerror(errno));
}

static int refuse_living(int fd, const char *path, struct error *error)
{
	struct ucred peer = { .pid = 0 };
	socklen_t length = sizeof(peer);
	char process[32] = "pid unknown";

	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0)
		snprintf(process, sizeof(process), "pid %d", peer.pid);
	return error_set(
		error, -EADDRINUSE,
		"another weir daemon (%s) already serves %s; stop it or use --instance NAME",
		process, path);
}

/* Removes what a dead daemon left at the address; refuses everything else that is there. */
static int remove_stale(const struct sockaddr_un *address, struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (lstat(address->sun_path, &status) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_set(error, -errno, "cannot look at %s: %s", address->sun_path,
				 strerror(errno));
	}
	if (!S_ISSOCK(status.st_mode))
		return error_set(error, -EEXIST,
				 "%s exists and is not a socket; remove it, or choose another "
				 "control socket with --socket",
				 address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot open a unix socket: %s", strerror(errno));
	/* EAGAIN: somebody listens, and its queue of connections is full. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return refuse_living(fd, address->sun_path, error);
	if (errno == EAGAIN)
		return refuse_living(-1, address->sun_path, error);
	if (errno != ECONNREFUSED)
		return error_set(error, -errno, "cannot tell whether a daemon serves %s: %s",
				 address->sun_path, strerror(errno));
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return error_set(error, -errno, "cannot remove the stale socket %s: %s",
				 address->sun_path, strerror(errno));
	return 0;
}

/* Nobody can connect before listen(), so owner and mode may follow bind(). */
static int set_access(const char *path, const struct control_rights *rights, struct error *error)
{
	if (rights->group != CONTROL_NO_GROUP && chown(path, (uid_t)-1, rights->group) < 0)
		return error_set(error, -errno, "cannot give %s to the group %u: %s", path,
				 (unsigned int)rights->group, strerror(errno));
	if (chmod(path, rights->mode) < 0)
		return error_set(error, -errno, "cannot set the mode of %s: %s", path,
				 strerror(errno));
	return 0;
}

int control_listen(const char *path, const struct control_rights *rights,
		   struct control_listener *ret, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	struct stat status;
	int code;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "control socket '%s': expected a path of 1 to %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	code = make_directory(path, error);
	if (code < 0)
		return code;
	code = remove_stale(&address, error);
	if (code < 0)
		return code;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(error, -errno, "cannot open a unix socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(error, -errno, "cannot make the control socket %s: %s%s", path,
				 strerror(errno), errno == EACCES ? "; weir run needs root" : "");
	code = set_access(path, rights, error);
	if (code == 0 && (listen(fd, CONTROL_BACKLOG) < 0 || lstat(path, &status) < 0))
		code = error_set(error, -errno, "cannot listen on %s: %s", path, strerror(errno));
	if (code < 0) {
		unlink(path);
		return code;
	}
	*ret = (struct control_listener){ fd, status.st_dev, status.st_ino };
	fd = -1;
	return 0;
}

void control_unlink(const char *path, const struct control_listener *listener)
{
	struct stat status;

	if (lstat(path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(path);
}
