// SPDX-License-Identifier: GPL-2.0-only
#include "src/datapath/check_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.skel.h"

/* enum bpf_attach_type of kernels since 6.6; libbpf passes on what it does not know. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47

/* Behind filters that somebody has put first, before those that were given a place by the kernel. */
#define FILTER_PRIORITY 1119

struct check_attachment {
	uint32_t ifindex;
	enum check_side side;
	int link; /* bpf_link; negative: a filter */
};

struct check_path {
	struct check_bpf *skeleton;
	uint32_t owner;
	struct check_attachment *attachments;
	size_t attachment_count;
};

static enum bpf_tc_attach_point point_of(enum check_side side)
{
	return side == CHECK_OUT ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

static bool detach_filter(uint32_t owner, uint32_t ifindex, enum check_side side)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point_of(side));
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = owner, .priority = FILTER_PRIORITY);

	return bpf_tc_detach(&hook, &filter) == 0;
}

bool check_path_remove_filter(uint32_t owner, uint32_t ifindex)
{
	libbpf_set_print(NULL);
	return detach_filter(owner, ifindex, CHECK_IN);
}

void check_path_close(struct check_path *path)
{
	if (!path)
		return;
	for (size_t i = 0; i < path->attachment_count; i++) {
		const struct check_attachment *attachment = &path->attachments[i];

		if (attachment->link >= 0)
			close(attachment->link);
		else
			detach_filter(path->owner, attachment->ifindex, attachment->side);
	}
	free(path->attachments);
	check_bpf__destroy(path->skeleton);
	free(path);
}

int check_path_open(uint32_t owner, struct check_path **ret, struct error *error)
{
	struct check_path *path = calloc(1, sizeof(*path));
	int r;

	if (!path)
		return error_set(error, -ENOMEM, "out of memory");
	libbpf_set_print(NULL);
	path->owner = owner;
	path->skeleton = check_bpf__open_and_load();
	if (!path->skeleton) {
		r = -errno;
		check_path_close(path);
		return error_set(error, r, "cannot load the BPF programs of health checks: %s",
				 strerror(-r));
	}
	*ret = path;
	return 0;
}

int check_path_fd(const struct check_path *path, enum check_side side)
{
	return bpf_program__fd(side == CHECK_OUT ? path->skeleton->progs.weir_check_out :
						   path->skeleton->progs.weir_check_in);
}

static bool is_attached(const struct check_path *path, uint32_t ifindex, enum check_side side)
{
	for (size_t i = 0; i < path->attachment_count; i++)
		if (path->attachments[i].ifindex == ifindex && path->attachments[i].side == side)
			return true;
	return false;
}

static int create_filter(const struct check_path *path, uint32_t ifindex, enum check_side side)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point_of(side));
	LIBBPF_OPTS(bpf_tc_opts, filter, .handle = path->owner, .priority = FILTER_PRIORITY,
		    .prog_fd = check_path_fd(path, side), .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	/* Somebody has a clsact there; ours stays, too: others may have begun to use it. */
	return r && r != -EEXIST ? r : bpf_tc_attach(&hook, &filter);
}

static int attach(struct check_path *path, uint32_t ifindex, enum check_side side, bool tcx,
		  struct error *error)
{
	struct check_attachment *grown;
	int r, link = -EINVAL;

	if (is_attached(path, ifindex, side))
		return 0;
	grown = reallocarray(path->attachments, path->attachment_count + 1, sizeof(*grown));
	if (!grown)
		return error_set(error, -ENOMEM, "out of memory");
	path->attachments = grown;
	if (tcx)
		link = bpf_link_create(check_path_fd(path, side), (int)ifindex,
				       side == CHECK_OUT ? TCX_EGRESS : TCX_INGRESS, NULL);
	r = link == -EINVAL ? create_filter(path, ifindex, side) : link < 0 ? link : 0;
	if (r)
		return error_set(error, r, "cannot attach a tc program to interface %u: %s",
				 ifindex, strerror(-r));
	grown[path->attachment_count++] = (struct check_attachment){ ifindex, side, link };
	return 0;
}

int check_path_attach(struct check_path *path, uint32_t ifindex, enum check_side side,
		      struct error *error)
{
	return attach(path, ifindex, side, true, error);
}

int check_path_attach_filter(struct check_path *path, uint32_t ifindex, enum check_side side,
			     struct error *error)
{
	return attach(path, ifindex, side, false, error);
}

int check_path_set(struct check_path *path, uint32_t place, const struct weir_check *way)
{
	const struct bpf_map *map = path->skeleton->maps.ways;
	int r;

	if (way)
		return bpf_map__update_elem(map, &place, sizeof(place), way, sizeof(*way), BPF_ANY);
	r = bpf_map__delete_elem(map, &place, sizeof(place), 0);
	return r == -ENOENT ? 0 : r;
}
