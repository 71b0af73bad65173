// SPDX-License-Identifier: GPL-2.0-only
#include "abi/hash.h"

#include "src/netlink/table.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_SIZE = 16 };

void list_init(struct list *node)
{
	node->next = node;
	node->previous = node;
}

bool list_empty(const struct list *head)
{
	return head->next == head;
}

void list_remove(struct list *node)
{
	node->previous->next = node->next;
	node->next->previous = node->previous;
	list_init(node);
}

void list_move(struct list *head, struct list *node)
{
	list_remove(node);
	node->previous = head->previous;
	node->next = head;
	head->previous->next = node;
	head->previous = node;
}

struct list *list_pop(struct list *head)
{
	struct list *node = head->next;

	if (node == head)
		return NULL;
	list_remove(node);
	return node;
}

static void put(struct table_node **buckets, uint32_t size, struct table_node *node)
{
	struct table_node **bucket = &buckets[node->hash & (size - 1)];

	node->next = *bucket;
	*bucket = node;
}

static int grow(struct table *table)
{
	uint32_t size = table->size ? table->size * 2 : FIRST_SIZE;
	struct table_node **buckets = calloc(size, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->size; i++) {
		struct table_node *node = table->buckets[i];

		while (node) {
			struct table_node *next = node->next;

			put(buckets, size, node);
			node = next;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->size = size;
	return 0;
}

int table_insert(struct table *table, struct table_node *node, uint32_t hash)
{
	if (table->count >= table->size) {
		int error = grow(table);

		/* A crowded table still works; one without buckets does not. */
		if (error < 0 && !table->size)
			return error;
	}
	node->hash = hash;
	put(table->buckets, table->size, node);
	table->count++;
	return 0;
}

void table_remove(struct table *table, struct table_node *node)
{
	struct table_node **place = &table->buckets[node->hash & (table->size - 1)];

	while (*place != node)
		place = &(*place)->next;
	*place = node->next;
	table->count--;
}

static struct table_node *same_hash(struct table_node *node, uint32_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct table_node *table_first(const struct table *table, uint32_t hash)
{
	if (!table->size)
		return NULL;
	return same_hash(table->buckets[hash & (table->size - 1)], hash);
}

struct table_node *table_next(const struct table_node *node)
{
	return same_hash(node->next, node->hash);
}

void table_free(struct table *table)
{
	free(table->buckets);
	*table = (struct table){ 0 };
}

uint32_t table_hash(const struct weir_address *address, uint32_t ifindex)
{
	uint64_t high = (uint64_t)address->word[0] << 32 | address->word[1];
	uint64_t low = (uint64_t)address->word[2] << 32 | address->word[3];

	return weir_hash_mix(weir_hash_mix(weir_hash_mix(high) ^ low) ^ ifindex) >> 32;
}
