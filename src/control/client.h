/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"

#include <jansson.h>

/* The command line's side of the control socket; blocking. */
struct control_client;

/*
 * Connects, sends {"command": @command, ...@arguments} (borrowed, NULL: none) and waits at most 10 s
 * for the daemon to accept it. What the daemon refuses is -EREMOTEIO with its own words in @error.
 */
int control_client_open(const char *path, const char *command, const json_t *arguments,
			struct control_client **ret, struct error *error);
void control_client_free(struct control_client *client); /* NULL is allowed */

/*
 * The next document (an object): 1 and *ret (caller's reference), 0 at the end, or a negative errno.
 * An answer that stops in the middle, because the daemon ended, is -EPIPE. Waits without limit.
 */
int control_client_next(struct control_client *client, json_t **ret, struct error *error);
