// SPDX-License-Identifier: GPL-2.0-only
#include "bench/yardstick.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "bench/yardstick_key.h"
#include "yardstick.skel.h"

struct yardstick {
	struct yardstick_bpf *skeleton;
};

int yardstick_open(uint32_t entries, struct yardstick **ret, struct error *error)
{
	struct yardstick *yardstick = calloc(1, sizeof(*yardstick));
	int r;

	if (!yardstick)
		return error_set(error, -ENOMEM, "out of memory");
	yardstick->skeleton = yardstick_bpf__open();
	r = yardstick->skeleton ? 0 : -errno;
	if (!r)
		r = bpf_map__set_max_entries(yardstick->skeleton->maps.yardstick_flows, entries);
	if (!r)
		r = bpf_map__set_max_entries(yardstick->skeleton->maps.yardstick_lines, entries);
	if (!r) {
		yardstick->skeleton->bss->yardstick_line_count = entries;
		r = yardstick_bpf__load(yardstick->skeleton);
	}
	if (r) {
		yardstick_close(yardstick);
		return error_set(error, r, "cannot load the yardsticks: %s", strerror(-r));
	}
	*ret = yardstick;
	return 0;
}

void yardstick_close(struct yardstick *yardstick)
{
	if (!yardstick)
		return;
	yardstick_bpf__destroy(yardstick->skeleton);
	free(yardstick);
}

int yardstick_add(struct yardstick *yardstick, const struct bench_tuple *tuple)
{
	struct yardstick_key key = {
		.source = tuple->source,
		.destination = tuple->destination,
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
		.protocol = IPPROTO_TCP,
	};
	uint64_t value = 1;

	return bpf_map__update_elem(yardstick->skeleton->maps.yardstick_flows, &key, sizeof(key),
				    &value, sizeof(value), BPF_NOEXIST);
}

int yardstick_bare(const struct yardstick *yardstick)
{
	return bpf_program__fd(yardstick->skeleton->progs.yardstick_bare);
}

int yardstick_pass(const struct yardstick *yardstick)
{
	return bpf_program__fd(yardstick->skeleton->progs.yardstick_pass);
}

int yardstick_line(const struct yardstick *yardstick)
{
	return bpf_program__fd(yardstick->skeleton->progs.yardstick_line);
}
