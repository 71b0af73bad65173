/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "src/daemon/grace.h"
#include "src/datapath/datapath.h"
#include "src/model/config.h"

/*
 * Access lists: `allow` and `deny` of services, as rules in the datapath. Services with the same lists share
 * an id. A list is never changed; one that no service names any more goes a grace period later.
 *
 * I1  an id of a list, retired ones included, is in no other list, nor among the rules of an earlier daemon
 */
struct access_list;

struct access {
	void *lists; /* a tsearch() tree, by content */
	uint32_t last_id;
	struct access_list *retired; /* oldest first; linked */
	struct access_list **retired_end;
	struct weir_access_key *old; /* what an earlier daemon has left */
	size_t old_count;
	size_t old_room;
	uint64_t old_ticket; /* 0: services may name them still */
};

void access_init(struct access *access);
/* Leaves the rules where they are. A zeroed one, too. */
void access_free(struct access *access);

/* Learns what an earlier daemon has left. -ENOMEM, or another error of the datapath. */
int access_adopt(struct access *access, struct datapath *datapath);
/* No service names any of that now. */
void access_retire_old(struct access *access, const struct grace *grace);

/*
 * The list of @config, with one user more; its rules are in the datapath. *ret NULL: it serves all clients.
 * -ENOMEM, -ENOSPC: too many rules.
 */
int access_take(struct access *access, struct datapath *datapath,
		const struct config_service *config, struct access_list **ret);
/* One user less; NULL is fine. */
void access_put(struct access *access, struct access_list *list, const struct grace *grace);
uint32_t access_id(const struct access_list *list); /* NULL: 0 */

/* Takes the rules of what is gone out of the datapath, as far as nobody reads them any more. */
void access_collect(struct access *access, struct datapath *datapath, const struct grace *grace);
