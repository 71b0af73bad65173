// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/config_reader.h"

/* Goes down from @node along "key.key"; stops where the file says no more. */
static struct config_node *descend(struct config_node *node, const char *path, size_t *ret_left)
{
	char key[64];

	while (*path) {
		const size_t length = strcspn(path, ".");
		struct config_node *child;

		snprintf(key, sizeof(key), "%.*s", (int)length, path);
		child = config_node_find(node, key);
		if (!child)
			break;
		node = child;
		path += length;
		path += *path == '.';
	}
	*ret_left = strlen(path);
	return node;
}

/* "name[12].rest": the number, and in @path what follows. */
static bool take_index(const char **path, const char *name, size_t *ret)
{
	const size_t length = strlen(name);
	char *end;

	if (strncmp(*path, name, length) != 0 || (*path)[length] != '[')
		return false;
	*ret = strtoul(*path + length + 1, &end, 10);
	end += *end == ']';
	*path = end + (*end == '.');
	return true;
}

/* The element of a list that services may inherit; the list itself if some of it was refused. */
static struct config_node *resolve_in_list(const struct config_reader *reader,
					   const struct service_origin *origin, const char *key,
					   size_t index, bool *ret_shared)
{
	struct config_node *list = config_node_find(origin->node, key), *node;

	*ret_shared = !list;
	if (!list && reader->defaults)
		list = config_node_find(reader->defaults, key);
	if (!list)
		return origin->node;
	for (node = list->first; node && index; index--)
		node = node->next;
	return list->broken || !node ? list : node;
}

static struct config_node *resolve_in_service(const struct config_reader *reader,
					      const struct service_origin *origin, const char *path,
					      bool *ret_shared)
{
	const bool own = !strcmp(path, "name") || !strcmp(path, "listen");
	struct config_node *node, *inherited;
	size_t index, left, least;

	if (take_index(&path, "listen", &index))
		return reader->listens.nodes[origin->first_listen + index];
	if (take_index(&path, "allow", &index))
		return resolve_in_list(reader, origin, "allow", index, ret_shared);
	if (take_index(&path, "deny", &index))
		return resolve_in_list(reader, origin, "deny", index, ret_shared);
	if (take_index(&path, "backends", &index)) {
		*ret_shared = !origin->own_backends;
		node = *ret_shared ? reader->template_backends.nodes[index] :
				     reader->backends.nodes[origin->first_backend + index];
		return descend(node, path, &left);
	}
	/* Where most of the path is written down: in the service, or in what it inherits. */
	node = descend(origin->node, path, &least);
	if (reader->defaults && !own) {
		inherited = descend(reader->defaults, path, &left);
		*ret_shared = left < least;
		node = left < least ? inherited : node;
		least = left < least ? left : least;
	}
	if (!strncmp(path, "timeouts.", 9)) {
		inherited = descend(reader->tree.root, path, &left);
		*ret_shared |= left < least;
		node = left < least ? inherited : node;
	}
	return node;
}

struct config_node *config_reader_resolve(const struct config_reader *reader, const char *path,
					  bool *ret_shared)
{
	struct config_node *node = reader->tree.root;
	size_t index, left;

	if (take_index(&path, "services", &index))
		return resolve_in_service(reader, &reader->services[index], path, ret_shared);
	if (take_index(&path, "snat.addresses", &index))
		return reader->addresses.nodes[index];
	if (take_index(&path, "interfaces", &index))
		node = reader->interfaces.nodes[index];
	return descend(node, path, &left);
}
