// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/cli/cli.h"
#include "src/cli/command.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_DIRECTORY "/run/weir"
#define DEFAULT_INSTANCE "weir"
#define INSTANCE_MAX 32

/* The command line without its global options. */
struct words {
	const char *socket;
	const char *instance;
	bool json;
	bool help;
	bool version;
	int argc;
	char **argv; /* ends with NULL */
};

/* One line, whatever was typed or answered: control characters become '?'. */
static void print_error(const char *hint, const char *format, va_list arguments)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, arguments);
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	/* Failing is not undone by a reader of stderr that has left. */
	signal(SIGPIPE, SIG_IGN);
	fflush(stdout);
	fprintf(stderr, "weir: %s%s\n", text, hint);
}

int cli_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_error("", format, arguments);
	va_end(arguments);
	return EXIT_FAILED;
}

int cli_misuse(const struct command *command, const char *format, ...)
{
	char hint[COMMAND_TITLE_SIZE + 32], title[COMMAND_TITLE_SIZE];
	va_list arguments;

	snprintf(hint, sizeof(hint), "; see 'weir %s%s--help'",
		 command ? command_title(command, title) : "", command ? " " : "");
	va_start(arguments, format);
	print_error(hint, format, arguments);
	va_end(arguments);
	return EXIT_USAGE;
}

int cli_unexpected(const struct command *command, const char *argument)
{
	return cli_misuse(command,
			  argument[0] == '-' ? "unknown option '%s'" :
					       "'%s' is one argument too many",
			  argument);
}

int cli_take_value(char *const argv[], int *index, const char *name, const char **ret)
{
	const char *argument = argv[*index];
	const size_t length = strlen(name);

	if (strncmp(argument, name, length) != 0 || (argument[length] && argument[length] != '='))
		return 0;
	if (argument[length]) {
		*ret = argument + length + 1;
		return 1;
	}
	if (!argv[*index + 1])
		return -1;
	*ret = argv[++*index];
	return 1;
}

static bool take_switch(const char *argument, struct words *words)
{
	if (!strcmp(argument, "--json"))
		words->json = true;
	else if (!strcmp(argument, "--help") || !strcmp(argument, "-h"))
		words->help = true;
	else if (!strcmp(argument, "--version"))
		words->version = true;
	else
		return false;
	return true;
}

static int split_words(char *const argv[], struct words *words)
{
	for (int i = 1; argv[0] && argv[i]; i++) {
		int found = cli_take_value(argv, &i, "--socket", &words->socket);

		if (found == 0)
			found = cli_take_value(argv, &i, "--instance", &words->instance);
		if (found < 0)
			return cli_misuse(NULL, "%s: its value is missing", argv[i]);
		if (found == 0 && !take_switch(argv[i], words))
			words->argv[words->argc++] = argv[i];
	}
	words->argv[words->argc] = NULL;
	return EXIT_DONE;
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && value[0] ? value : NULL;
}

static bool instance_is_valid(const char *name)
{
	const size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return length >= 1 && length <= INSTANCE_MAX && !name[length];
}

/* What was typed goes before the environment. *ret is the caller's. */
static int find_socket(const struct words *words, char **ret, bool *ret_default)
{
	const char *path = words->socket, *instance = words->instance;
	char *text = NULL;

	if (path && instance)
		return cli_misuse(NULL, "--socket and --instance exclude each other");
	if (!path && !instance) {
		path = environment("WEIR_SOCKET");
		instance = environment("WEIR_INSTANCE");
	}
	*ret_default = !path && !instance;
	if (path) {
		if (!path[0])
			return cli_misuse(NULL, "--socket: the path is empty");
		text = strdup(path);
	} else {
		if (!instance)
			instance = DEFAULT_INSTANCE;
		if (!instance_is_valid(instance))
			return cli_misuse(
				NULL,
				"instance name '%s' is wrong, expected 1 to %d of a-z, 0-9 "
				"and '-'",
				instance, INSTANCE_MAX);
		if (asprintf(&text, RUN_DIRECTORY "/%s.sock", instance) < 0)
			text = NULL;
	}
	if (!text)
		return cli_fail("no memory");
	*ret = text;
	return EXIT_DONE;
}

int command_help(const struct cli *cli, const struct command *command, int argc, char *argv[])
{
	const struct command *about;
	int used;

	if (argc == 0) {
		help_overview();
		return EXIT_DONE;
	}
	about = command_find(argc, argv, &used);
	if (about && used == argc)
		help_command(about);
	else if (argc > 1 || !help_object(argv[0]))
		return cli_misuse(NULL, "there is no command '%s%s%s'", argv[0],
				  argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	return EXIT_DONE;
}

static int unknown_command(const struct words *words)
{
	const char *first = words->argv[0], *second = words->argv[1];

	if (!first)
		return cli_misuse(NULL, "no command is given");
	for (const struct command *c = commands; c->name; c++) {
		if (!c->object || strcmp(c->object, first) != 0)
			continue;
		if (!second)
			return cli_misuse(NULL, "%s: no command is given, such as '%s %s'", first,
					  c->object, c->name);
		return cli_misuse(NULL, "there is no command '%s %s'", first, second);
	}
	return cli_misuse(
		NULL, first[0] == '-' ? "unknown option '%s'" : "there is no command '%s'", first);
}

static int dispatch(const struct words *words, struct cli *cli)
{
	_cleanup_free_ char *socket_path = NULL;
	const struct command *command;
	int used = 0, status;

	cli->json = words->json;
	if (words->version) {
		puts("weir " WEIR_VERSION);
		return EXIT_DONE;
	}
	command = command_find(words->argc, words->argv, &used);
	if (words->help && !command)
		return command_help(cli, NULL, words->argc, words->argv);
	if (words->help) {
		help_command(command);
		return EXIT_DONE;
	}
	if (!command)
		return unknown_command(words);
	status = command->run == command_help ?
			 EXIT_DONE :
			 find_socket(words, &socket_path, &cli->socket_is_default);
	if (status != EXIT_DONE)
		return status;
	cli->socket_path = socket_path;
	return command->run(cli, command, words->argc - used, words->argv + used);
}

static void leave_quietly(int signal_number)
{
	_exit(EXIT_DONE);
}

int cli_main(int argc, char *argv[], cli_run_fn run, cli_detach_fn detach, cli_decap_fn decap)
{
	struct cli cli = { .run = run, .detach = detach, .decap = decap };
	struct words words = { .argv = NULL };
	_cleanup_free_ char **copy = calloc(argc + 1, sizeof(*copy));
	int status;

	if (!copy)
		return cli_fail("no memory");
	words.argv = copy;
	/* Whoever reads our output has seen enough ("weir flow list | head"). */
	signal(SIGPIPE, leave_quietly);
	status = split_words(argv, &words);
	if (status == EXIT_DONE)
		status = dispatch(&words, &cli);
	if (status == EXIT_DONE && (fflush(stdout) != 0 || ferror(stdout)))
		status = cli_fail("cannot write to stdout: %s", strerror(errno));
	return status;
}
