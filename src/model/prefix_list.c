// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/prefix_list.h"

#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"

static uint64_t hash_of(const struct prefix *entries, size_t count)
{
	uint64_t hash = count;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < 4; j++)
			hash = weir_hash_mix(hash ^ entries[i].address.word[j]);
		hash = weir_hash_mix(hash ^ entries[i].length);
	}
	return hash;
}

struct prefix_list *prefix_list_new(const struct prefix *entries, size_t count)
{
	struct prefix_list *list = calloc(1, sizeof(*list) + count * sizeof(*entries));

	if (!list)
		return NULL;
	list->users = 1;
	list->hash = hash_of(entries, count);
	list->count = count;
	/* One by one: what lies between the members shall be zero, for memcmp(). */
	for (size_t i = 0; i < count; i++) {
		list->entries[i].address = entries[i].address;
		list->entries[i].length = entries[i].length;
	}
	return list;
}

struct prefix_list *prefix_list_ref(struct prefix_list *list)
{
	if (list)
		list->users++;
	return list;
}

void prefix_list_unref(struct prefix_list *list)
{
	if (list && !--list->users)
		free(list);
}

int prefix_list_compare(const struct prefix_list *a, const struct prefix_list *b)
{
	if (a == b)
		return 0;
	if (!a || !b)
		return a ? 1 : -1;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	return memcmp(a->entries, b->entries, a->count * sizeof(*a->entries));
}
