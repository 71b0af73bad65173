/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

#include "src/model/config.h"

/* One thing that is wrong in a file; line and column count from 1. */
typedef void (*config_file_report_fn)(size_t line, size_t column, const char *text, void *user);

/*
 * Reads a YAML configuration (interface.md). Reports every error, not only the first, syntax, types,
 * ranges and combinations alike, in the order of their positions. Returns 0 with @config filled (it
 * was initialised by the caller, who frees it in any case), -EINVAL after at least one report, or
 * -ENOMEM. @text need not end with NUL.
 */
int config_file_parse(const char *text, size_t length, struct config *config,
		      config_file_report_fn report, void *user);
/* The same from a file. Another negative errno: it cannot be read. */
int config_file_load(const char *path, struct config *config, config_file_report_fn report,
		     void *user);

/* @config as YAML that config_file_parse() takes and finds equal. Freed by the caller; NULL: no memory. */
char *config_write(const struct config *config);

/*
 * What differs between two configurations, one call for each key: "services.web.backends[10.0.0.1:80].
 * weight", and the values as the file would have them (NULL: not there). Returns how many, or -ENOMEM.
 */
typedef void (*config_diff_fn)(const char *path, const char *old_value, const char *new_value,
			       void *user);
int config_diff(const struct config *old_config, const struct config *new_config,
		config_diff_fn tell, void *user);
