// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_reader.h"

#define FILE_MOST (256UL << 20)
#define KEYS_MOST 32

bool node_list_add(struct config_reader *reader, struct node_list *list, struct config_node *node)
{
	struct config_node **nodes = list->nodes;

	if (!(list->count & (list->count - 1)))
		nodes = reallocarray(nodes, list->count ? 2 * list->count : 1, sizeof(*nodes));
	if (!nodes) {
		reader->errors.no_memory = true;
		return false;
	}
	list->nodes = nodes;
	nodes[list->count++] = node;
	return true;
}

bool config_reader_expect(struct config_reader *reader, const struct config_key *key,
			  struct config_node *node, enum config_node_type type)
{
	static const char *const names[] = { "a single value", "a list", "a mapping" };
	char buffer[256];

	if (node->type == type)
		return true;
	if (node->type != CONFIG_NOTHING)
		config_node_refuse(&reader->errors, node, "%s: is %s; expected %s", key->name,
				   names[node->type], config_value_expected(key, buffer));
	return false;
}

static bool is_null(const struct config_node *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

	for (size_t i = 0; node->plain && i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (!strcmp(node->text, nulls[i]))
			return true;
	return false;
}

void config_reader_value(struct config_reader *reader, const struct config_key *key,
			 struct config_node *node, void *object)
{
	struct error error;
	char buffer[256];
	int r;

	if (key->type == CONFIG_TYPE_LATER) {
		config_node_refuse(&reader->errors, node, "%s: is not supported yet; remove it",
				   key->name);
		return;
	}
	if (node->type == CONFIG_SCALAR && is_null(node)) {
		config_node_refuse(&reader->errors, node, "%s: has no value; expected %s",
				   key->name, config_value_expected(key, buffer));
		return;
	}
	if (key->type > CONFIG_TYPE_LATER)
		return;
	if (key->type == CONFIG_TYPE_MAPPING) {
		if (config_reader_expect(reader, key, node, CONFIG_MAPPING))
			config_reader_mapping(reader, node, key->keys, (char *)object + key->offset,
					      false);
		return;
	}
	if (key->type == CONFIG_TYPE_PREFIXES || key->type == CONFIG_TYPE_EXCEPT) {
		if (!config_reader_expect(reader, key, node, CONFIG_LIST) || node->broken)
			return;
		if (key->type == CONFIG_TYPE_PREFIXES)
			config_reader_prefixes(reader, key, node, object);
		else
			config_reader_except(reader, key, node, object);
		return;
	}
	if (!config_reader_expect(reader, key, node, CONFIG_SCALAR) || node->broken)
		return;
	r = config_value_read(key, node->text, node->plain, object, &error);
	if (r == -ENOMEM)
		reader->errors.no_memory = true;
	else if (r < 0)
		config_node_refuse(&reader->errors, node, "%s", error.text);
}

/* "flows, half_open": those that may stand there. */
static const char *name_keys(const struct config_key *keys, bool defaults, char buffer[static 256])
{
	size_t used = 0;

	buffer[0] = '\0';
	for (const struct config_key *key = keys; key->name; key++)
		if (key->type != CONFIG_TYPE_LATER && !(defaults && key->own) && used < 256)
			used += (size_t)snprintf(buffer + used, 256 - used, "%s%s",
						 used ? ", " : "", key->name);
	return buffer;
}

/* The key's row, or NULL after reporting. */
static const struct config_key *find_key(struct config_reader *reader, struct config_node *node,
					 const struct config_key *keys, bool defaults)
{
	const struct config_key *key;
	const char *nearest;
	char names[256];

	if (node->type != CONFIG_SCALAR) {
		if (node->type != CONFIG_NOTHING)
			config_node_refuse(&reader->errors, node,
					   "a key is a list or mapping; expected a word");
		return NULL;
	}
	key = config_key_find(keys, node->text);
	if (key && !(defaults && key->own))
		return key;
	nearest = config_key_nearest(keys, node->text);
	if (key)
		config_node_refuse(&reader->errors, node,
				   "%s: belongs to each service, not to defaults", key->name);
	else if (node->plain && !strcmp(node->text, "<<"))
		config_node_refuse(&reader->errors, node,
				   "merge keys (<<) are not supported; use defaults");
	else
		config_node_refuse(&reader->errors, node, "unknown key '%.80s'; %s%s%s", node->text,
				   nearest ? "did you mean " : "expected ",
				   nearest ? nearest : name_keys(keys, defaults, names),
				   nearest ? "?" : "");
	return NULL;
}

void config_reader_mapping(struct config_reader *reader, struct config_node *node,
			   const struct config_key *keys, void *object, bool defaults)
{
	uint32_t seen_at[KEYS_MOST] = { 0 };

	for (struct config_node *name = node->first; name && name->next; name = name->next->next) {
		const struct config_key *key = find_key(reader, name, keys, defaults);

		if (!key)
			continue;
		if (seen_at[key - keys]) {
			config_node_refuse(&reader->errors, name,
					   "duplicate key '%s', also given in line %u; remove one",
					   key->name, seen_at[key - keys]);
			continue;
		}
		seen_at[key - keys] = name->line;
		config_reader_value(reader, key, name->next, object);
	}
	for (const struct config_key *key = keys; key->name; key++)
		if (key->required && !defaults && !seen_at[key - keys])
			config_node_refuse(&reader->errors, node, "%s: missing; expected it here",
					   key->name);
}

static void read_interface(struct config_reader *reader, struct config_node *node)
{
	struct config_interface *interface = config_add_interface(reader->config);

	if (!interface || !node_list_add(reader, &reader->interfaces, node)) {
		reader->errors.no_memory = true;
		return;
	}
	if (node->type == CONFIG_MAPPING)
		config_reader_mapping(reader, node, config_interface_keys, interface, false);
	else
		config_reader_value(reader, config_interface_keys, node, interface);
}

static void read_interfaces(struct config_reader *reader, const struct config_key *key,
			    struct config_node *list)
{
	if (!config_reader_expect(reader, key, list, CONFIG_LIST))
		return;
	for (struct config_node *node = list->first; node; node = node->next) {
		if (node->type == CONFIG_LIST)
			config_node_refuse(&reader->errors, node,
					   "interfaces: is a list; expected a name or a mapping");
		else if (node->type != CONFIG_NOTHING)
			read_interface(reader, node);
	}
}

static void read_address(struct config_reader *reader, const struct config_key *key,
			 struct config_node *node)
{
	struct weir_address address, *added;

	if (node->type == CONFIG_NOTHING)
		return;
	if (node->type != CONFIG_SCALAR || address_parse(node->text, &address) < 0) {
		config_node_refuse(&reader->errors, node,
				   "%s: '%.80s' is no address; expected "
				   "a list of IPv4 and IPv6 addresses",
				   key->name, node->type == CONFIG_SCALAR ? node->text : "[...]");
		return;
	}
	added = config_add_snat_address(reader->config);
	if (!added || !node_list_add(reader, &reader->addresses, node)) {
		reader->errors.no_memory = true;
		return;
	}
	*added = address;
}

static void read_addresses(struct config_reader *reader, struct config_node *snat)
{
	const struct config_key *snat_key = config_key_find(config_root_keys, "snat");
	const struct config_key *key = config_key_find(snat_key->keys, "addresses");
	struct config_node *list = config_node_find(snat, key->name);

	if (!list || list->broken || !config_reader_expect(reader, key, list, CONFIG_LIST))
		return;
	for (struct config_node *node = list->first; node; node = node->next)
		read_address(reader, key, node);
}

/* The value of a key with a shape of its own, if there is one to read. */
static struct config_node *root_value(const struct config_reader *reader, const char *name,
				      const struct config_key **ret_key)
{
	struct config_node *node = config_node_find(reader->tree.root, name);

	*ret_key = config_key_find(config_root_keys, name);
	return node && !node->broken ? node : NULL;
}

static void read_root(struct config_reader *reader)
{
	struct config_node *root = reader->tree.root, *node;
	const struct config_key *key;

	if (root->type != CONFIG_MAPPING) {
		if (root->type != CONFIG_NOTHING)
			config_node_refuse(&reader->errors, root,
					   "expected a mapping with interfaces and services");
		return;
	}
	config_reader_mapping(reader, root, config_root_keys, reader->config, false);
	node = root_value(reader, "interfaces", &key);
	if (node)
		read_interfaces(reader, key, node);
	node = root_value(reader, "snat", &key);
	if (node)
		read_addresses(reader, node);
	node = root_value(reader, "timeouts", &key);
	if (node && config_reader_expect(reader, key, node, CONFIG_MAPPING))
		config_reader_mapping(reader, node, key->keys, &reader->template.timeouts, false);
	node = root_value(reader, "defaults", &key);
	if (node && config_reader_expect(reader, key, node, CONFIG_MAPPING))
		config_reader_defaults(reader, node);
	node = root_value(reader, "services", &key);
	if (node && config_reader_expect(reader, key, node, CONFIG_LIST))
		config_reader_services(reader, node);
}

static void place_error(const char *path, const char *text, void *user)
{
	struct config_reader *reader = user;
	bool shared = false;
	struct config_node *node = config_reader_resolve(reader, path, &shared);

	/* What could not be read is not worth a second word. */
	if (node->broken)
		return;
	config_errors_add(&reader->errors, node->line, node->column, "%s", text);
	/* Nor what every service inherits. */
	node->broken = shared;
}

static void free_reader(struct config_reader *reader)
{
	config_service_free(&reader->template);
	free(reader->template_backends.nodes);
	free(reader->interfaces.nodes);
	free(reader->addresses.nodes);
	free(reader->listens.nodes);
	free(reader->backends.nodes);
	free(reader->services);
	config_tree_free(&reader->tree);
	config_errors_free(&reader->errors);
}

/* Built-in defaults of a service. false: no memory. */
static bool init_template(struct config_reader *reader)
{
	_cleanup_(config_free) struct config config;

	config_init(&config);
	if (!config_add_service(&config))
		return false;
	return config_service_copy(config.services, &reader->template) == 0;
}

int config_file_parse(const char *text, size_t length, struct config *config,
		      config_file_report_fn report, void *user)
{
	_cleanup_(free_reader) struct config_reader reader = { .config = config };

	if (!init_template(&reader))
		return -ENOMEM;
	config_tree_parse(text, length, &reader.tree, &reader.errors);
	if (reader.tree.root && !reader.errors.no_memory) {
		read_root(&reader);
		if (!reader.errors.no_memory && reader.tree.root->type == CONFIG_MAPPING &&
		    config_check_all(config, place_error, &reader) < 0)
			return -ENOMEM;
	}
	if (reader.errors.no_memory)
		return -ENOMEM;
	config_errors_tell(&reader.errors, report, user);
	return reader.errors.count ? -EINVAL : 0;
}

/* *ret is the caller's. */
static int read_all(FILE *file, char **ret, size_t *ret_length)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0, room = 0, count;

	do {
		char *longer = text;

		if (length == room) {
			room = room ? 2 * room : 65536;
			longer = realloc(text, room);
		}
		if (!longer)
			return -ENOMEM;
		text = longer;
		count = fread(text + length, 1, room - length, file);
		length += count;
		if (length > FILE_MOST)
			return -EFBIG;
	} while (count);
	if (ferror(file))
		return errno ? -errno : -EIO;
	*ret = TAKE(text);
	*ret_length = length;
	return 0;
}

int config_file_load(const char *path, struct config *config, config_file_report_fn report,
		     void *user)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int r;

	if (!file)
		return -errno;
	r = read_all(file, &text, &length);
	if (r < 0)
		return r;
	return config_file_parse(text, length, config, report, user);
}
