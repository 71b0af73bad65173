// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>

#include "src/base/cleanup.h"

#include "tests/packet/index.h"

uint32_t bucket_find(const struct talk *talk, struct weir_index_bucket *bucket, uint32_t *place)
{
	_cleanup_close_ int index = world_map(talk->world, "flow_index");
	uint32_t id = flow_id(talk->world, talk_flow(talk));

	for (uint32_t i = 0; !bpf_map_lookup_elem(index, &i, bucket); i++)
		for (*place = 0; *place < WEIR_INDEX_ENTRIES; (*place)++) {
			union weir_index entry = bucket->entries[*place];

			if (entry.word && entry.record == id &&
			    (entry.mark & WEIR_INDEX_DIRECTION) == WEIR_FROM_CLIENT)
				return i;
		}
	fail_msg("the flow has no entry");
	return 0;
}

void bucket_read(const struct world *world, uint32_t number, struct weir_index_bucket *bucket)
{
	_cleanup_close_ int index = world_map(world, "flow_index");

	assert_int_equal(bpf_map_lookup_elem(index, &number, bucket), 0);
}

void bucket_write(const struct world *world, uint32_t number,
		  const struct weir_index_bucket *bucket)
{
	_cleanup_close_ int index = world_map(world, "flow_index");

	assert_int_equal(bpf_map_update_elem(index, &number, bucket, BPF_ANY), 0);
}
