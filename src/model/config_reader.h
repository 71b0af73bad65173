/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/model/config_schema.h"
#include "src/model/config_tree.h"

/* From tree to configuration: for src/model/config_file*.c alone. */

struct node_list {
	struct config_node **nodes;
	size_t count;
};

/* Where a service stands in the file. */
struct service_origin {
	struct config_node *node;
	size_t first_listen, first_backend; /* in the reader's lists */
	bool own_backends;                  /* or those of `defaults` */
};

struct protocols {
	uint8_t numbers[2];
	size_t count;
};

struct config_reader {
	struct config *config;
	struct config_errors errors;
	struct config_tree tree;
	/* What every service starts from, and where that stands: NULL without `defaults`. */
	struct config_service template;
	struct config_node *defaults;
	struct node_list template_backends;
	struct protocols template_protocols;
	bool template_health; /* `defaults` says of which type checks are */
	/* The node of each element of the configuration; those that were refused are not in it. */
	struct node_list interfaces, addresses, listens, backends;
	struct service_origin *services;
	size_t backend_count; /* of all services */
};

/* false: no memory, which is remembered. */
bool node_list_add(struct config_reader *reader, struct node_list *list, struct config_node *node);

/* true: @node is of @type; otherwise that is reported as what is wrong with @key. */
bool config_reader_expect(struct config_reader *reader, const struct config_key *key,
			  struct config_node *node, enum config_node_type type);
/*
 * Reads all keys of a mapping into @object, except those with a shape of their own. @defaults: it is
 * `defaults`, where nothing is required and a service's own keys are refused.
 */
void config_reader_mapping(struct config_reader *reader, struct config_node *node,
			   const struct config_key *keys, void *object, bool defaults);
void config_reader_value(struct config_reader *reader, const struct config_key *key,
			 struct config_node *node, void *object);

/* allow, deny, except: config_file_lists.c. */
void config_reader_prefixes(struct config_reader *reader, const struct config_key *key,
			    struct config_node *list, void *object);
void config_reader_except(struct config_reader *reader, const struct config_key *key,
			  struct config_node *list, struct config_service *service);

void config_reader_defaults(struct config_reader *reader, struct config_node *node);
void config_reader_services(struct config_reader *reader, struct config_node *list);

/* The node that a path of config_check_all() means, or the nearest one around it. */
struct config_node *config_reader_resolve(const struct config_reader *reader, const char *path,
					  bool *ret_shared);
