// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads BPF objects and prints how many instructions the verifier of this kernel went through for
 * each of their programs: OBJECT PROGRAM COUNT.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

/* weir of /some/where/weir.bpf.o */
static void print_counts(const char *path, const struct bpf_object *object)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (!bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			printf("%.*s %s %u\n", (int)strcspn(name, "."), name,
			       bpf_program__name(program), info.verified_insns);
	}
}

static int load(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	int r = object ? bpf_object__load(object) : -errno;

	if (r)
		fprintf(stderr, "cannot load %s: %s\n", path, strerror(-r));
	else
		print_counts(path, object);
	bpf_object__close(object);
	return r;
}

int main(int count, char **arguments)
{
	int failed = 0;

	libbpf_set_print(print_warnings);
	for (int i = 1; i < count; i++)
		if (load(arguments[i]))
			failed = 1;
	return failed;
}
