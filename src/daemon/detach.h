/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>

#include "src/base/error.h"

/*
 * `weir detach`: takes back what a daemon has left so that traffic flows on without it - links and pins,
 * sysctls, neighbour entries. Runs when there is no daemon; -EBUSY if there is one, unless @force stops
 * it first. @take gets a line for each thing that was done. What cannot be done does not keep the rest
 * from being done.
 */
struct detach_paths {
	const char *socket; /* control socket */
	const char *state;  /* the state file */
	const char *pins;
};

typedef void (*detach_say_fn)(const char *line, void *user);
int daemon_detach(const struct detach_paths *paths, bool force, detach_say_fn take, void *user,
		  struct error *error);
