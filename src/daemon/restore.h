/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "src/base/error.h"
#include "src/netlink/host.h"

/*
 * The state file: what the daemon has changed on this host and must put back, so that the next daemon
 * can do it for one that was killed. Written before each change, removed when all is put back. As long
 * as there is one, neighbour entries of weir may be left, too.
 *
 *	{"version": 1, "network_namespace": INODE, "forwarding": {"eth0": 0},
 *	 "forwarding6": {"eth0": 0}, "accept_ra": {"eth0": 1}}
 */
struct restore_entry {
	enum host_switch which;
	char interface[16];
	int original;
};

#define RESTORE_LINE_SIZE 128

struct restore {
	const char *path; /* borrowed */
	struct restore_entry *entries;
	size_t count;
	bool begun; /* the file is ours */
};

/*
 * Reads what a killed daemon left behind: 1 if there was one, 0 if not. -EINVAL: the file is unreadable
 * or from another network namespace, and will be replaced; @error says so.
 */
int restore_load(struct restore *restore, const char *path, struct error *error);
/* Frees the memory, leaves the file. */
void restore_free(struct restore *restore);

/* Makes the file, before anything is changed. */
int restore_begin(struct restore *restore, struct error *error);
/* Everything is put back: removes the file, if it was made. */
int restore_end(struct restore *restore, struct error *error);

struct restore_entry *restore_find(struct restore *restore, enum host_switch which,
				   const char *interface);
/* Remembers @original, unless a value is remembered already, and writes the file. */
int restore_remember(struct restore *restore, enum host_switch which, const char *interface,
		     int original, struct error *error);
/* Forgets an entry and writes the file. */
int restore_forget(struct restore *restore, struct restore_entry *entry, struct error *error);

/* Sets the switch back: 1 and what was done in @line, 0: the interface is gone, or a negative errno. */
int restore_put_back(const struct restore_entry *entry, char line[static RESTORE_LINE_SIZE],
		     struct error *error);
