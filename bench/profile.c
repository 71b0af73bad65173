// SPDX-License-Identifier: GPL-2.0-only
#include "bench/profile.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "src/base/cleanup.h"

#define PROGRAMS_MOST 8

/* Each sample takes two words in the ring. */
#define RING_WORDS (2 * PROFILE_SAMPLES)
#define RING_BYTES (RING_WORDS * sizeof(uint64_t))

/* The machine code of a program, and the source lines that it was made from. */
struct code {
	const char *name;
	struct bpf_prog_info info; /* its arrays lie in @memory */
	void *memory;
	struct bpf_prog_linfo *lines;
	struct btf *btf;
};

struct profiler {
	int event;
	void *map; /* of @event: a head page and the ring behind it */
	size_t page;
	struct code codes[PROGRAMS_MOST];
	size_t code_count;
};

static int open_event(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attributes),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PROFILE_PERIOD_NS,
		.sample_type = PERF_SAMPLE_IP,
		.disabled = 1,
		.exclude_user = 1,
	};
	long fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

/* Room for what a second look at the program fills, one array behind the other. */
static int make_room(struct code *code, const struct bpf_prog_info *sizes)
{
	struct bpf_prog_info *info = &code->info;
	const struct {
		__u32 *count;
		__u32 *record;
		__u64 *array;
		__u32 counted;
		__u32 size;
	} arrays[] = {
		{ &info->nr_jited_ksyms, NULL, (__u64 *)&info->jited_ksyms, sizes->nr_jited_ksyms,
		  sizeof(__u64) },
		{ &info->nr_jited_line_info, &info->jited_line_info_rec_size,
		  (__u64 *)&info->jited_line_info, sizes->nr_jited_line_info,
		  sizes->jited_line_info_rec_size },
		{ &info->nr_jited_func_lens, NULL, (__u64 *)&info->jited_func_lens,
		  sizes->nr_jited_func_lens, sizeof(__u32) },
		{ &info->nr_line_info, &info->line_info_rec_size, (__u64 *)&info->line_info,
		  sizes->nr_line_info, sizes->line_info_rec_size },
	};
	size_t count = sizeof(arrays) / sizeof(arrays[0]), used = 0, total = 0;

	for (size_t i = 0; i < count; i++)
		total += ((size_t)arrays[i].counted * arrays[i].size + 7) & ~7UL;
	code->memory = calloc(1, total + 8);
	if (!code->memory)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		*arrays[i].count = arrays[i].counted;
		if (arrays[i].record)
			*arrays[i].record = arrays[i].size;
		*arrays[i].array = (uintptr_t)code->memory + used;
		used += ((size_t)arrays[i].counted * arrays[i].size + 7) & ~7UL;
	}
	return 0;
}

static int read_code(struct code *code, const struct profile_program *program)
{
	struct bpf_prog_info sizes = {};
	uint32_t length = sizeof(sizes);
	int r;

	code->name = program->name;
	r = bpf_obj_get_info_by_fd(program->fd, &sizes, &length);
	if (!r)
		r = make_room(code, &sizes);
	length = sizeof(code->info);
	if (!r)
		r = bpf_obj_get_info_by_fd(program->fd, &code->info, &length);
	if (r)
		return r;
	code->lines = bpf_prog_linfo__new(&code->info);
	code->btf = btf__load_from_kernel_by_id(code->info.btf_id);
	return code->lines && code->btf ? 0 : -ENOENT;
}

int profiler_open(const struct profile_program *programs, size_t count, struct profiler **ret)
{
	struct profiler *profiler;
	int r = 0;

	if (count > PROGRAMS_MOST)
		return -E2BIG;
	profiler = calloc(1, sizeof(*profiler));
	if (!profiler)
		return -ENOMEM;
	profiler->map = MAP_FAILED;
	profiler->page = (size_t)sysconf(_SC_PAGESIZE);
	profiler->event = open_event();
	if (profiler->event < 0)
		r = profiler->event;
	for (size_t i = 0; i < count && !r; i++)
		r = read_code(&profiler->codes[profiler->code_count++], &programs[i]);
	if (!r) {
		profiler->map = mmap(NULL, profiler->page + RING_BYTES, PROT_READ | PROT_WRITE,
				     MAP_SHARED, profiler->event, 0);
		r = profiler->map == MAP_FAILED ? -errno : 0;
	}
	if (r) {
		profiler_close(profiler);
		return r;
	}
	*ret = profiler;
	return 0;
}

void profiler_close(struct profiler *profiler)
{
	if (!profiler)
		return;
	if (profiler->map != MAP_FAILED)
		munmap(profiler->map, profiler->page + RING_BYTES);
	if (profiler->event >= 0)
		close(profiler->event);
	for (size_t i = 0; i < profiler->code_count; i++) {
		bpf_prog_linfo__free(profiler->codes[i].lines);
		btf__free(profiler->codes[i].btf);
		free(profiler->codes[i].memory);
	}
	free(profiler);
}

int profiler_start(struct profiler *profiler)
{
	return ioctl(profiler->event, PERF_EVENT_IOC_ENABLE, 0) ? -errno : 0;
}

/*
 * The line that the instruction at @address in the function @index was made from. The compiler gives line 0 to
 * what it has put together from several: then that of the instructions before.
 */
static const struct bpf_line_info *line_at(const struct code *code, uint64_t start,
					   uint64_t address, __u32 index)
{
	const struct bpf_line_info *line = NULL;

	for (; address >= start; address--) {
		line = bpf_prog_linfo__lfind_addr_func(code->lines, address, index, 0);
		if (line && BPF_LINE_INFO_LINE_NUM(line->line_col))
			return line;
	}
	return line;
}

/* Is @address in @code? Then fills @spot with the line that it belongs to. */
static int find_line(const struct code *code, uint64_t address, struct profile_spot *spot)
{
	const __u64 *starts = (const void *)(uintptr_t)code->info.jited_ksyms;
	const __u32 *lengths = (const void *)(uintptr_t)code->info.jited_func_lens;
	const struct bpf_line_info *line = NULL;
	const char *file;

	for (__u32 i = 0; i < code->info.nr_jited_ksyms; i++) {
		if (address < starts[i] || address >= starts[i] + lengths[i])
			continue;
		line = line_at(code, starts[i], address, i);
		file = line ? btf__name_by_offset(code->btf, line->file_name_off) : NULL;
		spot->line = line ? BPF_LINE_INFO_LINE_NUM(line->line_col) : 0;
		if (file && strrchr(file, '/'))
			file = strrchr(file, '/') + 1;
		snprintf(spot->program, sizeof(spot->program), "%s", code->name);
		snprintf(spot->file, sizeof(spot->file), "%s", file ? file : "prologue");
		return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* One spot for each address, with the line that it belongs to. */
static int find_spots(const struct profiler *profiler, uint64_t *addresses, size_t count,
		      struct profile *ret)
{
	struct profile_spot *spots = calloc(count + 1, sizeof(*spots));
	size_t used = 0;

	if (!spots)
		return -ENOMEM;
	qsort(addresses, count, sizeof(*addresses), compare);
	for (size_t i = 0; i < count; i++) {
		struct profile_spot *spot = &spots[used];

		if (i && addresses[i] == addresses[i - 1]) {
			spots[used - 1].samples++;
			continue;
		}
		*spot = (struct profile_spot){ .address = addresses[i], .samples = 1 };
		for (size_t k = 0; k < profiler->code_count; k++)
			if (find_line(&profiler->codes[k], addresses[i], spot))
				break;
		used++;
	}
	*ret = (struct profile){ spots, used };
	return 0;
}

int profiler_stop(struct profiler *profiler, struct profile *ret)
{
	struct perf_event_mmap_page *head = profiler->map;
	const uint64_t *ring = profiler->map + profiler->page;
	_cleanup_free_ uint64_t *addresses = calloc(PROFILE_SAMPLES, sizeof(*addresses));
	uint64_t at = head->data_tail, end;
	size_t count = 0;

	if (ioctl(profiler->event, PERF_EVENT_IOC_DISABLE, 0))
		return -errno;
	if (!addresses)
		return -ENOMEM;
	end = __atomic_load_n(&head->data_head, __ATOMIC_ACQUIRE);
	while (at < end) {
		const struct perf_event_header *record =
			(const void *)&ring[at / sizeof(*ring) % RING_WORDS];

		if (record->type == PERF_RECORD_SAMPLE && count < PROFILE_SAMPLES)
			addresses[count++] = ring[(at / sizeof(*ring) + 1) % RING_WORDS];
		at += record->size;
	}
	__atomic_store_n(&head->data_tail, end, __ATOMIC_RELEASE);
	return find_spots(profiler, addresses, count, ret);
}
