// SPDX-License-Identifier: GPL-2.0-only
#include "tests/packet/rows.h"

#include <stdlib.h>

static void run_row(void **state)
{
	const struct row *row = *state;
	struct world *world = world_open(256, 64);
	struct frame in, out;

	if (row->setup)
		row->setup(world);
	in = row->in();
	if (row->out)
		out = row->out(&in);
	world_send(world, &in, row->reason, row->verdict, row->out ? &out : NULL);
	world_close(world);
}

int rows_run(const struct row *rows, size_t count)
{
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	int failed;

	if (!tests)
		return 1;
	for (size_t i = 0; i < count; i++)
		tests[i] = (struct CMUnitTest){
			.name = rows[i].name,
			.test_func = run_row,
			.initial_state = (void *)&rows[i],
		};
	failed = _cmocka_run_group_tests("rows", tests, count, NULL, NULL);
	free(tests);
	return failed;
}
