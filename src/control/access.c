// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/control/access.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_GROUP "weir"
#define DEFAULT_WRITERS "weir-admin"
#define DEFAULT_MODE 0660

static int find_group(const char *name, gid_t *ret)
{
	_cleanup_free_ char *buffer = NULL;
	struct group entry, *group = NULL;
	size_t size = 16384;
	int code;

	do { /* a group with many members needs more */
		free(buffer);
		buffer = malloc(size);
		if (!buffer)
			return -ENOMEM;
		code = getgrnam_r(name, &entry, buffer, size, &group);
		size *= 4;
	} while (code == ERANGE && size <= 64 << 20);
	if (code != 0 && code != ENOENT && code != ESRCH)
		return -code;
	if (!group)
		return -ENOENT;
	*ret = group->gr_gid;
	return 0;
}

static int find_or_default(const char *name, const char *fallback, const char *what, gid_t *ret,
			   struct error *error)
{
	int code = find_group(name ? name : fallback, ret);

	if (code == -ENOENT && !name) {
		*ret = CONTROL_NO_GROUP;
		return 0;
	}
	if (code == -ENOENT)
		return error_set(error, code,
				 "control: the group '%s' (%s) does not exist; make it with "
				 "'groupadd --system %s', or name another one",
				 name, what, name);
	if (code < 0)
		return error_set(error, code, "control: cannot look up the group '%s': %s",
				 name ? name : fallback, strerror(-code));
	return 0;
}

int control_rights_find(const struct control_access *access, struct control_rights *ret,
			struct error *error)
{
	static const struct control_access defaults;
	struct control_rights rights;
	int code;

	if (!access)
		access = &defaults;
	rights = (struct control_rights){ .mode = access->mode ? access->mode : DEFAULT_MODE };
	code = find_or_default(access->group, DEFAULT_GROUP, "of the socket", &rights.group, error);
	if (code == 0)
		code = find_or_default(access->writers, DEFAULT_WRITERS, "who may change",
				       &rights.writers, error);
	if (code < 0)
		return code;
	snprintf(rights.writers_name, sizeof(rights.writers_name), "%s",
		 access->writers ? access->writers : DEFAULT_WRITERS);
	*ret = rights;
	return 0;
}

/* 1, 0, or a negative errno. */
static int peer_is_member(int fd, const struct ucred *peer, gid_t group)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t length = 0;

	if (group == CONTROL_NO_GROUP)
		return 0;
	if (peer->gid == group)
		return 1;
	/* The first call only tells the length; ENOTCONN and the like have nothing to tell. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &length) == 0)
		return 0;
	if (errno != ERANGE)
		return -errno;
	groups = malloc(length);
	if (!groups)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) < 0)
		return -errno;
	for (size_t i = 0; i < length / sizeof(*groups); i++)
		if (groups[i] == group)
			return 1;
	return 0;
}

static int refuse(const struct control_rights *rights, const struct ucred *peer,
		  const char *command, struct error *error)
{
	if (rights->writers == CONTROL_NO_GROUP)
		return error_set(error, -EPERM,
				 "'%s' changes what weir does: only root may, you are uid %u; use "
				 "sudo, or make the group %s, join it and restart weir",
				 command, (unsigned int)peer->uid, rights->writers_name);
	return error_set(
		error, -EPERM,
		"'%s' changes what weir does: only root and members of the group %s may, "
		"you are uid %u; use sudo, or join the group (usermod -aG %s USER) and log "
		"in again",
		command, rights->writers_name, (unsigned int)peer->uid, rights->writers_name);
}

int control_rights_check(const struct control_rights *rights, int fd, const char *command,
			 struct error *error)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int member;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return error_set(error, -errno, "cannot tell who asks for '%s': %s", command,
				 strerror(errno));
	if (peer.uid == 0 || peer.uid == geteuid())
		return 0;
	member = peer_is_member(fd, &peer, rights->writers);
	if (member < 0)
		return error_set(error, member, "cannot tell the groups of who asks for '%s': %s",
				 command, strerror(-member));
	return member ? 0 : refuse(rights, &peer, command, error);
}
