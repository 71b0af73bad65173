/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/model/config.h"

/*
 * Run-time changes (`weir backend ...`) on top of the configuration file. Each one remembers what the
 * file said at its time, and falls away when the file says something else about that key.
 */
enum override_key {
	OVERRIDE_STATE,   /* value: enum backend_state */
	OVERRIDE_WEIGHT,  /* value: weight */
	OVERRIDE_ADDED,   /* a backend that the file does not have; value: its weight */
	OVERRIDE_REMOVED, /* a backend of the file that is not to be; no value */
};

struct override {
	char service[64];
	struct endpoint backend;
	enum override_key key;
	uint32_t value;
	uint32_t file_value; /* STATE, WEIGHT of a backend of the file */
};

struct overrides {
	struct override *entries;
	size_t count;
};

void overrides_free(struct overrides *overrides); /* a zeroed one too; leaves it zeroed */

/*
 * Each sets or replaces one change with respect to what @file says. @file is the configuration of
 * the file, without overrides. A change back to what the file says removes the entry.
 * -ENOENT: @file (with what was added) has no such service or backend; -EEXIST: added twice; -EINVAL,
 * -ENOMEM. @error says so in words.
 */
int overrides_set_state(struct overrides *overrides, const struct config *file, const char *service,
			const struct endpoint *backend, enum backend_state state,
			struct error *error);
int overrides_set_weight(struct overrides *overrides, const struct config *file,
			 const char *service, const struct endpoint *backend, uint32_t weight,
			 struct error *error);
int overrides_add(struct overrides *overrides, const struct config *file, const char *service,
		  const struct endpoint *backend, uint32_t weight, struct error *error);
int overrides_remove(struct overrides *overrides, const struct config *file, const char *service,
		     const struct endpoint *backend, struct error *error);
/* Forgets all changes of one backend (an added one is not forgotten, but loses state and weight). */
int overrides_reset(struct overrides *overrides, const struct config *file, const char *service,
		    const struct endpoint *backend, struct error *error);

/* Drops what @file has made void: another value of the key, a service or backend that is gone. */
void overrides_prune(struct overrides *overrides, const struct config *file);

/* Applies all to @config, a copy of the file's. -ENOMEM. */
int overrides_apply(const struct overrides *overrides, struct config *config);
/* The same for one service alone. */
int overrides_apply_service(const struct overrides *overrides, struct config_service *service);
