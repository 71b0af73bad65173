// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Room for everything that can become free or retired is made when it is taken: giving back cannot
 * fail. There is at most one free run more than there are taken ones.
 */
static int make_room(struct ranges *ranges)
{
	size_t needed = ranges->taken + 2;
	size_t room = ranges->free_room ? ranges->free_room : 64;
	void *grown;

	while (room < needed)
		room *= 2;
	if (room > ranges->free_room) {
		grown = reallocarray(ranges->free, room, sizeof(*ranges->free));
		if (!grown)
			return -ENOMEM;
		ranges->free = grown;
		ranges->free_room = room;
	}
	if (room > ranges->retired_room) {
		grown = reallocarray(ranges->retired, room, sizeof(*ranges->retired));
		if (!grown)
			return -ENOMEM;
		ranges->retired = grown;
		ranges->retired_room = room;
	}
	return 0;
}

int ranges_init(struct ranges *ranges, uint32_t length)
{
	*ranges = (struct ranges){ 0 };
	if (make_room(ranges) < 0) {
		ranges_free(ranges);
		return -ENOMEM;
	}
	ranges->free[0] = (union weir_range){ .offset = 0, .length = length };
	ranges->free_count = length ? 1 : 0;
	return 0;
}

void ranges_free(struct ranges *ranges)
{
	free(ranges->free);
	free(ranges->retired);
	*ranges = (struct ranges){ 0 };
}

static void remove_free(struct ranges *ranges, size_t at)
{
	memmove(&ranges->free[at], &ranges->free[at + 1],
		(--ranges->free_count - at) * sizeof(*ranges->free));
}

/* The first free run that begins behind @offset. */
static size_t find_behind(const struct ranges *ranges, uint32_t offset)
{
	size_t low = 0, high = ranges->free_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (ranges->free[middle].offset > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void put(struct ranges *ranges, union weir_range range)
{
	size_t at = find_behind(ranges, range.offset);
	union weir_range *before = at ? &ranges->free[at - 1] : NULL;
	union weir_range *behind = at < ranges->free_count ? &ranges->free[at] : NULL;

	if (!range.length)
		return;
	if (before && before->offset + before->length == range.offset) {
		before->length += range.length;
		if (behind && before->offset + before->length == behind->offset) {
			before->length += behind->length;
			remove_free(ranges, at);
		}
	} else if (behind && range.offset + range.length == behind->offset) {
		behind->offset = range.offset;
		behind->length += range.length;
	} else {
		memmove(&ranges->free[at + 1], &ranges->free[at],
			(ranges->free_count++ - at) * sizeof(*ranges->free));
		ranges->free[at] = range;
	}
}

void ranges_give_back(struct ranges *ranges, union weir_range range)
{
	if (!range.length)
		return;
	put(ranges, range);
	ranges->taken--;
}

static void collect(struct ranges *ranges, const struct grace *grace)
{
	size_t over = 0;

	while (over < ranges->retired_count && grace_over(grace, ranges->retired[over].ticket))
		ranges_give_back(ranges, ranges->retired[over++].range);
	if (!over)
		return;
	ranges->retired_count -= over;
	memmove(ranges->retired, &ranges->retired[over],
		ranges->retired_count * sizeof(*ranges->retired));
}

int ranges_take(struct ranges *ranges, uint32_t length, const struct grace *grace,
		union weir_range *ret)
{
	if (!length) {
		ret->word = 0;
		return 0;
	}
	collect(ranges, grace);
	if (make_room(ranges) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ranges->free_count; i++) {
		union weir_range *run = &ranges->free[i];

		if (run->length < length)
			continue;
		ret->offset = run->offset;
		ret->length = length;
		run->offset += length;
		run->length -= length;
		if (!run->length)
			remove_free(ranges, i);
		ranges->taken++;
		return 0;
	}
	return -ENOSPC;
}

int ranges_adopt(struct ranges *ranges, union weir_range range)
{
	uint64_t end = (uint64_t)range.offset + range.length;
	union weir_range run, behind;
	size_t at;

	if (!range.length)
		return 0;
	at = find_behind(ranges, range.offset);
	if (!at)
		return -EINVAL;
	run = ranges->free[--at];
	if (end > (uint64_t)run.offset + run.length)
		return -EINVAL;
	if (make_room(ranges) < 0)
		return -ENOMEM;
	behind.offset = end;
	behind.length = run.offset + run.length - end;
	remove_free(ranges, at);
	put(ranges,
	    (union weir_range){ .offset = run.offset, .length = range.offset - run.offset });
	put(ranges, behind);
	ranges->taken++;
	return 0;
}

void ranges_retire(struct ranges *ranges, union weir_range range, const struct grace *grace)
{
	if (!range.length)
		return;
	ranges->retired[ranges->retired_count++] = (struct ranges_retired){ range,
									    grace_ticket(grace) };
}
