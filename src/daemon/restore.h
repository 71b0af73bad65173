/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "src/base/error.h"

/*
 * The state file: what the daemon has changed on this host and must put back, so that the next daemon
 * can do it for one that was killed. Written before each change, removed when all is put back. As long
 * as there is one, neighbour entries of weir may be left, too.
 *
 *	{"version": 1, "network_namespace": INODE, "forwarding": {"eth0": false}}
 */
struct restore_forwarding {
	char interface[16];
	bool original;
};

struct restore {
	const char *path; /* borrowed */
	struct restore_forwarding *forwarding;
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

struct restore_forwarding *restore_find(struct restore *restore, const char *interface);
/* Remembers @original, unless a value is remembered already, and writes the file. */
int restore_remember(struct restore *restore, const char *interface, bool original,
		     struct error *error);
/* Forgets an entry and writes the file. */
int restore_forget(struct restore *restore, struct restore_forwarding *entry, struct error *error);
