// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/table.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define GAP 2

void table_add(struct table *table, const char *format, ...)
{
	va_list arguments;
	char *cell;
	int length;

	if (table->cell_count == table->cell_size) {
		size_t size = table->cell_size ? 2 * table->cell_size : 64;
		char **grown = reallocarray(table->cells, size, sizeof(*grown));

		if (!grown) {
			table->failed = true;
			return;
		}
		table->cells = grown;
		table->cell_size = size;
	}
	va_start(arguments, format);
	length = vasprintf(&cell, format, arguments);
	va_end(arguments);
	if (length < 0)
		table->failed = true;
	else
		table->cells[table->cell_count++] = cell;
}

static size_t measure(const struct table *table, size_t widths[TABLE_MAX_COLUMNS])
{
	size_t total = 0;

	for (size_t c = 0; c < table->column_count; c++) {
		widths[c] = strlen(table->columns[c].title);
		for (size_t i = c; i < table->cell_count; i += table->column_count) {
			size_t length = strlen(table->cells[i]);

			if (length > widths[c])
				widths[c] = length;
		}
		total += widths[c] + GAP;
	}
	return total - GAP;
}

/* Says below which priority columns are shown so that a row fits into @width. */
static int priority_that_fits(const struct table *table, const size_t widths[TABLE_MAX_COLUMNS],
			      size_t total, size_t width)
{
	int limit = INT_MAX;

	while (width > 0 && total > width) {
		int highest = 0;

		for (size_t c = 0; c < table->column_count; c++) {
			int priority = table->columns[c].priority;

			if (priority < limit && priority > highest)
				highest = priority;
		}
		if (highest == 0)
			break;
		limit = highest;
		for (size_t c = 0; c < table->column_count; c++)
			if (table->columns[c].priority == limit)
				total -= widths[c] + GAP;
	}
	return limit;
}

int table_print(const struct table *table, size_t width)
{
	size_t rows = table->cell_count / table->column_count;
	size_t widths[TABLE_MAX_COLUMNS];
	int limit;

	if (table->failed)
		return -ENOMEM;
	limit = priority_that_fits(table, widths, measure(table, widths), width);
	for (size_t row = 0; row < rows + 1; row++) {
		size_t blanks = 0; /* written only before more text: no line ends in blanks */

		for (size_t c = 0; c < table->column_count; c++) {
			const struct table_column *column = &table->columns[c];
			const char *cell = row ? table->cells[(row - 1) * table->column_count + c] :
						 column->title;
			size_t padding = widths[c] - strlen(cell);

			if (column->priority >= limit)
				continue;
			if (column->right)
				blanks += padding;
			if (cell[0])
				printf("%*s%s", (int)blanks, "", cell);
			blanks = (cell[0] ? 0 : blanks) + (column->right ? 0 : padding) + GAP;
		}
		putchar('\n');
	}
	return 0;
}

void table_release(struct table *table)
{
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i]);
	free(table->cells);
	table->cells = NULL;
	table->cell_count = table->cell_size = 0;
}

size_t terminal_width(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
