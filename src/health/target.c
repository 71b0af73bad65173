// SPDX-License-Identifier: GPL-2.0-only
#include "src/health/health.h"
#include "src/health/target.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_texts(const char *a, const char *b)
{
	if (!a || !b)
		return !!a - !!b;
	return strcmp(a, b);
}

static int compare_configs(const struct config_health *a, const struct config_health *b)
{
	const uint32_t numbers[][2] = {
		{ a->type, b->type },     { a->interval, b->interval }, { a->timeout, b->timeout },
		{ a->rise, b->rise },     { a->fall, b->fall },         { a->port, b->port },
		{ a->status, b->status },
	};
	const char *const texts[][2] = {
		{ a->path, b->path },
		{ a->host, b->host },
		{ a->body, b->body },
		{ a->command, b->command },
	};
	int order = 0;

	for (size_t i = 0; !order && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		order = compare_numbers(numbers[i][0], numbers[i][1]);
	for (size_t i = 0; !order && i < sizeof(texts) / sizeof(texts[0]); i++)
		order = compare_texts(texts[i][0], texts[i][1]);
	return order;
}

bool health_same_check(const struct config_health *a, const struct config_health *b)
{
	return compare_configs(a, b) == 0;
}

int target_compare(const void *a, const void *b)
{
	const struct target *left = a, *right = b;
	int order = memcmp(&left->endpoint.address, &right->endpoint.address,
			   sizeof(left->endpoint.address));

	if (!order)
		order = compare_numbers(left->endpoint.port, right->endpoint.port);
	return order ? order : compare_configs(&left->config, &right->config);
}

/* False: no memory. */
static bool copy_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return *ret || !text;
}

int target_make(const struct endpoint *endpoint, const struct config_health *config,
		struct target *ret)
{
	struct target target = { .endpoint = *endpoint, .config = *config };
	bool good;

	if (config->type == HEALTH_ICMP)
		target.endpoint.port = 0;
	else if (config->port)
		target.endpoint.port = config->port;
	good = copy_text(config->path, &target.config.path);
	good &= copy_text(config->host, &target.config.host);
	good &= copy_text(config->body, &target.config.body);
	good &= copy_text(config->command, &target.config.command);
	if (!good) {
		target_done(&target);
		return -ENOMEM;
	}
	*ret = target;
	return 0;
}

void target_done(struct target *target)
{
	free(target->config.path);
	free(target->config.host);
	free(target->config.body);
	free(target->config.command);
}

socklen_t target_socket_address(const struct target *target, struct sockaddr_storage *ret)
{
	const struct weir_address *address = &target->endpoint.address;
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memset(ret, 0, sizeof(*ret));
	if (address_is_v4(address)) {
		v4.sin_port = htons(target->endpoint.port);
		v4.sin_addr.s_addr = address_to_v4(address);
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_port = htons(target->endpoint.port);
	memcpy(&v6.sin6_addr, address, sizeof(v6.sin6_addr));
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}
