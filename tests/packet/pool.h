/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/datapath/datapath.h"

/*
 * Objects that are loaded already. To verify one takes 50 times as long as the usual test: a test gets
 * the object of an earlier one of the same sizes, after all that is in its maps was put back.
 */

/* One like freshly loaded; a new one where there is none to be had. Fails the test that asks. */
struct datapath *pool_take(const struct datapath_sizes *sizes);
/* Closes it, or keeps it for the next that asks. NULL is allowed. */
void pool_give(struct datapath *datapath);

/* Makes every map what it is after loading. */
void pool_reset(struct datapath *datapath);
