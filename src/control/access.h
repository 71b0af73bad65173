/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "src/base/error.h"

/*
 * Who may do what on the control socket (doc/decisions/0007-who-may-change.md). Owner, group and mode
 * of the socket say who may connect and read. Root, the daemon's own user and the writers may change.
 */
struct control_access {
	const char *group;   /* of the socket; NULL: "weir", if there is such a group */
	uint32_t mode;       /* permission bits of the socket; 0: 0660 */
	const char *writers; /* a group; NULL: "weir-admin", if there is such a group */
};

/* The same with the groups looked up. */
struct control_rights {
	gid_t group;   /* CONTROL_NO_GROUP: the socket keeps the daemon's */
	gid_t writers; /* CONTROL_NO_GROUP: nobody else */
	uint32_t mode;
	char writers_name[64];
};

#define CONTROL_NO_GROUP ((gid_t)-1)

/* @access NULL: all defaults. A group that was asked for and does not exist is -ENOENT. */
int control_rights_find(const struct control_access *access, struct control_rights *ret,
			struct error *error);

/*
 * Whether the process that connected @fd may change something: 0, or -EPERM with @error saying who
 * may and how to become one. What counts is who it was when it connected.
 */
int control_rights_check(const struct control_rights *rights, int fd, const char *command,
			 struct error *error);
