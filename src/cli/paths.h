/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/*
 * Where an instance keeps what is its own. All follows from its control socket: /run/weir/NAME.sock
 * has its state and run-time changes beside it, and its pins in /sys/fs/bpf/weir/NAME (WEIR_PINS in the
 * environment: elsewhere).
 */
struct paths {
	char *state;   /* what must be put back on this host */
	char *changes; /* run-time changes */
	char *pins;
};

/* -ENOMEM leaves @ret untouched. */
int paths_find(const char *socket_path, struct paths *ret);
void paths_free(struct paths *paths);
