/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

/* The whole command line, run in a child against the fixture's daemon. */
extern char directory[];
extern char socket_path[64];

struct result {
	int status;
	char out[16384];
	char err[2048];
};

/* For cmocka, around a group of tests. */
int command_line_begin(void **state);
int command_line_end(void **state);

/* In the child: splits @line at blanks and runs it. */
void run_line(const char *line) __attribute__((noreturn));
/* All that comes out of @fd, which it closes. */
size_t read_all(int fd, char *buffer, size_t size);

struct result weir(const char *line);
/* Prints what differs, then fails. */
void expect(const char *line, int status, const char *out, const char *err);
