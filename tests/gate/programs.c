// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/base/cleanup.h"
#include "src/datapath/check_path.h"
#include "src/datapath/datapath.h"
#include "src/datapath/decap.h"

/*
 * Loads every BPF program that weir has and prints what each costs: instructions that the verifier
 * looked at, instructions after it, bytes of machine code. For tests/gate/gate.
 */

static const struct datapath_sizes sizes = {
	.flows = 1024,
	.flows_v6 = 1024,
	.half_open = 64,
	.half_open_v6 = 64,
	.sessions = 1024,
	.services = 64,
	.backends = 64,
	.slots = 1024,
	.listeners = 64,
	.port_ranges = 64,
	.hops = 64,
	.snat_addresses = 16,
	.port_queues = 4,
};

/* Figures of one kernel and compiler say nothing of those of another. */
static void print_figure(const char *program, const char *what, size_t figure)
{
	struct utsname system = {};
	int major = 0, minor = 0;

	uname(&system);
	sscanf(system.release, "%d.%d", &major, &minor);
	printf("linux-%d.%d-%s-" GATE_BPF_COMPILER " %s %s %zu\n", major, minor, system.machine,
	       program, what, figure);
}

static int print_program(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -1;
	print_figure(info.name, "verified", info.verified_insns);
	print_figure(info.name, "translated", info.xlated_prog_len / sizeof(struct bpf_insn));
	print_figure(info.name, "machine", info.jited_prog_len);
	return 0;
}

/* Those that this process holds: others on the machine are none of ours. */
static int print_programs(void)
{
	struct dirent *entry;
	char target[64];
	int r = 0;
	DIR *descriptors = opendir("/proc/self/fd");

	if (!descriptors)
		return -1;
	while (!r && (entry = readdir(descriptors)) != NULL) {
		ssize_t length = readlinkat(dirfd(descriptors), entry->d_name, target,
					    sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		if (strcmp(target, "anon_inode:bpf-prog") == 0)
			r = print_program(atoi(entry->d_name));
	}
	closedir(descriptors);
	return r;
}

int main(void)
{
	struct check_path *check_path = NULL;
	struct datapath *datapath = NULL;
	struct decap *decap = NULL;
	struct error error = {};
	int r = datapath_open(&sizes, NULL, &datapath, NULL, &error);

	if (!r)
		r = datapath_watch_failures(datapath, &error);
	if (!r)
		r = check_path_open(1, &check_path, &error);
	if (!r)
		r = decap_open(NULL, 0, &decap, &error);
	if (r)
		fprintf(stderr, "%s\n", error.text);
	else
		r = print_programs();
	decap_close(decap);
	check_path_close(check_path);
	datapath_close(datapath);
	return r ? 1 : 0;
}
