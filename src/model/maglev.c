// SPDX-License-Identifier: GPL-2.0-only
#include "src/model/maglev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/hash.h"
#include "src/base/arithmetic.h"
#include "src/base/cleanup.h"

#define SLOTS_EACH 100
/* What all tables together may take while each could be smaller: 8 MiB. */
#define SLOTS_OF_ALL (1 << 20)
/* Tables grow to this size as long as there is room: fewer than 1 % of them move for nothing. */
#define SLOTS_ENOUGH 65537
#define SLOTS_ENOUGH_FOR_MANY 131071
#define MANY_BACKENDS 200
/* Places that a slot of an unusable backend looks at before it takes the next usable one. */
#define SECOND_CHOICES 8

/* Frozen: the largest primes below powers of two, and Maglev's own 65,537. */
static const uint32_t sizes[] = {
	1021,   2039,   4093,    8191,    16381,   32749,   65537,    131071,
	262139, 524287, 1048573, 2097143, 4194301, 8388593, 16777213,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A backend that is at work on the table. */
struct member {
	const struct maglev_backend *backend;
	uint32_t place; /* the next one in its order of all places */
	uint32_t step;
	uint32_t credit; /* takes a slot whenever this reaches the largest weight */
};

size_t maglev_services(const struct config *config)
{
	size_t count = 0;

	for (size_t i = 0; i < config->service_count; i++)
		count += scheduler_hashes(config->services[i].scheduler);
	return count;
}

size_t maglev_size(const struct config_service *service, size_t services)
{
	const uint64_t count = service->backend_count;
	const uint64_t room = SLOTS_OF_ALL / (services ? services : 1);
	uint64_t enough = count > MANY_BACKENDS ? SLOTS_ENOUGH_FOR_MANY : SLOTS_ENOUGH;
	uint64_t divisor = 0, sum = 0, least;

	for (size_t i = 0; i < count; i++) {
		sum += service->backends[i].weight;
		divisor = greatest_common_divisor(service->backends[i].weight, divisor);
	}
	least = divisor ? sum / divisor : 0;
	if (least < count * SLOTS_EACH)
		least = count * SLOTS_EACH;
	for (size_t i = 0; i + 1 < COUNT(sizes); i++)
		if (sizes[i] >= least && (sizes[i] >= enough || sizes[i + 1] > room))
			return sizes[i];
	return sizes[COUNT(sizes) - 1];
}

/* In the order of the bytes on the wire, which no machine changes. */
static uint64_t hash_of(const struct endpoint *endpoint)
{
	const uint32_t *word = endpoint->address.word;
	uint64_t high = (uint64_t)ntohl(word[0]) << 32 | ntohl(word[1]);
	uint64_t low = (uint64_t)ntohl(word[2]) << 32 | ntohl(word[3]);

	return weir_hash_mix(weir_hash_mix(weir_hash_mix(high) ^ low) ^ endpoint->port);
}

static int compare_members(const void *left, const void *right)
{
	const struct endpoint *a = &((const struct member *)left)->backend->endpoint;
	const struct endpoint *b = &((const struct member *)right)->backend->endpoint;
	int r = memcmp(&a->address, &b->address, sizeof(a->address));

	return r ? r : (int)a->port - (int)b->port;
}

static struct member *make_members(const struct maglev_backend *backends, size_t count,
				   uint32_t size)
{
	struct member *members = calloc(count, sizeof(*members));

	for (size_t i = 0; members && i < count; i++) {
		const uint64_t hash = hash_of(&backends[i].endpoint);

		members[i] = (struct member){
			.backend = &backends[i],
			.place = (uint32_t)(hash % size),
			.step = 1 + (uint32_t)(weir_hash_mix(~hash) % (size - 1)),
		};
	}
	if (members)
		qsort(members, count, sizeof(*members), compare_members);
	return members;
}

/* The first free place in the member's order, which visits each: the size is a prime. */
static uint32_t take_place(struct member *member, const uint32_t *owners, uint32_t size)
{
	while (owners[member->place]) {
		member->place += member->step;
		if (member->place >= size)
			member->place -= size;
	}
	return member->place;
}

/* Fills @owners with indices of members, plus 1. */
static void fill(struct member *members, size_t count, uint32_t *owners, uint32_t size)
{
	uint32_t most = 0, left = size;

	for (size_t i = 0; i < count; i++)
		if (members[i].backend->weight > most)
			most = members[i].backend->weight;
	while (left) {
		for (size_t i = 0; i < count && left; i++) {
			members[i].credit += members[i].backend->weight;
			if (members[i].credit < most)
				continue;
			members[i].credit -= most;
			owners[take_place(&members[i], owners, size)] = (uint32_t)i + 1;
			left--;
		}
	}
}

static bool serves(const struct member *members, const uint32_t *owners, uint32_t place)
{
	return members[owners[place] - 1].backend->usable;
}

/* For each place the next one, itself included, whose owner is usable. */
static void find_next(const struct member *members, const uint32_t *owners, uint32_t size,
		      uint32_t *next)
{
	uint32_t nearest = 0;

	for (uint32_t i = 2 * size; i-- > 0;) {
		const uint32_t place = i % size;

		if (serves(members, owners, place))
			nearest = place;
		next[place] = nearest;
	}
}

/*
 * Who serves at @place: its owner, or who owns the first of some other places, always the same for this one,
 * whose owner is usable. These fall on backends by their weights; and while one more goes down,
 * nothing changes for those that had found another one.
 */
static uint32_t server_of(const struct member *members, const uint32_t *owners, uint32_t size,
			  const uint32_t *next, uint32_t place)
{
	uint32_t other = place;

	for (uint32_t i = 0; i < SECOND_CHOICES && !serves(members, owners, other); i++)
		other = (uint32_t)(weir_hash_mix((uint64_t)(i + 1) << 32 | place) % size);
	return owners[next[other]] - 1;
}

static bool any_usable(const struct maglev_backend *backends, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (backends[i].usable)
			return true;
	return false;
}

int maglev_build(const struct maglev_backend *backends, size_t count, size_t size,
		 struct weir_slot **ret)
{
	_cleanup_free_ struct member *members = NULL;
	_cleanup_free_ uint32_t *owners = NULL, *next = NULL;
	const uint32_t length = (uint32_t)size;
	struct weir_slot *slots;

	if (!any_usable(backends, count)) {
		*ret = NULL;
		return 0;
	}
	members = make_members(backends, count, length);
	owners = calloc(length, sizeof(*owners));
	next = calloc(length, sizeof(*next));
	slots = members && owners && next ? calloc(length, sizeof(*slots)) : NULL;
	if (!slots)
		return -ENOMEM;
	fill(members, count, owners, length);
	find_next(members, owners, length, next);
	for (uint32_t place = 0; place < length; place++) {
		uint32_t server = server_of(members, owners, length, next, place);

		slots[place] = (struct weir_slot){
			.backend = members[server].backend->id,
			.weight = (uint16_t)members[server].backend->weight,
			.ramp = WEIR_RAMP_FULL,
		};
	}
	*ret = slots;
	return (int)length;
}

uint64_t maglev_fingerprint(const struct maglev_backend *backends, size_t count, size_t size)
{
	uint64_t hash = weir_hash_mix(size) ^ count;

	for (size_t i = 0; i < count; i++) {
		const struct maglev_backend *backend = &backends[i];

		hash = weir_hash_mix(hash) ^ hash_of(&backend->endpoint);
		hash = weir_hash_mix(hash) ^
		       ((uint64_t)backend->id << 32 | backend->weight << 1 | backend->usable);
	}
	return hash ? hash : 1;
}
