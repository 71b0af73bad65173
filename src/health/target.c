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
	int order = memcmp(&left->backend.address, &right->backend.address,
			   sizeof(left->backend.address));

	if (!order)
		order = compare_numbers(left->backend.port, right->backend.port);
	if (!order)
		order = compare_numbers((uint32_t)left->way_count, (uint32_t)right->way_count);
	if (!order && left->way_count)
		order = memcmp(left->ways, right->ways, left->way_count * sizeof(*left->ways));
	return order ? order : compare_configs(&left->config, &right->config);
}

/* False: no memory. */
static bool copy_text(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return *ret || !text;
}

static bool copy_ways(const struct health_target *target, struct health_way **ret)
{
	*ret = target->way_count ? calloc(target->way_count, sizeof(**ret)) : NULL;
	if (*ret)
		memcpy(*ret, target->ways, target->way_count * sizeof(**ret));
	return *ret || !target->way_count;
}

int target_make(const struct health_target *what, const struct config_health *config,
		struct target *ret)
{
	struct target target = {
		.backend = what->backend,
		.way_count = what->way_count,
		.config = *config,
	};
	bool good;

	if (config->type == HEALTH_ICMP)
		target.backend.port = 0;
	else if (config->port)
		target.backend.port = config->port;
	good = copy_text(config->path, &target.config.path);
	good &= copy_text(config->host, &target.config.host);
	good &= copy_text(config->body, &target.config.body);
	good &= copy_text(config->command, &target.config.command);
	good &= copy_ways(what, &target.ways);
	if (!good) {
		target_done(&target);
		return -ENOMEM;
	}
	*ret = target;
	return 0;
}

void target_done(struct target *target)
{
	free(target->ways);
	free(target->config.path);
	free(target->config.host);
	free(target->config.body);
	free(target->config.command);
}

size_t target_places(const struct target *target)
{
	return target->way_count ? target->way_count : 1;
}

struct place target_place(const struct target *target, size_t number)
{
	struct place place = { .endpoint = target->backend };

	if (target->way_count) {
		place.endpoint.address = target->ways[number].check;
		place.service = &target->ways[number].service;
	}
	return place;
}

int place_bind(const struct place *place, int fd)
{
	bool v4 = address_is_v4(&place->endpoint.address);
	const struct endpoint any = {
		.address = v4 ? address_from_v4(0) : (struct weir_address){},
	};
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_socket(&any, &address);

	if (!place->service)
		return 0;
	return bind(fd, (struct sockaddr *)&address, length) < 0 ? -errno : 0;
}
