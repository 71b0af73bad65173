/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Aligned columns on stdout, for lists that fit in memory. */

struct table_column {
	const char *title;
	bool right;   /* numbers */
	int priority; /* where the terminal is too narrow the highest leave first; 0: stays */
	size_t least; /* of the last column: its text may be cut off behind that much; 0: never */
};

struct table {
	const struct table_column *columns;
	size_t column_count;
	char **cells;
	size_t cell_count;
	size_t cell_size;
	bool failed; /* no memory for a cell; table_print() reports it */
};

#define TABLE_MAX_COLUMNS 16

#define TABLE(list)                                                                                \
	{                                                                                          \
		.columns = (list), .column_count = sizeof(list) / sizeof((list)[0])                \
	}

/* Appends the next cell, row by row. */
__attribute__((format(printf, 2, 3))) void table_add(struct table *table, const char *format, ...);
/* @width: columns of the terminal, 0: no limit. 0 or -ENOMEM. */
int table_print(const struct table *table, size_t width);
void table_release(struct table *table);

/* Columns of the terminal on stdout, 0 if it is none. */
size_t terminal_width(void);
