// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "src/datapath/internal.h"
#include "weir.skel.h"

/* The trie has no memory of its own to map, and knows nothing of several keys in one call. */

int datapath_put_access(struct datapath *datapath, const struct weir_access_key *keys, size_t count,
			enum weir_access verdict)
{
	const int map = bpf_map__fd(datapath->skeleton->maps.access_rules);
	const uint32_t value = verdict;
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		r = bpf_map_update_elem(map, &keys[i], &value, BPF_ANY);
	return r;
}

int datapath_remove_access(struct datapath *datapath, const struct weir_access_key *keys,
			   size_t count)
{
	const int map = bpf_map__fd(datapath->skeleton->maps.access_rules);
	int r = 0;

	for (size_t i = 0; i < count; i++) {
		const int one = bpf_map_delete_elem(map, &keys[i]);

		r = one && one != -ENOENT ? one : r;
	}
	return r;
}

int datapath_list_access(struct datapath *datapath,
			 void (*tell)(const struct weir_access_key *key, void *user), void *user)
{
	const int map = bpf_map__fd(datapath->skeleton->maps.access_rules);
	struct weir_access_key key, *before = NULL;
	int r;

	while ((r = bpf_map_get_next_key(map, before, &key)) == 0) {
		before = &key;
		tell(&key, user);
	}
	return r == -ENOENT ? 0 : r;
}
