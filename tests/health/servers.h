/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * For cmocka: moves the program into a network namespace of its own, where 127.0.0.1, ::1, 10.9.0.1
 * and fd09::1 answer, 10.9.0.2 and fd09::2 are silent, and the rest has no route.
 */
int servers_network(void **state);

/* The same, with an nginx: ports 80 and 443 of 127.0.0.1 and [::1]. */
int servers_nginx(void **state);
int servers_stop(void **state);

/* The access log has, or gets within a second: "HOST|PATH|SERVER NAME OF TLS|CONNECTION HEADER". */
bool servers_logged(const char *line);

/* A listening socket on all addresses, of which nothing is accepted by itself. */
int listen_on(uint16_t port);
/* Takes all that wait; how many. @answer: sent to each, or NULL. */
unsigned int accept_all(int fd, const char *answer);

void write_text(const char *path, const char *text);
