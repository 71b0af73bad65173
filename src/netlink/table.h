/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/address.h"

/* Intrusive containers: the owner embeds the node, so that insertion and removal hold no memory. */

#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* A doubly linked ring; a node that is in no list points at itself. */
struct list {
	struct list *next;
	struct list *previous;
};

void list_init(struct list *node);
bool list_empty(const struct list *head);
/* Moves @node from where it is, if anywhere, to the end of @head. */
void list_move(struct list *head, struct list *node);
void list_remove(struct list *node);
/* Takes the first node out of @head; NULL if it is empty. */
struct list *list_pop(struct list *head);

/* Safe against removal of @node, not of the node after it. */
#define LIST_FOR_EACH(node, head)                                                                  \
	for (struct list *node = (head)->next, *node##_next = node->next; node != (head);          \
	     node = node##_next, node##_next = node->next)

struct table_node {
	struct table_node *next;
	uint32_t hash;
};

/* A hash table that grows by itself; zeroed memory is an empty one. */
struct table {
	struct table_node **buckets;
	uint32_t size;
	uint32_t count;
};

/* Returns 0 or -ENOMEM. */
int table_insert(struct table *table, struct table_node *node, uint32_t hash);
void table_remove(struct table *table, struct table_node *node);
/* The nodes of one hash, one after another; NULL at the end. */
struct table_node *table_first(const struct table *table, uint32_t hash);
struct table_node *table_next(const struct table_node *node);
/* Frees the buckets, not the nodes. */
void table_free(struct table *table);

uint32_t table_hash(const struct weir_address *address, uint32_t ifindex);
