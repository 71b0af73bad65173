// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/rows.h"

#include <stdlib.h>

static bool is_skipped(const struct row *row)
{
	return row->only == (frame_family() == WEIR_IPV6 ? ROW_V4 : ROW_V6);
}

/* Of all rows that need nothing else: to open one takes longer than the row. */
static struct world *shared;

static struct world *shared_world(void)
{
	if (!shared)
		shared = world_open(256, 64);
	return shared;
}

static void run_row(void **state)
{
	const struct row *row = *state;
	struct world *world = row->setup ? world_open(256, 64) : shared_world();
	struct frame in, out;

	if (row->setup)
		row->setup(world);
	in = row->in();
	if (row->out)
		out = row->out(&in);
	world_send(world, &in, row->reason, row->verdict, row->out ? &out : NULL);
	if (world != shared)
		world_close(world);
}

static int close_shared(void **state)
{
	if (shared)
		world_close(shared);
	return 0;
}

int rows_run(const struct row *rows, size_t count)
{
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	size_t used = 0;
	int failed;

	if (!tests)
		return 1;
	for (size_t i = 0; i < count; i++)
		if (!is_skipped(&rows[i]))
			tests[used++] = (struct CMUnitTest){
				.name = rows[i].name,
				.test_func = run_row,
				.initial_state = (void *)&rows[i],
			};
	failed = _cmocka_run_group_tests("rows", tests, used, NULL, close_shared);
	free(tests);
	return failed;
}
