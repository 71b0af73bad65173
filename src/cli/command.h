/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"
#include "src/cli/cli.h"

#include <stdbool.h>
#include <stddef.h>

/* What the command line consists of: one table drives dispatch, parsing and help. */

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What the global options said. */
struct cli {
	bool json;
	const char *socket_path;
	bool socket_is_default; /* neither options nor environment say where it is */
	cli_run_fn run;
	cli_detach_fn detach;
	cli_decap_fn decap;
};

struct command_option {
	const char *name;  /* with dashes */
	const char *value; /* "NAME", as help shows it; NULL: takes none */
	const char *help;
	/* What @text should have been, if it is wrong; NULL if it is right. */
	const char *(*check)(const char *text);
};

struct command {
	const char *object; /* "flow" of "flow list", NULL for a command of one word */
	const char *name;
	const char *operand; /* as usage shows it, NULL: none */
	const char *summary;
	const char *description;
	const struct command_option *options; /* ends with a NULL name; NULL: none */
	const char *example;
	/* @argv: what follows the command, without the global options. Returns the exit status. */
	int (*run)(const struct cli *cli, const struct command *command, int argc, char *argv[]);
};

extern const struct command commands[]; /* ends with a NULL name */

/* "flow list"; returns @buffer. */
#define COMMAND_TITLE_SIZE 32
char *command_title(const struct command *command, char buffer[static COMMAND_TITLE_SIZE]);
/* The command that @argv starts with and in *ret_used its number of words; NULL: none. */
const struct command *command_find(int argc, char *const argv[], int *ret_used);

/* One line on stderr, "weir: ...". Returns EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int cli_fail(const char *format, ...);
/* The same with a hint at --help of @command (NULL: of weir). Returns EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_misuse(const struct command *command,
						     const char *format, ...);

/* The same of an argument that @command does not know. */
int cli_unexpected(const struct command *command, const char *argument);
/*
 * "-c FILE" or "-c=FILE": 1 if @argv[*index] is the option @name, whose value is then in *ret and its
 * last word at *index, 0 if it is not, -1 if it has no value. @argv ends with NULL.
 */
int cli_take_value(char *const argv[], int *index, const char *name, const char **ret);

/* Help on stdout: of weir, of the commands of @object, of one command. */
void help_overview(void);
bool help_object(const char *object); /* false: there is no such object */
void help_command(const struct command *command);

/* The commands. */
int command_run(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_check(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_status(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_service_list(const struct cli *cli, const struct command *command, int argc,
			 char *argv[]);
int command_backend_list(const struct cli *cli, const struct command *command, int argc,
			 char *argv[]);
int command_flow_list(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_flow_count(const struct cli *cli, const struct command *command, int argc,
		       char *argv[]);
int command_trace(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_service_show(const struct cli *cli, const struct command *command, int argc,
			 char *argv[]);
int command_backend_add(const struct cli *cli, const struct command *command, int argc,
			char *argv[]);
int command_backend_set(const struct cli *cli, const struct command *command, int argc,
			char *argv[]);
int command_backend_remove(const struct cli *cli, const struct command *command, int argc,
			   char *argv[]);
int command_flow_kill(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_reload(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_confirm(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_rollback(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_config_show(const struct cli *cli, const struct command *command, int argc,
			char *argv[]);
int command_config_diff(const struct cli *cli, const struct command *command, int argc,
			char *argv[]);
int command_detach(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_decap(const struct cli *cli, const struct command *command, int argc, char *argv[]);
int command_help(const struct cli *cli, const struct command *command, int argc, char *argv[]);
