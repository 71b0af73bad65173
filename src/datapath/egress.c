// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "failures.skel.h"
#include "src/datapath/internal.h"
#include "weir.skel.h"

int datapath_add_egress(struct datapath *datapath, uint32_t ifindex)
{
	return bpf_map__update_elem(datapath->skeleton->maps.egress, &ifindex, sizeof(ifindex),
				    &ifindex, sizeof(ifindex), BPF_ANY);
}

void datapath_remove_egress(struct datapath *datapath, uint32_t ifindex)
{
	bpf_map__delete_elem(datapath->skeleton->maps.egress, &ifindex, sizeof(ifindex), 0);
}

size_t datapath_egresses(const struct datapath *datapath, uint32_t *ifindexes, size_t most)
{
	const struct bpf_map *map = datapath->skeleton->maps.egress;
	const uint32_t *before = NULL;
	size_t count = 0;

	while (count < most &&
	       bpf_map__get_next_key(map, before, &ifindexes[count], sizeof(*ifindexes)) == 0)
		before = &ifindexes[count++];
	return count;
}

bool datapath_is_native(uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);

	return !bpf_xdp_query((int)ifindex, 0, &query) && query.drv_prog_id;
}

static int share_map(struct bpf_map *map, const struct bpf_map *with)
{
	return bpf_map__reuse_fd(map, bpf_map__fd(with));
}

static int load(struct datapath *datapath)
{
	const struct weir *weir = datapath->skeleton;
	struct failures *failures = datapath->failures;
	struct bpf_map_info info = {};
	uint32_t size = sizeof(info);
	int r;

	if (bpf_obj_get_info_by_fd(bpf_map__fd(weir->maps.egress), &info, &size))
		return -errno;
	failures->rodata->egress_id = info.id;
	failures->rodata->network_namespace = (uint32_t)pins_network_namespace();
	r = share_map(failures->maps.egress, weir->maps.egress);
	if (!r)
		r = share_map(failures->maps.redirect_failures, weir->maps.redirect_failures);
	return r ? r : failures__load(failures);
}

/* Those of a daemon before, which counted into the same map, left when its pins were taken. */
static int pin_link(const struct datapath *datapath, struct bpf_link *link, const char *name)
{
	char path[BPFFS_PATH_SIZE];

	if (!datapath->pins)
		return 0;
	snprintf(path, sizeof(path), "%s/" FAILURES "%s", datapath->pins, name);
	return bpf_link__pin(link, path);
}

static int attach(struct datapath *datapath)
{
	struct failures *failures = datapath->failures;
	int r = failures__attach(failures);

	if (!r)
		r = pin_link(datapath, failures->links.weir_redirect_refused, "refused");
	return r ? r : pin_link(datapath, failures->links.weir_redirect_dropped, "dropped");
}

int datapath_watch_failures(struct datapath *datapath, struct error *error)
{
	int r;

	datapath->failures = failures__open();
	r = datapath->failures ? load(datapath) : -errno;
	if (!r)
		r = attach(datapath);
	if (!r)
		return 0;
	failures_close(datapath);
	return error_set(error, r, "cannot count packets that the kernel fails to send: %s",
			 strerror(-r));
}

void failures_close(struct datapath *datapath)
{
	failures__destroy(datapath->failures);
	datapath->failures = NULL;
}

int datapath_read_failures(struct datapath *datapath, uint64_t *ret)
{
	return object_sum(datapath, datapath->skeleton->maps.redirect_failures, 0, ret,
			  sizeof(*ret));
}
