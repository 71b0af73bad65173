// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/internal.h"
#include "weir.skel.h"

/*
 * Pinned links: PINS/link-IFINDEX-MODE. The mode is in the name, for the kernel does not tell it. A link
 * of the program that only passes is PINS/pass-IFINDEX.
 */
#define NATIVE "native"
#define GENERIC "generic"
#define LINK "link-"
#define PASS "pass-"

static const char *link_path(char path[static BPFFS_PATH_SIZE], const struct datapath *datapath,
			     uint32_t ifindex, bool native)
{
	snprintf(path, BPFFS_PATH_SIZE, "%s/" LINK "%u-%s", datapath->pins, ifindex,
		 native ? NATIVE : GENERIC);
	return path;
}

static const char *pass_path(char path[static BPFFS_PATH_SIZE], const struct datapath *datapath,
			     uint32_t ifindex)
{
	snprintf(path, BPFFS_PATH_SIZE, "%s/" PASS "%u", datapath->pins, ifindex);
	return path;
}

static bool is_named(const char *path, const char *prefix)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash ? slash + 1 : path, prefix, strlen(prefix));
}

/* The interface that a link is attached to; 0: none any more. Negative errno: no link. */
static int64_t link_ifindex(int fd)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	return info.type == BPF_LINK_TYPE_XDP ? (int64_t)info.xdp.ifindex : -EINVAL;
}

/* Detached by hand: as long as anybody else looks at the link (bpftool), it would stay attached. */
static int unpin(const char *path)
{
	_cleanup_close_ int fd = bpf_obj_get(path);

	if (fd >= 0)
		bpf_link_detach(fd);
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int unpin_one(const char *path, void *user)
{
	const bool *dead = user;
	_cleanup_close_ int fd = -1;

	if (!is_named(path, LINK) && !is_named(path, PASS) && !is_named(path, FAILURES))
		return 0;
	fd = bpf_obj_get(path);
	return *dead && fd >= 0 && link_ifindex(fd) > 0 ? 0 : unpin(path);
}

int links_unpin(const char *directory, bool dead)
{
	return bpffs_for_each(directory, unpin_one, &dead);
}

struct found {
	const char *prefix;
	uint32_t *ifindexes;
	size_t count, most;
};

static int find_one(const char *path, void *user)
{
	struct found *found = user;
	_cleanup_close_ int fd = is_named(path, found->prefix) ? bpf_obj_get(path) : -1;
	int64_t ifindex = fd < 0 ? 0 : link_ifindex(fd);

	if (ifindex <= 0)
		return 0;
	if (found->count < found->most)
		found->ifindexes[found->count] = (uint32_t)ifindex;
	found->count++;
	return 0;
}

size_t links_alive(const char *directory)
{
	struct found found = { .prefix = LINK };

	bpffs_for_each(directory, find_one, &found);
	return found.count;
}

static size_t find(const struct datapath *datapath, const char *prefix, uint32_t *ifindexes,
		   size_t most)
{
	struct found found = { .prefix = prefix, .ifindexes = ifindexes, .most = most };

	if (datapath->pins)
		bpffs_for_each(datapath->pins, find_one, &found);
	return found.count < most ? found.count : most;
}

size_t datapath_attached(const struct datapath *datapath, uint32_t *ifindexes, size_t most)
{
	return find(datapath, LINK, ifindexes, most);
}

size_t datapath_passing(const struct datapath *datapath, uint32_t *ifindexes, size_t most)
{
	return find(datapath, PASS, ifindexes, most);
}

int datapath_attached_native(const struct datapath *datapath, uint32_t ifindex)
{
	char path[BPFFS_PATH_SIZE];

	for (int native = 0; datapath->pins && native < 2; native++) {
		_cleanup_close_ int fd = bpf_obj_get(
			link_path(path, datapath, ifindex, native > 0));

		if (fd >= 0 && link_ifindex(fd) > 0)
			return native;
	}
	return -ENOENT;
}

int links_create(int program, uint32_t ifindex, bool native, int *ret, struct error *error)
{
	LIBBPF_OPTS(bpf_link_create_opts, options,
		    .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
	int fd = bpf_link_create(program, (int)ifindex, BPF_XDP, &options);

	if (fd == -EBUSY)
		return error_set(error, fd,
				 "another XDP program sits on this interface; see 'bpftool net "
				 "show', take it off with 'ip link set dev IF xdp off'");
	if (fd < 0)
		return error_set(error, fd, "cannot attach the XDP program in %s mode: %s",
				 native ? NATIVE : GENERIC, strerror(-fd));
	*ret = fd;
	return 0;
}

/* 1: a pinned link of this mode now runs this program. 0: there is none. */
static int swap(int program, const char *path, struct error *error)
{
	_cleanup_close_ int fd = bpf_obj_get(path);
	int r;

	if (fd < 0)
		return 0;
	/* Its interface has gone; what has the same index now is another one. */
	if (link_ifindex(fd) <= 0) {
		unpin(path);
		return 0;
	}
	r = bpf_link_update(fd, program, NULL);
	if (r)
		return error_set(error, r, "cannot swap the XDP program of %s: %s", path,
				 strerror(-r));
	return 1;
}

struct swapping {
	int program;
	struct error *error;
};

static int swap_one(const char *path, void *user)
{
	const struct swapping *swapping = user;
	int r = is_named(path, LINK) ? swap(swapping->program, path, swapping->error) : 0;

	return r < 0 ? r : 0;
}

int links_swap(const struct datapath *datapath, int program, struct error *error)
{
	struct swapping swapping = { program, error };

	return bpffs_for_each(datapath->pins, swap_one, &swapping);
}

static int create_pinned(int program, uint32_t ifindex, bool native, const char *path,
			 struct error *error)
{
	_cleanup_close_ int fd = -1;
	int r = links_create(program, ifindex, native, &fd, error);

	if (r)
		return r;
	r = bpf_obj_pin(fd, path);
	return r ? error_set(error, r, "cannot pin the link %s: %s", path, strerror(-r)) : 0;
}

/* A link that is there goes on under another name, if that one is free. */
static void rename_pin(const char *from, const char *to)
{
	renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

static int attach_pinned(struct datapath *datapath, uint32_t ifindex, bool native,
			 struct error *error)
{
	char path[BPFFS_PATH_SIZE], other[BPFFS_PATH_SIZE], pass[BPFFS_PATH_SIZE];
	int r;

	link_path(path, datapath, ifindex, native);
	pass_path(pass, datapath, ifindex);
	if (native)
		rename_pin(pass, path);
	r = swap(datapath_xdp_fd(datapath), path, error);
	/* What the program before has counted meanwhile, too. */
	if (r > 0)
		return datapath->reasons_differ ? object_reset_reasons(datapath) : 0;
	if (r < 0)
		return r;
	/* A link keeps its mode, and two modes exclude each other: packets pass by for a moment. */
	unpin(link_path(other, datapath, ifindex, !native));
	unpin(pass);
	return create_pinned(datapath_xdp_fd(datapath), ifindex, native, path, error);
}

static int attach_held(struct datapath *datapath, uint32_t ifindex, bool native, bool passes,
		       struct error *error)
{
	const struct weir *skeleton = datapath->skeleton;
	int program = bpf_program__fd(passes ? skeleton->progs.weir_pass :
					       skeleton->progs.weir_xdp);
	struct attachment *grown;
	int fd, r;

	grown = reallocarray(datapath->attachments, datapath->attachment_count + 1, sizeof(*grown));
	if (!grown)
		return error_set(error, -ENOMEM, "out of memory");
	datapath->attachments = grown;
	r = links_create(program, ifindex, native, &fd, error);
	if (r)
		return r;
	grown[datapath->attachment_count++] = (struct attachment){ ifindex, fd, passes };
	return 0;
}

static void detach_held(struct datapath *datapath, uint32_t ifindex, bool passes)
{
	for (size_t i = datapath->attachment_count; i-- > 0;) {
		if (datapath->attachments[i].ifindex != ifindex ||
		    datapath->attachments[i].passes != passes)
			continue;
		close(datapath->attachments[i].link);
		datapath->attachments[i] = datapath->attachments[--datapath->attachment_count];
	}
}

int datapath_attach(struct datapath *datapath, uint32_t ifindex, bool native, struct error *error)
{
	if (datapath->pins)
		return attach_pinned(datapath, ifindex, native, error);
	detach_held(datapath, ifindex, true);
	return attach_held(datapath, ifindex, native, false, error);
}

int datapath_attach_pass(struct datapath *datapath, uint32_t ifindex, struct error *error)
{
	int program = bpf_program__fd(datapath->skeleton->progs.weir_pass), r;
	char path[BPFFS_PATH_SIZE], before[BPFFS_PATH_SIZE];

	if (!datapath->pins)
		return attach_held(datapath, ifindex, true, true, error);
	/* Of a weir that was to balance there, and is no longer. */
	unpin(link_path(before, datapath, ifindex, false));
	rename_pin(link_path(before, datapath, ifindex, true), pass_path(path, datapath, ifindex));
	r = swap(program, path, error);
	return r ? (r < 0 ? r : 0) : create_pinned(program, ifindex, true, path, error);
}

void datapath_detach_from(struct datapath *datapath, uint32_t ifindex)
{
	char path[BPFFS_PATH_SIZE];

	detach_held(datapath, ifindex, false);
	if (!datapath->pins)
		return;
	unpin(link_path(path, datapath, ifindex, true));
	unpin(link_path(path, datapath, ifindex, false));
}

void datapath_detach_pass(struct datapath *datapath, uint32_t ifindex)
{
	char path[BPFFS_PATH_SIZE];

	detach_held(datapath, ifindex, true);
	if (datapath->pins)
		unpin(pass_path(path, datapath, ifindex));
}

void datapath_detach(struct datapath *datapath)
{
	failures_close(datapath);
	while (datapath->attachment_count)
		close(datapath->attachments[--datapath->attachment_count].link);
	if (!datapath->pins)
		return;
	pins_remove(datapath->pins, NULL);
	/* Nothing of this object is pinned any more, nor will be. */
	free(datapath->pins);
	datapath->pins = NULL;
}
