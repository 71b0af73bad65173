/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "abi/check.h"
#include "src/base/error.h"

/*
 * The programs that lead health checks to a service address by way of one backend, beside the
 * balancer's object. Nothing of them outlives check_path_close() or, on kernels with tcx (6.6), the
 * process. Functions return 0 or a negative errno.
 */
struct check_path;

enum check_side {
	CHECK_OUT, /* on the interface that check addresses are routed to */
	CHECK_IN,  /* on one that backends' replies come in by */
};

/*
 * @owner tells the filters of this daemon from those of others, on kernels without tcx; not 0.
 */
int check_path_open(uint32_t owner, struct check_path **ret, struct error *error);
void check_path_close(struct check_path *path); /* NULL is allowed */

/* Once for each interface and side; again is allowed and does nothing. */
int check_path_attach(struct check_path *path, uint32_t ifindex, enum check_side side,
		      struct error *error);
/* The same as on a kernel without tcx. */
int check_path_attach_filter(struct check_path *path, uint32_t ifindex, enum check_side side,
			     struct error *error);
/* Takes off the filter that a killed daemon has left on a kernel without tcx. True: there was one. */
bool check_path_remove_filter(uint32_t owner, uint32_t ifindex);

/* Where the check addresses of @place lead to. NULL: nowhere. */
int check_path_set(struct check_path *path, uint32_t place, const struct weir_check *way);

/* The program's descriptor, owned by @path: for BPF_PROG_TEST_RUN. */
int check_path_fd(const struct check_path *path, enum check_side side);
