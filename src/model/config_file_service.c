// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_reader.h"
#include "src/model/listen.h"

static const struct config_key *service_key(const char *name)
{
	return config_key_find(config_service_keys, name);
}

static void out_of_memory(struct config_reader *reader)
{
	reader->errors.no_memory = true;
}

static void read_protocol(struct config_reader *reader, struct config_node *node,
			  struct protocols *protocols)
{
	uint8_t number;

	if (node->type == CONFIG_SCALAR && !strcmp(node->text, "tcp")) {
		number = IPPROTO_TCP;
	} else if (node->type == CONFIG_SCALAR && !strcmp(node->text, "udp")) {
		number = IPPROTO_UDP;
	} else {
		if (node->type != CONFIG_NOTHING)
			config_node_refuse(&reader->errors, node,
					   "protocol: '%.80s' is unknown; expected tcp or udp",
					   node->type == CONFIG_SCALAR ? node->text : "[...]");
		return;
	}
	if (protocols->count && (protocols->count == 2 || protocols->numbers[0] == number))
		config_node_refuse(&reader->errors, node, "protocol: %s is given twice; remove one",
				   node->text);
	else
		protocols->numbers[protocols->count++] = number;
}

/* false: they are wrong. Without the key the caller's default stays. */
static bool read_protocols(struct config_reader *reader, struct config_node *service,
			   struct protocols *protocols)
{
	struct config_node *node = config_node_find(service, "protocol");
	struct protocols given = { .count = 0 };
	bool good = true;

	if (!node)
		return true;
	if (node->broken)
		return false;
	if (node->type == CONFIG_SCALAR) {
		read_protocol(reader, node, &given);
		good = !node->broken;
	} else if (config_reader_expect(reader, service_key("protocol"), node, CONFIG_LIST)) {
		for (struct config_node *child = node->first; child; child = child->next) {
			read_protocol(reader, child, &given);
			good &= !child->broken;
		}
		if (!node->first)
			config_node_refuse(&reader->errors, node,
					   "protocol: the list is empty; expected tcp or udp");
	}
	if (good && given.count)
		*protocols = given;
	return good && given.count;
}

static void add_listen(struct config_reader *reader, struct config_service *service,
		       struct config_node *node, const struct config_listen *listen)
{
	struct config_listen *added = config_service_add_listen(service);

	if (added && node_list_add(reader, &reader->listens, node))
		*added = *listen;
	else
		out_of_memory(reader);
}

static void read_listen(struct config_reader *reader, struct config_service *service,
			struct config_node *node, const struct protocols *protocols)
{
	struct config_listen listen;
	bool own;

	if (!config_reader_expect(reader, service_key("listen"), node, CONFIG_SCALAR))
		return;
	if (listen_parse(node->text, &listen) < 0) {
		config_node_refuse(&reader->errors, node,
				   "listen: '%.80s' is no address with a port; expected ADDR:PORT, "
				   "ADDR:LOW-HIGH or ADDR:any, IPv6 as \"[ADDR]:PORT\"",
				   node->text);
		return;
	}
	own = listen.protocol;
	for (size_t i = 0; i < (own ? 1 : protocols->count); i++) {
		if (!own)
			listen.protocol = protocols->numbers[i];
		add_listen(reader, service, node, &listen);
	}
}

static void read_listens(struct config_reader *reader, struct config_service *service,
			 struct config_node *node, const struct protocols *protocols)
{
	if (node->broken)
		return;
	if (node->type == CONFIG_SCALAR) {
		read_listen(reader, service, node, protocols);
		return;
	}
	if (!config_reader_expect(reader, service_key("listen"), node, CONFIG_LIST))
		return;
	for (struct config_node *child = node->first; child; child = child->next) {
		read_listen(reader, service, child, protocols);
		node->broken |= child->broken;
	}
}

static void read_backend(struct config_reader *reader, struct config_service *service,
			 struct node_list *nodes, struct config_node *node)
{
	struct config_backend *backend;

	if (node->type == CONFIG_NOTHING)
		return;
	if (node->type == CONFIG_LIST) {
		config_node_refuse(&reader->errors, node,
				   "backends: is a list; expected ADDR[:PORT] or a mapping");
		return;
	}
	backend = config_service_add_backend(service);
	if (!backend || !node_list_add(reader, nodes, node)) {
		out_of_memory(reader);
		return;
	}
	if (node->type == CONFIG_MAPPING)
		config_reader_mapping(reader, node, config_backend_keys, backend, false);
	else
		config_reader_value(reader, config_backend_keys, node, backend);
}

/* The node that says the address, or the backend's if none does. */
static struct config_node *address_node(struct config_node *backend)
{
	struct config_node *node = config_node_find(backend, "address");

	return node ? node : backend;
}

static void read_backends(struct config_reader *reader, struct config_service *service,
			  struct node_list *nodes, struct config_node *list)
{
	service->backend_count = 0;
	if (list->broken ||
	    !config_reader_expect(reader, service_key("backends"), list, CONFIG_LIST))
		return;
	for (struct config_node *node = list->first; node; node = node->next)
		read_backend(reader, service, nodes, node);
}

/* 0: the service listens nowhere, or on several ports. */
static uint16_t only_port(const struct config_service *service)
{
	for (size_t i = 1; i < service->listen_count; i++)
		if (service->listens[i].endpoint.port != service->listens[0].endpoint.port)
			return 0;
	return service->listen_count ? service->listens[0].endpoint.port : 0;
}

/* A backend without a port has the service's. @nodes: those of its backends. */
static void complete_ports(struct config_reader *reader, struct config_service *service,
			   struct config_node *const *nodes)
{
	const uint16_t port = only_port(service);

	if (service_is_wide(service))
		return;
	for (size_t i = 0; i < service->backend_count; i++) {
		struct endpoint *endpoint = &service->backends[i].endpoint;
		struct config_node *node = address_node(nodes[i]);

		if (endpoint->port)
			continue;
		endpoint->port = port;
		if (port || node->broken)
			continue;
		if (service->listen_count > 1)
			config_node_refuse(&reader->errors, node,
					   "address: has no port, and the service listens on "
					   "several; expected ADDR:PORT");
		node->broken = true;
	}
}

/* What depends on a value that could not be read is not looked at. */
static void excuse_health(struct config_node *health)
{
	const struct config_node *type = config_node_find(health, "type");
	const struct config_node *interval = config_node_find(health, "interval");
	struct config_node *timeout = config_node_find(health, "timeout");

	if (interval && interval->broken && timeout)
		timeout->broken = true;
	if (!type || !type->broken)
		return;
	health->broken = true;
	for (struct config_node *key = health->first; key && key->next; key = key->next->next)
		key->next->broken = true;
}

/* Another type of check leaves nothing of what only the old one knows. */
static void forget_other_type(struct config_health *health, const struct config_node *node)
{
	const struct config_node *type = node ? config_node_find(node, "type") : NULL;

	if (!type || type->type != CONFIG_SCALAR || health_type_parse(type->text) < 0 ||
	    health_type_parse(type->text) == (int)health->type)
		return;
	free(health->path);
	free(health->host);
	free(health->body);
	free(health->command);
	health->path = health->host = health->body = health->command = NULL;
	health->status = 0;
	if (!strcmp(type->text, "icmp") || !strcmp(type->text, "none"))
		health->port = 0;
}

static void read_health(struct config_service *service, struct config_node *node, bool *known)
{
	*known |= node && config_node_find(node, "type");
	if (node && node->type == CONFIG_MAPPING)
		excuse_health(node);
	if (!*known)
		service->health.type = strstr(service_protocols(service), "tcp") ? HEALTH_TCP :
										   HEALTH_ICMP;
}

void config_reader_defaults(struct config_reader *reader, struct config_node *node)
{
	struct config_service *template = &reader->template;
	struct config_node *backends, *health;

	reader->defaults = node;
	config_reader_mapping(reader, node, config_service_keys, template, true);
	if (!read_protocols(reader, node, &reader->template_protocols))
		reader->template_protocols.count = 0;
	backends = config_node_find(node, "backends");
	if (backends)
		read_backends(reader, template, &reader->template_backends, backends);
	health = config_node_find(node, "health");
	read_health(template, health, &reader->template_health);
}

/* Those of the service, or copies of those of `defaults`. */
static void take_backends(struct config_reader *reader, struct config_service *service,
			  struct service_origin *origin)
{
	struct config_node *list = config_node_find(origin->node, "backends");
	struct config_node *const *nodes;

	origin->own_backends = list;
	origin->first_backend = reader->backends.count;
	nodes = reader->template_backends.nodes;
	if (list) {
		read_backends(reader, service, &reader->backends, list);
		nodes = reader->backends.nodes;
	}
	reader->backend_count += service->backend_count;
	if (!reader->errors.no_memory && service->backend_count)
		complete_ports(reader, service, nodes + (list ? origin->first_backend : 0));
}

/* It would leave out what the service does not have. */
static void check_except(struct config_reader *reader, const struct config_service *service,
			 struct config_node *node, const struct config_node *listen)
{
	struct config_node *except = config_node_find(node, "except");

	if (except && listen && !except->broken && !listen->broken && !service_is_wide(service))
		config_node_refuse(&reader->errors, except,
				   "except: the service listens on single ports; it goes with "
				   "ADDR:any and ADDR:LOW-HIGH");
}

static void read_service(struct config_reader *reader, struct config_node *node)
{
	struct config_service *service = config_add_service(reader->config);
	struct service_origin *origin;
	struct config_node *listen = config_node_find(node, "listen");
	struct protocols protocols = { { IPPROTO_TCP }, 1 };
	bool known = reader->template_health, good;

	if (!service || config_service_copy(&reader->template, service) < 0) {
		out_of_memory(reader);
		return;
	}
	origin = &reader->services[reader->config->service_count - 1];
	*origin = (struct service_origin){ .node = node, .first_listen = reader->listens.count };
	if (reader->template_health)
		forget_other_type(&service->health, config_node_find(node, "health"));
	config_reader_mapping(reader, node, config_service_keys, service, false);
	if (reader->template_protocols.count)
		protocols = reader->template_protocols;
	good = read_protocols(reader, node, &protocols);
	if (listen && good)
		read_listens(reader, service, listen, &protocols);
	else if (listen)
		listen->broken = true;
	check_except(reader, service, node, listen);
	take_backends(reader, service, origin);
	read_health(service, config_node_find(node, "health"), &known);
}

void config_reader_services(struct config_reader *reader, struct config_node *list)
{
	const size_t backends_each = reader->template.backend_count;

	reader->services = calloc(list->count + 1, sizeof(*reader->services));
	if (!reader->services) {
		out_of_memory(reader);
		return;
	}
	for (struct config_node *node = list->first; node; node = node->next) {
		if (reader->errors.no_memory)
			return;
		if (node->type != CONFIG_MAPPING) {
			if (node->type != CONFIG_NOTHING)
				config_node_refuse(&reader->errors, node,
						   "services: expected a mapping with name, listen "
						   "and backends");
			continue;
		}
		/* Small files can ask for much by `defaults`: not before it is taken. */
		if (reader->backend_count + backends_each > CONFIG_BACKENDS_MOST) {
			config_node_refuse(&reader->errors, node,
					   "services: too many backends in all; expected at most "
					   "1000000");
			return;
		}
		read_service(reader, node);
	}
}
