// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/check_leftovers.h"
#include "src/daemon/internal.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of checks that cannot be made are not tried one by one. */
#define AGAIN_MS 1000
#define MEND_MS 5000

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, offsetof(struct check_way, users));
}

static int open_programs(struct daemon *daemon, struct error *error)
{
	struct check_paths *paths = &daemon->check_paths;
	const char *state = daemon->options->state_path;
	char name[CHECK_LINK_NAME_MOST + 1];
	int err;

	if (!paths->ways)
		paths->ways = calloc(WEIR_CHECK_PLACES, sizeof(*paths->ways));
	if (!paths->ways)
		return error_set(error, -ENOMEM, "out of memory");
	check_link_name(state, name);
	err = check_link_make(name, &paths->link, error);
	if (err < 0)
		return err;
	err = check_path_open(check_owner(state), &paths->programs, error);
	if (err == 0)
		err = check_path_attach(paths->programs, paths->link.ifindex, CHECK_OUT, error);
	for (size_t i = 0; err == 0 && daemon->interfaces && i < daemon->config->interface_count;
	     i++)
		if (daemon->interfaces[i].ifindex)
			err = check_path_attach(paths->programs, daemon->interfaces[i].ifindex,
						CHECK_IN, error);
	if (err < 0) {
		check_path_close(paths->programs);
		paths->programs = NULL;
		check_link_remove(name);
	}
	return err;
}

static int be_open(struct daemon *daemon, struct error *error)
{
	struct check_paths *paths = &daemon->check_paths;
	uint64_t now = uv_now(&daemon->loop);

	if (paths->programs)
		return 0;
	if (paths->failed < 0 && now - paths->failed_ms < AGAIN_MS)
		return error_set(error, paths->failed, "%s", paths->why.text);
	paths->failed = open_programs(daemon, error);
	paths->failed_ms = now;
	if (paths->failed < 0)
		paths->why = *error;
	return paths->failed;
}

/* An address of this host that a backend which has @service can answer to; zero: there is none. */
static struct weir_address source_towards(const struct daemon *daemon, const struct hop *hop,
					  const struct weir_address *service)
{
	const struct weir_address *route = &hop->state.source;

	if (!address_is_zero(route) && address_is_v4(route) == address_is_v4(service))
		return *route;
	return host_address_near(daemon, service);
}

/* The source of the outer header, as traffic has it. */
static struct weir_address outer_source(const struct daemon *daemon, const struct hop *hop)
{
	const union weir_range fixed = snat_fixed_for(daemon, &hop->address);

	return fixed.length ? daemon->snat_pool.table[fixed.offset] : hop->state.source;
}

static struct weir_check way_of(const struct daemon *daemon, const struct check_way *way)
{
	uint16_t id = hops_find(&daemon->hops, &way->backend, 0);
	const struct hop *hop = &daemon->hops.entries[id];
	struct weir_check check = {
		.service = way->service,
		.outer_source = outer_source(daemon, hop),
		.outer_destination = way->backend,
		.encapsulate = way->encapsulates,
	};

	check.source = source_towards(daemon, hop, &way->service);
	if (!id || !hop->known || !hop->state.reachable || address_is_zero(&check.source))
		return check;
	memcpy(check.destination_mac, hop->state.mac, sizeof(check.destination_mac));
	memcpy(check.source_mac, hop->state.source_mac, sizeof(check.source_mac));
	check.ifindex = hop->state.ifindex;
	return check;
}

/* Tells the program, if it does not know that already. */
static void follow(struct daemon *daemon, uint32_t place)
{
	struct check_paths *paths = &daemon->check_paths;
	struct check_way *way = &paths->ways[place];
	struct weir_check now = way_of(daemon, way);
	char text[ENDPOINT_STRING_SIZE];
	struct error error = {};
	int err = 0;

	if (!memcmp(&now, &way->live, sizeof(now)))
		return;
	if (now.ifindex)
		err = check_path_attach(paths->programs, now.ifindex, CHECK_IN, &error);
	if (err == 0)
		err = check_path_set(paths->programs, place, now.ifindex ? &now : NULL);
	if (err < 0)
		log_error("health checks of %s: %s", address_format(&way->backend, text),
			  error.text[0] ? error.text : strerror(-err));
	way->live = now;
}

static int take_one(struct daemon *daemon, const struct check_way *key, uint32_t *ret,
		    struct error *error)
{
	struct check_paths *paths = &daemon->check_paths;
	struct check_way *const *found = tfind(key, &paths->known, compare);
	uint32_t place = found ? (uint32_t)(*found - paths->ways) : paths->free;

	if (!place && paths->used + 1 < WEIR_CHECK_PLACES)
		place = paths->used + 1;
	if (!place)
		return error_set(error, -ENOSPC,
				 "more than %d pairs of service address and backend",
				 WEIR_CHECK_PLACES - 1);
	if (!found) {
		uint32_t next = paths->ways[place].next_free;

		paths->ways[place] = *key;
		if (!tsearch(&paths->ways[place], &paths->known, compare))
			return error_set(error, -ENOMEM, "out of memory");
		if (place == paths->free)
			paths->free = next;
		else
			paths->used = place;
	}
	paths->ways[place].users++;
	follow(daemon, place);
	*ret = place;
	return 0;
}

static void put_one(struct daemon *daemon, uint32_t place)
{
	struct check_paths *paths = &daemon->check_paths;
	struct check_way *way = &paths->ways[place];

	if (--way->users)
		return;
	tdelete(way, &paths->known, compare);
	check_path_set(paths->programs, place, NULL);
	*way = (struct check_way){ .next_free = paths->free };
	paths->free = place;
}

static bool has_way(const struct check_places *places, const struct weir_address *service)
{
	for (size_t i = 0; i < places->count; i++)
		if (address_equal(&places->ways[i].service, service))
			return true;
	return false;
}

static int take_all(struct daemon *daemon, const struct backend *backend,
		    struct check_places *places, struct error *error)
{
	const struct config_service *service = &daemon->registry.services[backend->service].own;
	struct check_way key = {
		.backend = backend->config->endpoint.address,
		.encapsulates = service->mode == WEIR_MODE_IPIP,
	};

	for (size_t i = 0; i < service->listen_count && places->count < CHECK_ADDRESSES_MOST; i++) {
		uint32_t *place = &places->place[places->count];
		int err;

		key.service = service->listens[i].endpoint.address;
		if (has_way(places, &key.service))
			continue;
		if (!address_is_v4(&key.service) && !daemon->check_paths.link.has_v6)
			return error_set(error, -EAFNOSUPPORT, "IPv6 is switched off on this host");
		err = take_one(daemon, &key, place, error);
		if (err < 0)
			return err;
		places->ways[places->count++] = (struct health_way){
			.service = key.service,
			.check = check_link_address(&daemon->check_paths.link, *place,
						    &key.service),
		};
	}
	return 0;
}

int check_paths_take(struct daemon *daemon, const struct backend *backend,
		     struct check_places **ret, struct error *error)
{
	struct check_places *places;
	int err;

	*ret = NULL;
	if (daemon->registry.services[backend->service].own.mode == WEIR_MODE_NAT)
		return 0;
	err = be_open(daemon, error);
	if (err < 0)
		return err;
	places = calloc(1, sizeof(*places));
	if (!places)
		return error_set(error, -ENOMEM, "out of memory");
	err = take_all(daemon, backend, places, error);
	if (err < 0) {
		check_paths_put(daemon, places);
		return err;
	}
	*ret = places;
	return 0;
}

void check_paths_put(struct daemon *daemon, struct check_places *places)
{
	if (!places)
		return;
	while (places->count)
		put_one(daemon, places->place[--places->count]);
	free(places);
}

bool check_paths_same(const struct check_places *a, const struct check_places *b)
{
	if (!a || !b)
		return a == b;
	return a->count == b->count && !memcmp(a->place, b->place, a->count * sizeof(a->place[0]));
}

void check_paths_follow(struct daemon *daemon, const struct backend *backend)
{
	const struct check_places *places = backend->places;

	for (size_t i = 0; places && i < places->count; i++)
		follow(daemon, places->place[i]);
}

void check_paths_follow_all(struct daemon *daemon)
{
	for (uint32_t place = 1; place <= daemon->check_paths.used; place++)
		if (daemon->check_paths.ways[place].users)
			follow(daemon, place);
}

/* Without it all these backends would be down: somebody's mistake is mended, but not without end. */
void check_paths_mend(struct daemon *daemon)
{
	struct check_paths *paths = &daemon->check_paths;
	uint64_t now = uv_now(&daemon->loop);
	char name[CHECK_LINK_NAME_MOST + 1];
	struct check_link link;
	struct error error;
	int err;

	if (!paths->programs || (paths->mended_ms && now - paths->mended_ms < MEND_MS) ||
	    check_link_stands(&paths->link))
		return;
	paths->mended_ms = now;
	check_link_name(daemon->options->state_path, name);
	err = check_link_make(name, &link, &error);
	if (err == 0 && link.part != paths->link.part)
		err = error_set(&error, -EEXIST, "its part of the range is somebody else's");
	if (err == 0) {
		paths->link = link;
		err = check_path_attach(paths->programs, link.ifindex, CHECK_OUT, &error);
	}
	if (err < 0)
		log_error("the interface %s of health checks, or its route, was removed and cannot "
			  "be made anew: %s",
			  name, error.text);
	else
		log_warning("somebody removed the interface %s of health checks, or its route: "
			    "made anew",
			    name);
}

static void keep(void *node)
{
}

void check_paths_close(struct daemon *daemon)
{
	struct check_paths *paths = &daemon->check_paths;
	char name[CHECK_LINK_NAME_MOST + 1];

	if (paths->programs) {
		check_link_name(daemon->options->state_path, name);
		check_path_close(paths->programs);
		check_link_remove(name);
	}
	tdestroy(paths->known, keep);
	free(paths->ways);
	*paths = (struct check_paths){};
}
