// SPDX-License-Identifier: GPL-2.0-only
#include "abi/hash.h"

#include "src/base/address.h"
#include "src/daemon/hops.h"
#include "src/datapath/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int hops_init(struct hops *hops, uint32_t size)
{
	uint32_t buckets = 64;

	while (buckets < size)
		buckets *= 2;
	hops->entries = calloc(size, sizeof(*hops->entries));
	hops->buckets = calloc(buckets, sizeof(*hops->buckets));
	if (!hops->entries || !hops->buckets) {
		hops_free(hops);
		return -ENOMEM;
	}
	hops->mask = buckets - 1;
	hops->free = 0;
	hops->used = 1;
	hops->size = size;
	return 0;
}

void hops_free(struct hops *hops)
{
	free(hops->entries);
	free(hops->buckets);
	memset(hops, 0, sizeof(*hops));
}

static uint32_t bucket(const struct hops *hops, const struct weir_address *address,
		       uint32_t ifindex)
{
	uint64_t high = (uint64_t)address->word[0] << 32 | address->word[1];
	uint64_t low = (uint64_t)address->word[2] << 32 | address->word[3];

	return weir_hash_mix(weir_hash_mix(high ^ ifindex) ^ low) & hops->mask;
}

uint16_t hops_find(const struct hops *hops, const struct weir_address *address, uint32_t ifindex)
{
	uint16_t id = hops->buckets[bucket(hops, address, ifindex)];

	while (id) {
		const struct hop *hop = &hops->entries[id];

		if (hop->ifindex == ifindex && address_equal(&hop->address, address))
			break;
		id = hop->next;
	}
	return id;
}

static void enter(struct hops *hops, uint16_t id, const struct weir_address *address,
		  uint32_t ifindex)
{
	uint16_t *head = &hops->buckets[bucket(hops, address, ifindex)];

	hops->entries[id] = (struct hop){ .address = *address, .ifindex = ifindex, .next = *head };
	*head = id;
}

uint16_t hops_add(struct hops *hops, const struct weir_address *address, uint32_t ifindex)
{
	uint16_t id = hops_find(hops, address, ifindex);

	if (id)
		return id;
	id = hops->free;
	if (id)
		hops->free = hops->entries[id].next;
	else if (hops->used < hops->size)
		id = hops->used++;
	if (id)
		enter(hops, id, address, ifindex);
	return id;
}

int hops_adopt(struct hops *hops, uint16_t id, const struct weir_address *address, uint32_t ifindex)
{
	if (!id || id >= hops->size)
		return -EINVAL;
	if (hops_find(hops, address, ifindex) == id)
		return 0;
	if (hops->entries[id].ifindex || !address_is_zero(&hops->entries[id].address))
		return -EINVAL;
	enter(hops, id, address, ifindex);
	hops_reserve(hops, id + 1);
	return 0;
}

void hops_reserve(struct hops *hops, uint32_t used)
{
	if (hops->used < used)
		hops->used = used;
}

void hops_offer(struct hops *hops, uint16_t id)
{
	struct hop *hop = &hops->entries[id];

	if (hop->ifindex || !address_is_zero(&hop->address))
		return;
	hop->next = hops->free;
	hops->free = id;
}

void hops_remove(struct hops *hops, uint16_t id)
{
	struct hop *hop = &hops->entries[id];
	uint16_t *link = &hops->buckets[bucket(hops, &hop->address, hop->ifindex)];

	while (*link != id)
		link = &hops->entries[*link].next;
	*link = hop->next;
	*hop = (struct hop){ .next = hops->free };
	hops->free = id;
}

bool hop_usable(const struct hop *hop, bool need_source, const char **why)
{
	const struct resolver_hop *state = &hop->state;

	if (!hop->known)
		*why = "its address is being resolved";
	else if (state->local)
		*why = "the address is this host's own";
	else if (!state->reachable)
		*why = state->why[0] ? state->why : "its address is not resolved";
	else if (need_source && address_is_zero(&state->source))
		*why = "this host has no source address towards it";
	else
		return true;
	return false;
}

static void store_link(struct weir_hop *entry, uint32_t ifindex, uint32_t mtu)
{
	struct weir_hop image = { .ifindex = ifindex, .mtu = mtu };
	uint64_t word;

	memcpy(&word, &image.ifindex, sizeof(word));
	datapath_store((void *)&entry->ifindex, word);
}

static void store_vlan(struct weir_hop *entry, uint16_t vlan)
{
	struct weir_hop image = { .vlan = vlan };

	datapath_store((void *)&entry->link, image.link);
}

static void store_address(union weir_hop_address *entry, const uint8_t mac[6], uint16_t flags)
{
	union weir_hop_address image = { .flags = flags };

	memcpy(image.mac, mac, sizeof(image.mac));
	datapath_store((void *)&entry->word, image.word);
}

bool hop_has_way(const struct resolver_hop *hop)
{
	static const uint8_t no_mac[6];

	return hop->ifindex && memcmp(hop->mac, no_mac, sizeof(no_mac)) != 0;
}

void hop_write(struct weir_hop *entry, const struct resolver_hop *hop)
{
	bool doubtful = hop->gateway && !hop->reachable;
	uint16_t flags = WEIR_HOP_VALID | (doubtful ? WEIR_HOP_DOUBTFUL : 0);

	if (!hop_has_way(hop))
		return;
	store_link(entry, hop->device, hop->mtu);
	store_vlan(entry, hop->vlan);
	store_address(&entry->source, hop->source_mac, 0);
	store_address(&entry->destination, hop->mac, flags);
}

void hop_doubt(struct weir_hop *entry)
{
	union weir_hop_address image = entry->destination;

	if (!(image.flags & WEIR_HOP_VALID) || image.flags & WEIR_HOP_ON_LINK)
		return;
	image.flags |= WEIR_HOP_DOUBTFUL;
	datapath_store((void *)&entry->destination.word, image.word);
}

void hop_write_on_link(struct weir_hop *entry, const uint8_t mac[6], uint32_t ifindex, uint32_t mtu)
{
	static const uint8_t no_mac[6];

	store_link(entry, ifindex, mtu);
	store_address(&entry->source, mac, 0);
	store_address(&entry->destination, no_mac, WEIR_HOP_VALID | WEIR_HOP_ON_LINK);
}
