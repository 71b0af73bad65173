// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/host_addresses.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/model/config_file.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the configuration file on another thread: a large one takes longer than health checks can wait. */

struct first_error {
	char text[256];
	size_t count;
};

struct reading {
	uv_work_t work;
	struct daemon *daemon;
	const char *path;
	struct config *config;
	int status;
	struct error error;
	reading_work_fn work_too;
	reading_done_fn done;
	void *user;
};

static void take_error(size_t line, size_t column, const char *text, void *user)
{
	struct first_error *first = user;

	if (!first->count++)
		snprintf(first->text, sizeof(first->text), "%zu:%zu: %s", line, column, text);
	log_error("configuration, line %zu, column %zu: %s", line, column, text);
}

static int read_file(const char *path, struct config **ret, struct error *error)
{
	_cleanup_free_ struct weir_address *addresses = NULL;
	struct config *config = malloc(sizeof(*config));
	struct first_error first = {};
	int err;

	if (!config)
		return error_set(error, -ENOMEM, "out of memory");
	config_init(config);
	config->host_address_count = host_addresses_read(&addresses);
	config->host_addresses = addresses;
	err = config_file_load(path, config, take_error, &first);
	config->host_address_count = 0;
	config->host_addresses = NULL;
	if (err == 0) {
		*ret = config;
		return 0;
	}
	reload_drop(&config);
	if (!first.count)
		return error_set(error, err, "%s: %s", path, strerror(-err));
	if (first.count == 1)
		return error_set(error, err, "%s:%s", path, first.text);
	return error_set(error, err, "%s:%s (and %zu more: weir check -c %s)", path, first.text,
			 first.count - 1, path);
}

/* On the other thread: nothing of the daemon is touched. */
static void on_work(uv_work_t *work)
{
	struct reading *reading = work->data;

	reading->status = read_file(reading->path, &reading->config, &reading->error);
	if (reading->status == 0 && reading->work_too)
		reading->status = reading->work_too(reading->config, reading->user,
						    &reading->error);
}

static void on_worked(uv_work_t *work, int status)
{
	struct reading *reading = work->data;

	reading->done(reading->daemon, reading->config, reading->status, &reading->error,
		      reading->user);
	free(reading);
	/* What it was made of can be as large as what runs: memory goes back to the system. */
	malloc_trim(0);
}

int reading_begin(struct daemon *daemon, reading_work_fn work, reading_done_fn done, void *user,
		  struct error *error)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	int err = -ENOMEM;

	if (reading) {
		*reading = (struct reading){
			.work.data = reading,
			.daemon = daemon,
			.path = daemon->options->config_path,
			.work_too = work,
			.done = done,
			.user = user,
		};
		err = uv_queue_work(&daemon->loop, &reading->work, on_work, on_worked);
	}
	if (err == 0)
		return 0;
	free(reading);
	return error_set(error, err, "cannot read the configuration: %s", strerror(-err));
}
