// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/daemon/internal.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static int parse_endpoint(const json_t *arguments, const char *key, struct endpoint *ret,
			  bool *given, struct error *error)
{
	const json_t *value = json_object_get(arguments, key);
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return 0;
	if (!text || (endpoint_parse(text, ret) < 0 && endpoint_parse_any(text, ret) < 0))
		return error_set(error, -EINVAL,
				 "%s: '%s' is no address; expected ADDR or "
				 "ADDR:PORT",
				 key, text ? text : "");
	*given = true;
	return 0;
}

static int parse_service(const struct daemon *daemon, const json_t *arguments,
			 const struct service **ret, struct error *error)
{
	const json_t *value = json_object_get(arguments, "service");
	const char *name = json_string_value(value);

	if (!value || json_is_null(value))
		return 0;
	*ret = name ? registry_find_service(&daemon->registry, name) : NULL;
	if (!*ret)
		return error_set(error, -ENOENT, "there is no service '%s'; see: weir service list",
				 name ? name : "");
	return 0;
}

static int parse_reason(const json_t *arguments, int *ret, struct error *error)
{
	const json_t *value = json_object_get(arguments, "reason");
	const char *name = json_string_value(value);

	if (!value || json_is_null(value))
		return 0;
	for (int i = 0; name && i < WEIR_REASON_COUNT; i++)
		if (!strcmp(reason_names[i], name)) {
			*ret = i;
			return 0;
		}
	return error_set(error, -EINVAL, "there is no reason '%s'; see: weir status",
			 name ? name : "");
}

int filter_parse(const struct daemon *daemon, const json_t *arguments, struct filter *ret,
		 struct error *error)
{
	struct filter filter = { .reason = -1 };
	int err;

	err = parse_service(daemon, arguments, &filter.service, error);
	if (err == 0)
		err = parse_endpoint(arguments, "backend", &filter.backend, &filter.has_backend,
				     error);
	if (err == 0)
		err = parse_endpoint(arguments, "client", &filter.client, &filter.has_client,
				     error);
	if (err == 0)
		err = parse_reason(arguments, &filter.reason, error);
	if (err == 0)
		*ret = filter;
	return err;
}

static bool endpoint_matches(const struct endpoint *wanted, const struct endpoint *have)
{
	return address_equal(&wanted->address, &have->address) &&
	       (!wanted->port || wanted->port == have->port);
}

bool filter_takes_service(const struct filter *filter, const struct daemon *daemon, uint32_t id)
{
	return !filter->service || (id && filter->service == &daemon->registry.services[id]);
}

bool filter_takes_backend(const struct filter *filter, const struct daemon *daemon, uint32_t id)
{
	const struct backend *backend;

	if (!filter->has_backend)
		return true;
	backend = &daemon->registry.backends[id];
	return backend->used && endpoint_matches(&filter->backend, &backend->own.endpoint);
}

bool filter_takes_client(const struct filter *filter, const struct weir_address *address,
			 uint16_t port)
{
	struct endpoint client = { .address = *address, .port = be16toh(port) };

	return !filter->has_client || endpoint_matches(&filter->client, &client);
}
