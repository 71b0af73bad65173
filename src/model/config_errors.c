// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_tree.h"

static void add(struct config_errors *errors, uint32_t line, uint32_t column, const char *format,
		va_list arguments)
{
	struct config_error *entries = errors->entries;
	_cleanup_free_ char *copy = NULL;
	struct error error;

	vsnprintf(error.text, sizeof(error.text), format, arguments);
	/* What was read may be repeated, but not what it does to a terminal. */
	for (char *c = error.text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	copy = malloc(strlen(error.text) + 1);
	if (copy && !(errors->count & (errors->count - 1)))
		entries = reallocarray(errors->entries, errors->count ? 2 * errors->count : 1,
				       sizeof(*entries));
	if (!copy || !entries) {
		errors->no_memory = true;
		return;
	}
	strcpy(copy, error.text);
	errors->entries = entries;
	entries[errors->count] = (struct config_error){ line, column, errors->count, TAKE(copy) };
	errors->count++;
}

void config_errors_add(struct config_errors *errors, uint32_t line, uint32_t column,
		       const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add(errors, line, column, format, arguments);
	va_end(arguments);
}

void config_node_refuse(struct config_errors *errors, struct config_node *node, const char *format,
			...)
{
	va_list arguments;

	node->broken = true;
	va_start(arguments, format);
	add(errors, node->line, node->column, format, arguments);
	va_end(arguments);
}

static int compare(const void *left, const void *right)
{
	const struct config_error *a = left, *b = right;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->number < b->number ? -1 : 1;
}

void config_errors_tell(struct config_errors *errors, config_file_report_fn report, void *user)
{
	if (errors->count)
		qsort(errors->entries, errors->count, sizeof(*errors->entries), compare);
	for (size_t i = 0; i < errors->count; i++)
		report(errors->entries[i].line, errors->entries[i].column, errors->entries[i].text,
		       user);
}

void config_errors_free(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->entries[i].text);
	free(errors->entries);
	*errors = (struct config_errors){ .entries = NULL };
}
