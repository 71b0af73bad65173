/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/model/config_file.h"

/* A YAML document as it stands in the file, each node with its place: for config_file.c alone. */

#define CONFIG_TREE_DEPTH 16

enum config_node_type {
	CONFIG_SCALAR,
	CONFIG_LIST,
	CONFIG_MAPPING, /* its children are key, value, key, value */
	CONFIG_NOTHING, /* what stood here has been refused */
};

struct config_node {
	enum config_node_type type;
	bool plain;  /* a scalar without quotes */
	bool broken; /* an error about it has been reported */
	uint32_t line, column;
	uint32_t count;            /* of children; characters of a scalar */
	const char *text;          /* of a scalar, ends with NUL */
	struct config_node *first; /* child */
	struct config_node *next;  /* sibling */
};

/* Errors wait here until all are known, to be told in the order of their positions. */
struct config_errors {
	struct config_error {
		uint32_t line, column;
		size_t number;
		char *text;
	} * entries;
	size_t count;
	bool no_memory; /* one at least was lost, or something else had no room */
};

__attribute__((format(printf, 4, 5))) void config_errors_add(struct config_errors *errors,
							     uint32_t line, uint32_t column,
							     const char *format, ...);
/* At a node, which is broken then. */
__attribute__((format(printf, 3, 4))) void
config_node_refuse(struct config_errors *errors, struct config_node *node, const char *format, ...);
void config_errors_tell(struct config_errors *errors, config_file_report_fn report, void *user);
void config_errors_free(struct config_errors *errors);

struct config_tree {
	struct config_node *root; /* NULL: there is none, and errors say why */
	struct config_tree_chunk *chunks;
};

/* What is wrong goes to @errors; after a syntax error there is no root. */
void config_tree_parse(const char *text, size_t length, struct config_tree *ret,
		       struct config_errors *errors);
void config_tree_free(struct config_tree *tree);

/* The value of @key in a mapping, or NULL. */
struct config_node *config_node_find(const struct config_node *mapping, const char *key);
