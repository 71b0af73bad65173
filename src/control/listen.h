/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"
#include "src/control/access.h"

#include <sys/stat.h>

/* A listening unix socket, and which file it made: another may stand at its path one day. */
struct control_listener {
	int fd;
	dev_t device;
	ino_t inode;
};

/*
 * Listens on @path: makes its directory if it is missing (one level, 0755), replaces a socket file
 * that nobody listens on, refuses one that a living daemon serves (-EADDRINUSE, @error names its
 * process). The file gets group and mode of @rights.
 */
int control_listen(const char *path, const struct control_rights *rights,
		   struct control_listener *ret, struct error *error);

/* Removes the file at @path if it is the listener's, whose descriptor must still be open. */
void control_unlink(const char *path, const struct control_listener *listener);
