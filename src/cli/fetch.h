/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/cli/command.h"

#include <jansson.h>

/* Asking the daemon. All of these return an exit status and have printed what went wrong. */

/* Turns the options of @command into arguments of the request ("--client A" -> "client": "A"). */
int fetch_parse(const struct command *command, int argc, char *argv[], json_t **ret);

/* Calls @take for each document of the answer as it comes. */
int fetch_each(const struct cli *cli, const char *name, const json_t *arguments,
	       void (*take)(const json_t *document, void *user), void *user);
/* All documents of a short answer as an array. */
int fetch_all(const struct cli *cli, const char *name, const json_t *arguments, json_t **ret);
/* The only document of the answer. */
int fetch_one(const struct cli *cli, const char *name, const json_t *arguments, json_t **ret);

/* Prints the answer as JSON: as one array while it comes in, or as lines, each at once. */
int fetch_print_array(const struct cli *cli, const char *name, const json_t *arguments);
int fetch_print_lines(const struct cli *cli, const char *name, const json_t *arguments);
