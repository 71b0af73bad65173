/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Where in BPF programs the time goes: a clock interrupts this thread every 0.1 ms and notes the
 * instruction that it was at. No hardware counters, which virtual machines often lack. The samples between
 * profiler_start() and profiler_stop() must not be more than PROFILE_SAMPLES.
 */
#define PROFILE_SAMPLES 16384
#define PROFILE_PERIOD_NS 100000

/* A source line that samples fell on, or, with no file, an address of the kernel. */
struct profile_spot {
	char program[16];
	char file[64];
	uint32_t line;
	uint64_t address;
	uint32_t samples;
};

struct profile {
	struct profile_spot *spots; /* the caller frees it */
	size_t count;
};

struct profile_program {
	const char *name;
	int fd;
};

struct profiler;

/* All return 0 or a negative errno. */
int profiler_open(const struct profile_program *programs, size_t count, struct profiler **ret);
void profiler_close(struct profiler *profiler); /* NULL is allowed */
int profiler_start(struct profiler *profiler);
int profiler_stop(struct profiler *profiler, struct profile *ret);
