/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "bench/frame.h"
#include "src/base/error.h"

/*
 * Runs XDP programs over frames of many flows (wrapper.bpf.c). One wrapper serves for all programs
 * under test and all their loads.
 */
struct wrapper;

/* @tuples: room in the table. @ifindex: where the frames seem to come in. */
int wrapper_open(uint32_t tuples, uint32_t ifindex, struct wrapper **ret, struct error *error);
void wrapper_close(struct wrapper *wrapper); /* NULL is allowed */

/* The table of tuples, the wrapper's own memory. */
struct bench_tuple *wrapper_tuples(struct wrapper *wrapper);

/* What the next frame is made of: set it before a run; it moves on with each frame. */
struct bench_state *wrapper_state(struct wrapper *wrapper);

/* The program itself, an fd. */
int wrapper_program(const struct wrapper *wrapper);

/* Puts @program in the place of @target; BENCH_NOTHING has its own already. */
int wrapper_set_target(struct wrapper *wrapper, enum bench_target target, int program);

/*
 * Sends @packets frames through the program at @target. Returns 0 with the CPU time of this thread per packet in
 * *ns (NULL: not wanted) and the last packet's verdict in *verdict, or a negative errno.
 */
int wrapper_run(struct wrapper *wrapper, enum bench_target target, uint32_t packets, double *ns,
		uint32_t *verdict);
