/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/talk.h"

/* The bucket of the index where the client's entry of @talk stands, and its place in it. */
uint32_t bucket_find(const struct talk *talk, struct weir_index_bucket *bucket, uint32_t *place);

void bucket_read(const struct world *world, uint32_t number, struct weir_index_bucket *bucket);
void bucket_write(const struct world *world, uint32_t number,
		  const struct weir_index_bucket *bucket);
