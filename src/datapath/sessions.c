// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "weir.skel.h"

/*
 * A larger table of sessions while packets are forwarded. A map keeps its size, so another one takes its
 * place, and with it programs that know it: they share all other maps with those before.
 */

struct datapath_sessions {
	const struct datapath *datapath;
	struct weir *skeleton; /* NULL: it is the datapath's */
};

int datapath_sessions_make(const struct datapath *datapath, uint32_t sessions,
			   struct datapath_sessions **ret, struct error *error)
{
	_cleanup_free_ struct datapath_sessions *made = NULL;
	const uint32_t buckets = object_session_buckets(sessions);
	int r;

	if (bpf_map__max_entries(datapath->skeleton->maps.sessions) >= buckets)
		return 0;
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(error, -ENOMEM, "out of memory");
	made->datapath = datapath;
	r = object_load_beside(datapath->skeleton, buckets, &made->skeleton, error);
	if (r)
		return r;
	*ret = TAKE(made);
	return 0;
}

/* Loading has put the other program there already: both do the same, but with other sessions. */
static void use_slow(const struct weir *skeleton)
{
	uint32_t zero = 0, program = (uint32_t)bpf_program__fd(skeleton->progs.weir_slow);

	bpf_map__update_elem(skeleton->maps.slow_programs, &zero, sizeof(zero), &program,
			     sizeof(program), BPF_ANY);
}

void datapath_sessions_drop(struct datapath_sessions *made)
{
	if (!made)
		return;
	if (made->skeleton) {
		use_slow(made->datapath->skeleton);
		weir__destroy(made->skeleton);
	}
	free(made);
}

static int swap(const struct datapath *datapath, const struct weir *to, struct error *error)
{
	int r = links_swap(datapath, bpf_program__fd(to->progs.weir_xdp), error);

	if (r)
		return r;
	r = pins_replace(datapath, to->maps.sessions);
	return r ? error_set(error, r, "cannot pin the larger table of sessions: %s",
			     strerror(-r)) :
		   0;
}

int datapath_sessions_use(struct datapath *datapath, struct datapath_sessions *made,
			  struct error *error)
{
	struct weir *before = datapath->skeleton;
	struct error other;
	int r = swap(datapath, made->skeleton, error);

	if (r) {
		links_swap(datapath, bpf_program__fd(before->progs.weir_xdp), &other);
		return r;
	}
	datapath->skeleton = TAKE(made->skeleton);
	datapath->program_id = object_program_id(datapath->skeleton);
	weir__destroy(before);
	return 0;
}
