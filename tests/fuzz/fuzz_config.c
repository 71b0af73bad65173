// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cleanup.h"
#include "src/model/config_file.h"

/* Whatever is read as a configuration is refused with a position, or accepted, and then survives. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_report(size_t line, size_t column, const char *text, void *user)
{
	if (!line || !column || !text[0])
		abort();
	++*(size_t *)user;
}

static void refuse_difference(const char *path, const char *old_value, const char *new_value,
			      void *user)
{
	abort();
}

static void check_round_trip(const struct config *config)
{
	_cleanup_free_ char *text = config_write(config);
	_cleanup_(config_free) struct config again;
	size_t reports = 0;

	config_init(&again);
	if (!text || config_file_parse(text, strlen(text), &again, count_report, &reports) != 0)
		abort();
	config_diff(config, &again, refuse_difference, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(config_free) struct config config;
	size_t reports = 0;
	int r;

	config_init(&config);
	r = config_file_parse((const char *)data, size, &config, count_report, &reports);
	if (r != (reports ? -EINVAL : 0))
		abort();
	if (r == 0)
		check_round_trip(&config);
	return 0;
}
