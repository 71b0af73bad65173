/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* What is shared with primitives.bpf.c, which knows nothing of the rest. */
#define PRIMITIVE_TIMES 8

#ifndef __bpf__

#include <stddef.h>
#include <stdint.h>

#include "bench/traffic.h"
#include "src/base/error.h"

#define PRIMITIVES 9
#define PRIMITIVE_LOADS 64

/* One of the things that programs are made of: a call, a helper, a counter. */
struct primitive {
	const char *name;
	uint32_t times;
	double ns[PRIMITIVE_LOADS]; /* all @times of them, in each load */
};

extern struct primitive primitives[PRIMITIVES];

/* Loads them afresh and measures each, several times in turn; *ns of @load is the least. */
int primitives_measure(struct traffic *traffic, uint32_t load, struct error *error);

#endif
