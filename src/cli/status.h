/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Tables of services and of backends (arrays of documents). 0 or -ENOMEM. */
int print_services(const json_t *services, size_t width);
int print_backends(const json_t *backends, size_t width);

/* The screen of `weir status`. */
int print_status(const json_t *status, const json_t *services, const json_t *backends,
		 size_t width);
