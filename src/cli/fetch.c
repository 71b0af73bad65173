// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/cli/fetch.h"
#include "src/control/client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(16)) /* 16 digits: microseconds since 1970 */

static const struct command_option *find_option(const struct command *command, const char *text)
{
	size_t length = strcspn(text, "=");

	for (const struct command_option *o = command->options; o && o->name; o++)
		if (strlen(o->name) == length && strncmp(o->name, text, length) == 0)
			return o;
	return NULL;
}

static int set_switch(const struct command *command, const char *argument, const char *option,
		      json_t *arguments)
{
	if (strcmp(argument, option) != 0)
		return cli_misuse(command, "%s takes no value", option);
	json_object_set_new(arguments, option + 2, json_true());
	return EXIT_DONE;
}

static int set_argument(const struct command *command, const char *option, const char *value,
			json_t *arguments)
{
	/* "--client" and the operand "[SERVICE]" both name their key. */
	const char *key = option[0] == '-' ? option + 2 : "service";

	if (json_object_get(arguments, key))
		return cli_misuse(command, "%s is given twice", option);
	if (json_object_set_new(arguments, key, json_string(value)) < 0)
		return cli_misuse(command, "%s: '%s' is not valid UTF-8", option, value);
	return EXIT_DONE;
}

/* Whose operand is the name of a service. */
static bool takes_operand(const struct command *command)
{
	return command->operand && command->operand[0] != '-';
}

int fetch_parse(const struct command *command, int argc, char *argv[], json_t **ret)
{
	json_auto_t *arguments = json_object();

	if (!arguments)
		return cli_fail("no memory");
	for (int i = 0; i < argc; i++) {
		const struct command_option *option = find_option(command, argv[i]);
		const char *value = strchr(argv[i], '='), *expected;
		int status;

		if (argv[i][0] != '-') {
			if (!takes_operand(command) || json_object_get(arguments, "service"))
				return cli_unexpected(command, argv[i]);
			status = set_argument(command, command->operand, argv[i], arguments);
			if (status)
				return status;
			continue;
		}
		if (!option)
			return cli_unexpected(command, argv[i]);
		if (!option->value) {
			status = set_switch(command, argv[i], option->name, arguments);
			if (status)
				return status;
			continue;
		}
		value = value ? value + 1 : argv[++i];
		if (!value)
			return cli_misuse(command, "%s: %s is missing", option->name,
					  option->value);
		expected = option->check ? option->check(value) : NULL;
		if (expected)
			return cli_misuse(command, "%s: '%s' is wrong, expected %s", option->name,
					  value, expected);
		status = set_argument(command, option->name, value, arguments);
		if (status)
			return status;
	}
	*ret = TAKE(arguments);
	return EXIT_DONE;
}

static int output_failed(void)
{
	return cli_fail("cannot write to stdout: %s", strerror(errno));
}

static void free_client(struct control_client **client)
{
	control_client_free(*client);
}

int fetch_each(const struct cli *cli, const char *name, const json_t *arguments,
	       void (*take)(const json_t *document, void *user), void *user)
{
	_cleanup_(free_client) struct control_client *client = NULL;
	struct error error;
	int code = control_client_open(cli->socket_path, name, arguments, &client, &error);

	while (code >= 0) {
		json_auto_t *document = NULL;

		code = control_client_next(client, &document, &error);
		if (code == 0)
			return EXIT_DONE;
		if (code < 0)
			break;
		take(document, user);
		if (ferror(stdout))
			return output_failed();
	}
	return cli_fail("%s", error.text);
}

static void append(const json_t *document, void *user)
{
	json_t **array = user;

	if (*array && json_array_append(*array, (json_t *)document) < 0) {
		json_decref(*array);
		*array = NULL;
	}
}

int fetch_all(const struct cli *cli, const char *name, const json_t *arguments, json_t **ret)
{
	json_auto_t *array = json_array();
	int status = fetch_each(cli, name, arguments, append, &array);

	if (status != EXIT_DONE)
		return status;
	if (!array)
		return cli_fail("no memory for the answer of the daemon");
	*ret = TAKE(array);
	return EXIT_DONE;
}

int fetch_one(const struct cli *cli, const char *name, const json_t *arguments, json_t **ret)
{
	json_auto_t *all = NULL;
	int status = fetch_all(cli, name, arguments, &all);

	if (status != EXIT_DONE)
		return status;
	if (json_array_size(all) != 1)
		return cli_fail("the daemon on %s answered '%s' with %zu documents instead of one; "
				"are 'weir' and the daemon of the same version?",
				cli->socket_path, name, json_array_size(all));
	*ret = json_incref(json_array_get(all, 0));
	return EXIT_DONE;
}

static void print_element(const json_t *document, void *user)
{
	size_t *count = user;

	fputs((*count)++ ? ",\n" : "[\n", stdout);
	json_dumpf(document, stdout, DUMP_FLAGS);
}

int fetch_print_array(const struct cli *cli, const char *name, const json_t *arguments)
{
	size_t count = 0;
	int status = fetch_each(cli, name, arguments, print_element, &count);

	if (status == EXIT_DONE)
		puts(count ? "\n]" : "[]");
	return status;
}

static void print_line(const json_t *document, void *user)
{
	json_dumpf(document, stdout, DUMP_FLAGS);
	putchar('\n');
	fflush(stdout);
}

int fetch_print_lines(const struct cli *cli, const char *name, const json_t *arguments)
{
	return fetch_each(cli, name, arguments, print_line, NULL);
}
