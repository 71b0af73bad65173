// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/command.h"

#include <stdio.h>
#include <string.h>

static const struct command_option global_options[] = {
	{ "--json", NULL, "print JSON instead of text", NULL },
	{ "--socket", "PATH", "control socket (/run/weir/weir.sock, or $WEIR_SOCKET)", NULL },
	{ "--instance", "NAME", "the same as --socket /run/weir/NAME.sock ($WEIR_INSTANCE)", NULL },
	{ "--help", NULL, "explain the command", NULL },
	{ "--version", NULL, "print the version", NULL },
	{ .name = NULL },
};

static void print_options(const char *title, const struct command_option *options)
{
	int width = 0;

	for (const struct command_option *o = options; o->name; o++) {
		const int length = strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0);

		if (length > width)
			width = length;
	}
	printf("\n%s:\n", title);
	for (const struct command_option *o = options; o->name; o++) {
		const int length = printf("  %s%s%s", o->name, o->value ? " " : "",
					  o->value ? o->value : "");

		printf("%*s%s\n", width + 4 - length, "", o->help);
	}
}

static void print_summary(const struct command *command)
{
	char title[COMMAND_TITLE_SIZE];

	printf("  %-15s%s\n", command_title(command, title), command->summary);
}

void help_overview(void)
{
	puts("Usage: weir [OPTION...] COMMAND [ARGUMENT...]\n\n"
	     "weir balances TCP and UDP over backends with a BPF program at the XDP hook.\n\n"
	     "Commands:");
	for (const struct command *c = commands; c->name; c++)
		print_summary(c);
	print_options("Options, before or after the command", global_options);
	puts("\n'weir help COMMAND' explains a command, weir(8) everything.");
}

bool help_object(const char *object)
{
	bool found = false;

	for (const struct command *c = commands; c->name; c++) {
		if (!c->object || strcmp(c->object, object) != 0)
			continue;
		if (!found)
			printf("Usage: weir %s COMMAND [ARGUMENT...]\n\nCommands:\n", object);
		print_summary(c);
		found = true;
	}
	return found;
}

void help_command(const struct command *command)
{
	char title[COMMAND_TITLE_SIZE];

	printf("Usage: weir %s%s%s%s\n\n%s\n", command_title(command, title),
	       command->operand ? " " : "", command->operand ? command->operand : "",
	       command->options ? " [OPTION...]" : "", command->description);
	if (command->options)
		print_options("Options", command->options);
	print_options("Global options", global_options);
	printf("\nExample:\n  %s\n", command->example);
}
