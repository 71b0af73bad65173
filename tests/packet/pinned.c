// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "abi/meta.h"

#include "src/base/cleanup.h"

#include "tests/packet/pinned.h"

bool bpffs_enter(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700")) {
		printf("Bail out! cannot make a mount namespace: %s\n", strerror(errno));
		exit(1);
	}
	return true;
}

int no_pins(void **state)
{
	return access(PINS, F_OK) == 0;
}

int remove_pins(void **state)
{
	struct error error = {};
	int r = datapath_remove_pins(PINS, &error);

	if (r < 0)
		print_error("%s\n", error.text);
	return r < 0;
}

struct datapath *open_pins(bool adopts)
{
	const struct datapath_sizes sizes = world_sizes(FLOWS, HALF_OPEN);
	struct datapath *datapath = NULL;
	struct error error = {};
	bool adopted = !adopts;

	if (datapath_open(&sizes, PINS, &datapath, &adopted, &error))
		print_error("%s\n", error.text);
	assert_non_null(datapath);
	assert_int_equal(adopted, adopts);
	return datapath;
}

void open_fails(const struct datapath_sizes *sizes, int code, const char *const texts[])
{
	struct datapath *datapath = NULL;
	struct error error = {};
	bool adopted = false;

	assert_int_equal(datapath_open(sizes, PINS, &datapath, &adopted, &error), code);
	assert_null(datapath);
	assert_false(adopted);
	for (size_t i = 0; texts[i]; i++)
		if (!strstr(error.text, texts[i]))
			fail_msg("'%s' does not say '%s'", error.text, texts[i]);
}

int pin_get(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), PINS "/%s", name);
	return bpf_obj_get(path);
}

int pin_count(const char *folder)
{
	struct dirent *entry;
	char path[256];
	int count = 0;
	DIR *stream;

	snprintf(path, sizeof(path), PINS "/%s", folder);
	stream = opendir(path);
	if (!stream)
		return -1;
	while ((entry = readdir(stream)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(stream);
	return count;
}

struct weir_meta meta_get(void)
{
	_cleanup_close_ int fd = pin_get("maps/meta");
	struct weir_meta meta = {};
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &meta), 0);
	return meta;
}

void meta_set(const struct weir_meta *meta)
{
	_cleanup_close_ int fd = pin_get("maps/meta");
	uint32_t zero = 0;

	assert_int_equal(bpf_map_update_elem(fd, &zero, meta, BPF_ANY), 0);
}
