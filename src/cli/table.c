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

static void measure(const struct table *table, size_t widths[TABLE_MAX_COLUMNS])
{
	for (size_t c = 0; c < table->column_count; c++) {
		widths[c] = strlen(table->columns[c].title);
		for (size_t i = c; i < table->cell_count; i += table->column_count) {
			size_t length = strlen(table->cells[i]);

			if (length > widths[c])
				widths[c] = length;
		}
	}
}

static size_t total_of(const struct table *table, const size_t widths[TABLE_MAX_COLUMNS])
{
	size_t total = 0;

	for (size_t c = 0; c < table->column_count; c++)
		total += widths[c] + GAP;
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

/* Which columns are shown, and in *widths how wide the last one may be. */
static int fit(const struct table *table, size_t widths[TABLE_MAX_COLUMNS], size_t width)
{
	const size_t last = table->column_count - 1;
	const size_t least = table->columns[last].least, whole = widths[last];
	size_t others = 0;
	int limit;

	if (!width || !least || whole <= least)
		return priority_that_fits(table, widths, total_of(table, widths), width);
	widths[last] = least;
	limit = priority_that_fits(table, widths, total_of(table, widths), width);
	for (size_t c = 0; c < last; c++)
		if (table->columns[c].priority < limit)
			others += widths[c] + GAP;
	if (others + least < width)
		widths[last] = whole < width - others ? whole : width - others;
	return limit;
}

static void print_cell(const char *cell, size_t width)
{
	const size_t dots = strlen("...");
	size_t length = width > dots ? width - dots : 0;

	if (strlen(cell) <= width) {
		fputs(cell, stdout);
		return;
	}
	while (length && (cell[length] & 0xc0) == 0x80) /* UTF-8: no part of a character */
		length--;
	printf("%.*s...", (int)length, cell);
}

int table_print(const struct table *table, size_t width)
{
	size_t rows = table->cell_count / table->column_count;
	size_t widths[TABLE_MAX_COLUMNS] = { 0 };
	int limit;

	if (table->failed)
		return -ENOMEM;
	measure(table, widths);
	limit = fit(table, widths, width);
	for (size_t row = 0; row < rows + 1; row++) {
		size_t blanks = 0; /* written only before more text: no line ends in blanks */

		for (size_t c = 0; c < table->column_count; c++) {
			const struct table_column *column = &table->columns[c];
			const char *cell = row ? table->cells[(row - 1) * table->column_count + c] :
						 column->title;
			const size_t length = strlen(cell);
			size_t padding = length < widths[c] ? widths[c] - length : 0;

			if (column->priority >= limit)
				continue;
			if (column->right)
				blanks += padding;
			if (cell[0]) {
				printf("%*s", (int)blanks, "");
				print_cell(cell, widths[c]);
			}
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
