/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/prefix.h"

/*
 * The networks of `allow` or `deny`, as the file has them. A list is never changed, and shared by all
 * that have it: ten thousand services with one list from `defaults` hold one list. Not for threads.
 */
struct prefix_list {
	uint32_t users;
	uint64_t hash; /* of the entries */
	size_t count;
	struct prefix entries[];
};

/* A copy of @entries, for one user. NULL: no memory. */
struct prefix_list *prefix_list_new(const struct prefix *entries, size_t count);
/* One user more, or less; NULL is fine, and no prefix at all. */
struct prefix_list *prefix_list_ref(struct prefix_list *list);
void prefix_list_unref(struct prefix_list *list);

/* A total order; 0: the same networks in the same order. */
int prefix_list_compare(const struct prefix_list *a, const struct prefix_list *b);
