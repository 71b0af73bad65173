// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_checker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"

/* A network of `allow` or `deny`, and where it stands. */
struct rule {
	const struct prefix *prefix;
	const char *key;
	size_t index;
};

static int compare_prefixes(const struct rule *a, const struct rule *b)
{
	const int r = memcmp(&a->prefix->address, &b->prefix->address, sizeof(a->prefix->address));

	return r ? r : (int)a->prefix->length - b->prefix->length;
}

/* Equal ones in the order in which they were given, `allow` first. */
static int compare_rules(const void *left, const void *right)
{
	const struct rule *a = left, *b = right;
	int r = compare_prefixes(a, b);

	if (!r)
		r = strcmp(a->key, b->key);
	return r ? r : (a->index > b->index) - (a->index < b->index);
}

static size_t count_of(const struct prefix_list *list)
{
	return list ? list->count : 0;
}

static size_t add_rules(struct rule *rules, const char *key, const struct prefix_list *list)
{
	for (size_t i = 0; i < count_of(list); i++)
		rules[i] = (struct rule){ &list->entries[i], key, i };
	return count_of(list);
}

/* I6. */
static int check_doubles(const struct config_service *service, size_t index,
			 struct checker *checker)
{
	_cleanup_free_ struct rule *rules = NULL;
	char text[PREFIX_STRING_SIZE];
	size_t count;

	rules = calloc(count_of(service->allow) + count_of(service->deny) + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	count = add_rules(rules, "allow", service->allow);
	count += add_rules(rules + count, "deny", service->deny);
	qsort(rules, count, sizeof(*rules), compare_rules);
	for (size_t i = 1; i < count; i++) {
		const struct rule *first = &rules[i - 1], *again = &rules[i];

		if (compare_prefixes(first, again))
			continue;
		prefix_format(again->prefix, text);
		checker_tell(
			checker,
			checker_path("services[%zu].%s[%zu]", index, again->key, again->index).text,
			SERVICE ": %s: %s is %s; remove one", service->name, again->key, text,
			strcmp(first->key, again->key) != 0 ? "in allow, too" : "given twice");
	}
	return 0;
}

int config_check_access(const struct config *config, struct checker *checker)
{
	const struct config_service *before = NULL;
	size_t total = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];
		/* Those from `defaults` are one list; it is looked at once. */
		const bool known = before && before->allow == service->allow &&
				   before->deny == service->deny;

		before = service;
		if (known || (!service->allow && !service->deny))
			continue;
		total += count_of(service->allow) + count_of(service->deny);
		r = check_doubles(service, i, checker);
	}
	if (total > CONFIG_PREFIXES_MOST)
		checker_tell(checker, "services",
			     "services: %zu networks in allow and deny of all; expected at most %d",
			     total, CONFIG_PREFIXES_MOST);
	return r;
}
