// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/base/parse.h"
#include "src/model/config_reader.h"

/* Lists of single values that any service may have, and `defaults` for all. */

static void refuse(struct config_reader *reader, const struct config_key *key,
		   struct config_node *node, const char *expected)
{
	if (node->type != CONFIG_NOTHING)
		config_node_refuse(&reader->errors, node, "%s: '%.80s' is wrong; expected %s",
				   key->name, node->type == CONFIG_SCALAR ? node->text : "[...]",
				   expected);
}

/* false: refused. */
static bool read_prefix(struct config_reader *reader, const struct config_key *key,
			struct config_node *node, struct prefix *ret)
{
	char text[PREFIX_STRING_SIZE];
	int r = node->type == CONFIG_SCALAR ? prefix_parse(node->text, ret) : -EINVAL;

	if (r == 0)
		return true;
	if (r == -ERANGE)
		config_node_refuse(
			&reader->errors, node,
			"%s: '%.80s' has bits set behind its length; expected %s for the "
			"network, or the address alone",
			key->name, node->text, prefix_format(ret, text));
	else
		refuse(reader, key, node, "a network, ADDR/LENGTH, or an address");
	return false;
}

void config_reader_prefixes(struct config_reader *reader, const struct config_key *key,
			    struct config_node *list, void *object)
{
	_cleanup_free_ struct prefix *prefixes = calloc(list->count + 1, sizeof(*prefixes));
	char *place = (char *)object + key->offset;
	struct prefix_list *before, *now = NULL;
	size_t count = 0;

	for (struct config_node *node = list->first; prefixes && node; node = node->next)
		if (read_prefix(reader, key, node, &prefixes[count]))
			count++;
		else
			list->broken = true;
	if (prefixes && count)
		now = prefix_list_new(prefixes, count);
	if (!prefixes || (count && !now)) {
		reader->errors.no_memory = true;
		return;
	}
	memcpy(&before, place, sizeof(before));
	prefix_list_unref(before);
	memcpy(place, &now, sizeof(now));
}

/* "PORT" or "LOW-HIGH". */
static int parse_ports(const char *text, struct config_ports *ret)
{
	uint64_t port;

	if (parse_port_range(text, &ret->first, &ret->last) == 0)
		return 0;
	if (parse_number(text, &port) < 0 || port < 1 || port > UINT16_MAX)
		return -EINVAL;
	ret->first = ret->last = (uint16_t)port;
	return 0;
}

void config_reader_except(struct config_reader *reader, const struct config_key *key,
			  struct config_node *list, struct config_service *service)
{
	for (struct config_node *node = list->first; node; node = node->next) {
		struct config_ports ports = { 0 }, *added;

		if (node->type != CONFIG_SCALAR || parse_ports(node->text, &ports) < 0) {
			refuse(reader, key, node, "PORT or LOW-HIGH, 1 to 65535");
			list->broken = true;
			continue;
		}
		added = config_service_add_except(service);
		if (!added) {
			reader->errors.no_memory = true;
			return;
		}
		*added = ports;
	}
}
