// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/cleanup.h"
#include "src/daemon/access.h"

#include <arpa/inet.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#define V4_LENGTH 96 /* of ::ffff:0.0.0.0/96, which is all of IPv4 */

struct access_list {
	uint32_t id;
	uint32_t users;
	struct prefix_list *allow, *deny;
	uint64_t ticket; /* retired */
	struct access_list *next;
};

/* All rules of a list: in @keys first those that allow, then those that deny. */
struct rules {
	struct weir_access_key *keys;
	size_t allow, deny;
};

static int compare_lists(const void *left, const void *right)
{
	const struct access_list *a = left, *b = right;
	const int r = prefix_list_compare(a->allow, b->allow);

	return r ? r : prefix_list_compare(a->deny, b->deny);
}

void access_init(struct access *access)
{
	*access = (struct access){ .retired_end = &access->retired };
}

static void free_list(void *node)
{
	struct access_list *list = node;

	prefix_list_unref(list->allow);
	prefix_list_unref(list->deny);
	free(list);
}

void access_free(struct access *access)
{
	tdestroy(access->lists, free_list);
	while (access->retired) {
		struct access_list *list = access->retired;

		access->retired = list->next;
		free_list(list);
	}
	free(access->old);
	*access = (struct access){ .lists = NULL };
}

static struct weir_access_key make_key(const struct access_list *list, const struct prefix *prefix)
{
	return (struct weir_access_key){
		.length = WEIR_ACCESS_LIST_BITS + prefix->length,
		.list = list->id,
		.network = prefix->address,
	};
}

static bool holds(const struct prefix_list *list, const struct prefix *prefix)
{
	for (size_t i = 0; list && i < list->count; i++)
		if (list->entries[i].length == prefix->length &&
		    address_equal(&list->entries[i].address, &prefix->address))
			return true;
	return false;
}

static size_t add_keys(const struct access_list *list, const struct prefix_list *prefixes,
		       struct weir_access_key *keys)
{
	for (size_t i = 0; prefixes && i < prefixes->count; i++)
		keys[i] = make_key(list, &prefixes->entries[i]);
	return prefixes ? prefixes->count : 0;
}

/*
 * What all addresses of a family get that meet no other rule. Those of IPv4 lie in ::/0, but who writes that
 * means IPv6.
 */
static size_t add_rest(const struct access_list *list, struct weir_access_key *keys)
{
	const struct prefix rest[] = {
		{ .length = 0 },
		{ .address = address_from_v4(0), .length = V4_LENGTH },
	};
	size_t count = 0;

	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		if (!holds(list->allow, &rest[i]) && !holds(list->deny, &rest[i]))
			keys[count++] = make_key(list, &rest[i]);
	return count;
}

static int make_rules(const struct access_list *list, struct rules *ret)
{
	const size_t allow = list->allow ? list->allow->count : 0;
	const size_t deny = list->deny ? list->deny->count : 0;
	struct rules rules = { .keys = calloc(allow + deny + 2, sizeof(*rules.keys)) };

	if (!rules.keys)
		return -ENOMEM;
	rules.allow = add_keys(list, list->allow, rules.keys);
	if (!allow)
		rules.allow += add_rest(list, rules.keys);
	rules.deny = add_keys(list, list->deny, rules.keys + rules.allow);
	if (allow)
		rules.deny += add_rest(list, rules.keys + rules.allow + rules.deny);
	*ret = rules;
	return 0;
}

static void remove_rules(const struct access_list *list, struct datapath *datapath)
{
	struct rules rules;

	if (make_rules(list, &rules) < 0)
		return; /* they name a list that nobody names, until the next daemon finds them */
	datapath_remove_access(datapath, rules.keys, rules.allow + rules.deny);
	free(rules.keys);
}

static int put_rules(const struct access_list *list, struct datapath *datapath)
{
	struct rules rules;
	int r = make_rules(list, &rules);

	if (r < 0)
		return r;
	r = datapath_put_access(datapath, rules.keys, rules.allow, WEIR_ACCESS_ALLOW);
	if (!r)
		r = datapath_put_access(datapath, rules.keys + rules.allow, rules.deny,
					WEIR_ACCESS_DENY);
	if (r)
		datapath_remove_access(datapath, rules.keys, rules.allow + rules.deny);
	free(rules.keys);
	return r;
}

static void keep_old(const struct weir_access_key *key, void *user)
{
	struct access *access = user;
	const size_t room = access->old_room ? 2 * access->old_room : 64;
	struct weir_access_key *grown;

	if (key->list > access->last_id)
		access->last_id = key->list;
	if (access->old_count == access->old_room) {
		grown = reallocarray(access->old, room, sizeof(*grown));
		if (!grown)
			return; /* they stay for the next daemon */
		access->old = grown;
		access->old_room = room;
	}
	access->old[access->old_count++] = *key;
}

int access_adopt(struct access *access, struct datapath *datapath)
{
	return datapath_list_access(datapath, keep_old, access);
}

void access_retire_old(struct access *access, const struct grace *grace)
{
	if (access->old_count && !access->old_ticket)
		access->old_ticket = grace_ticket(grace);
}

static int new_list(struct access *access, struct datapath *datapath,
		    const struct access_list *wanted, struct access_list **ret)
{
	struct access_list *list = malloc(sizeof(*list));
	int r;

	if (!list)
		return -ENOMEM;
	*list = (struct access_list){ .id = access->last_id + 1 ? access->last_id + 1 : 1 };
	list->allow = prefix_list_ref(wanted->allow);
	list->deny = prefix_list_ref(wanted->deny);
	r = put_rules(list, datapath);
	if (!r && !tsearch(list, &access->lists, compare_lists)) {
		remove_rules(list, datapath);
		r = -ENOMEM;
	}
	if (r) {
		free_list(list);
		return r;
	}
	access->last_id = list->id;
	*ret = list;
	return 0;
}

int access_take(struct access *access, struct datapath *datapath,
		const struct config_service *config, struct access_list **ret)
{
	const struct access_list wanted = { .allow = config->allow, .deny = config->deny };
	struct access_list **found, *list = NULL;
	int r = 0;

	if (!config->allow && !config->deny) {
		*ret = NULL;
		return 0;
	}
	found = tfind(&wanted, &access->lists, compare_lists);
	if (found)
		list = *found;
	else
		r = new_list(access, datapath, &wanted, &list);
	if (r)
		return r;
	list->users++;
	*ret = list;
	return 0;
}

void access_put(struct access *access, struct access_list *list, const struct grace *grace)
{
	if (!list || --list->users)
		return;
	tdelete(list, &access->lists, compare_lists);
	list->ticket = grace_ticket(grace);
	*access->retired_end = list;
	access->retired_end = &list->next;
}

uint32_t access_id(const struct access_list *list)
{
	return list ? list->id : 0;
}

void access_collect(struct access *access, struct datapath *datapath, const struct grace *grace)
{
	while (access->retired && grace_over(grace, access->retired->ticket)) {
		struct access_list *list = access->retired;

		access->retired = list->next;
		if (!access->retired)
			access->retired_end = &access->retired;
		remove_rules(list, datapath);
		free_list(list);
	}
	if (!access->old_ticket || !grace_over(grace, access->old_ticket))
		return;
	datapath_remove_access(datapath, access->old, access->old_count);
	free(access->old);
	access->old = NULL;
	access->old_count = access->old_room = 0;
	access->old_ticket = 0;
}
