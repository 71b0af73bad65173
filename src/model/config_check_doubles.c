// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/config_checker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"

/* An endpoint or a name, made comparable to find doubles by sorting. */
struct place {
	struct weir_address address;
	uint16_t port;
	uint8_t protocol;
	uint32_t service;
	uint32_t index;
};

/* Without service and index, so that equal means: the same place. */
static int compare_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	int r;

	r = memcmp(&a->address, &b->address, sizeof(a->address));
	if (r)
		return r;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return (int)a->protocol - b->protocol;
}

/* The same, and equal ones in the order in which they were given. */
static int order_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;
	int r = compare_places(left, right);

	if (r)
		return r;
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static struct place place_of(const struct endpoint *endpoint, uint8_t protocol, size_t service,
			     size_t index)
{
	return (struct place){ endpoint->address, endpoint->port, protocol, (uint32_t)service,
			       (uint32_t)index };
}

static void check_interfaces(const struct config *config, struct place *scratch,
			     struct checker *checker)
{
	const struct config_interface *interfaces = config->interfaces;

	_Static_assert(sizeof(interfaces->name) == sizeof(scratch->address), "a name fits in");
	for (size_t i = 0; i < config->interface_count; i++) {
		scratch[i] = (struct place){ .index = (uint32_t)i };
		strncpy((char *)&scratch[i].address, interfaces[i].name,
			sizeof(scratch[i].address));
	}
	qsort(scratch, config->interface_count, sizeof(*scratch), order_places);
	for (size_t i = 1; i < config->interface_count; i++)
		if (!compare_places(&scratch[i - 1], &scratch[i]))
			checker_tell(checker,
				     checker_path("interfaces[%u].name", scratch[i].index).text,
				     "interfaces: %.15s is given twice; remove one",
				     interfaces[scratch[i].index].name);
}

static void check_snat(const struct config *config, struct place *scratch, struct checker *checker)
{
	const struct config_snat *snat = &config->snat;
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < snat->address_count; i++)
		scratch[i] = (struct place){ .address = snat->addresses[i], .index = (uint32_t)i };
	qsort(scratch, snat->address_count, sizeof(*scratch), order_places);
	for (size_t i = 1; i < snat->address_count; i++)
		if (!compare_places(&scratch[i - 1], &scratch[i]))
			checker_tell(checker,
				     checker_path("snat.addresses[%u]", scratch[i].index).text,
				     "snat.addresses: %s is given twice; remove one",
				     address_format(&scratch[i].address, text));
}

/* I3 for one service. @scratch has room for its backends. */
static void check_backends(const struct config_service *service, size_t index,
			   struct place *scratch, struct checker *checker)
{
	char text[ENDPOINT_STRING_SIZE];

	for (size_t i = 0; i < service->backend_count; i++)
		scratch[i] = place_of(&service->backends[i].endpoint, 0, index, i);
	qsort(scratch, service->backend_count, sizeof(*scratch), order_places);
	for (size_t i = 1; i < service->backend_count; i++) {
		const struct place *again = &scratch[i];

		if (compare_places(&scratch[i - 1], again))
			continue;
		endpoint_format_any(&(struct endpoint){ again->address, again->port }, text);
		checker_tell(checker,
			     checker_path("services[%zu].backends[%u].address", index, again->index)
				     .text,
			     SERVICE ": backend %s is given twice; remove one", service->name,
			     text);
	}
}

struct named {
	const char *name;
	size_t index;
};

static int compare_names(const void *left, const void *right)
{
	const struct named *a = left, *b = right;
	int r = strncmp(a->name, b->name, sizeof(((struct config_service *)NULL)->name));

	return r ? r : a->index < b->index ? -1 : a->index > b->index;
}

/* I1, the second half. */
static int check_names(const struct config *config, struct checker *checker)
{
	_cleanup_free_ struct named *names = calloc(config->service_count + 1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < config->service_count; i++)
		names[i] = (struct named){ config->services[i].name, i };
	qsort(names, config->service_count, sizeof(*names), compare_names);
	for (size_t i = 1; i < config->service_count; i++)
		if (!strncmp(names[i - 1].name, names[i].name,
			     sizeof(((struct config_service *)NULL)->name)))
			checker_tell(
				checker, checker_path("services[%zu].name", names[i].index).text,
				SERVICE ": two services have this name; rename one", names[i].name);
	return 0;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

int config_check_doubles(const struct config *config, struct checker *checker)
{
	_cleanup_free_ struct place *scratch = NULL;
	size_t backend_count = 0;
	size_t most = larger(config->interface_count, config->snat.address_count);

	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *service = &config->services[i];

		backend_count += service->backend_count;
		most = larger(most, service->backend_count);
	}
	if (backend_count > CONFIG_BACKENDS_MOST) {
		checker_tell(checker, "services",
			     "services: %zu backends in all; expected at most 1000000",
			     backend_count);
		return 0;
	}
	scratch = calloc(most + 1, sizeof(*scratch));
	if (!scratch)
		return -ENOMEM;
	check_interfaces(config, scratch, checker);
	check_snat(config, scratch, checker);
	for (size_t i = 0; i < config->service_count; i++)
		check_backends(&config->services[i], i, scratch, checker);
	return check_names(config, checker);
}
