// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/check_leftovers.h"

#include "src/datapath/check_path.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* The state file of the daemon that has no name of its own. */
#define USUAL_STATE "/run/weir/weir.state"

#define FNV_OFFSET 0x811c9dc5U
#define FNV_PRIME 0x01000193U

uint32_t check_owner(const char *state)
{
	uint32_t hash = FNV_OFFSET;

	for (; *state; state++)
		hash = (hash ^ (uint8_t)*state) * FNV_PRIME;
	return hash | 1;
}

void check_link_name(const char *state, char name[static CHECK_LINK_NAME_MOST + 1])
{
	if (strcmp(state, USUAL_STATE) == 0)
		strcpy(name, "weir-check");
	else
		snprintf(name, CHECK_LINK_NAME_MOST + 1, "weir-%05x", check_owner(state) >> 12);
}

/* On kernels without tcx the filters on the interfaces towards backends stay. */
static bool remove_filters(uint32_t owner)
{
	struct if_nameindex *all = if_nameindex();
	bool found = false;

	for (size_t i = 0; all && all[i].if_index; i++)
		found |= check_path_remove_filter(owner, all[i].if_index);
	if (all)
		if_freenameindex(all);
	return found;
}

int check_leftovers_remove(const char *state)
{
	char name[CHECK_LINK_NAME_MOST + 1];
	int removed;
	bool found;

	check_link_name(state, name);
	removed = check_link_remove(name);
	found = remove_filters(check_owner(state));
	return removed < 0 ? removed : removed || found;
}
