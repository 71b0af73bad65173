// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/host_addresses.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/notify.h"
#include "src/model/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After a roll-back that failed, for want of room in a table for example. */
#define ROLLBACK_RETRY_MS 5000

void reload_drop(struct config **config)
{
	if (!*config)
		return;
	config_free(*config);
	free(*config);
	*config = NULL;
}

/* A configuration of its own. NULL: no memory. */
static struct config *config_clone(const struct config *config)
{
	struct config *copy = malloc(sizeof(*copy));

	if (!copy || config_copy(config, copy) == 0)
		return copy;
	free(copy);
	return NULL;
}

/* Makes @file with the run-time changes on top what runs, or leaves what runs. */
static int run_with(struct daemon *daemon, const struct config *file, bool check,
		    struct error *error)
{
	struct config *live = config_clone(file);
	struct config *before = daemon->live;
	struct error other = {};
	int err;

	if (!live)
		return error_set(error, -ENOMEM, "out of memory");
	err = overrides_apply(&daemon->overrides, live);
	if (err < 0)
		error_set(error, err, "run-time changes: %s", strerror(-err));
	if (err == 0 && check)
		err = config_check(live, error);
	if (err == 0)
		err = apply_check(daemon, live, error);
	if (err < 0) {
		reload_drop(&live);
		return err;
	}
	err = apply_config(daemon, live, error);
	if (err == 0)
		err = forwarding_follow(daemon, error);
	if (err < 0) {
		if (apply_config(daemon, before, &other) == 0)
			reload_drop(&live);
		else /* what runs is partly of it: it stays in memory */
			log_error("cannot go back to the configuration before: %s", other.text);
		return err;
	}
	daemon->live = live;
	reload_drop(&before);
	snat_ports_follow(daemon);
	return 0;
}

/* Puts @wanted, which it takes, in the place of @live and makes it what runs, or leaves what runs. */
static int run_service(struct daemon *daemon, struct config_service *live,
		       struct config_service *wanted, bool check, struct error *error)
{
	struct config_service before = *live;
	struct error other = {};
	int err;

	*live = *wanted;
	err = check ? config_check(daemon->live, error) : 0;
	if (err < 0) {
		*live = before;
		config_service_free(wanted);
		return err;
	}
	err = apply_backends_of(daemon, live, error);
	if (err == 0) {
		daemon->registry.backend_count += live->backend_count - before.backend_count;
		config_service_free(&before);
		return 0;
	}
	*live = before;
	if (apply_backends_of(daemon, live, &other) == 0)
		config_service_free(wanted);
	else /* what runs is partly of it: it stays in memory */
		log_error("service %s: cannot go back to the backends before: %s", live->name,
			  other.text);
	return err;
}

int reload_service(struct daemon *daemon, const char *name, bool check, struct error *error)
{
	const struct config_service *file = config_find_service(daemon->file, name);
	/* Run-time changes make and remove no service: each has its place in both. */
	struct config_service *live = &daemon->live->services[file - daemon->file->services];
	struct config_service wanted = {};
	int err = config_service_copy(file, &wanted);

	if (err == 0)
		err = overrides_apply_service(&daemon->overrides, &wanted);
	if (err == 0)
		return run_service(daemon, live, &wanted, check, error);
	config_service_free(&wanted);
	return error_set(error, err, "out of memory");
}

struct first_error {
	char text[256];
	size_t count;
};

static void take_error(size_t line, size_t column, const char *text, void *user)
{
	struct first_error *first = user;

	if (!first->count++)
		snprintf(first->text, sizeof(first->text), "%zu:%zu: %s", line, column, text);
	log_error("configuration, line %zu, column %zu: %s", line, column, text);
}

int reload_read(const struct daemon *daemon, struct config **ret, struct error *error)
{
	const char *path = daemon->options->config_path;
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

static void end_trial(struct daemon *daemon)
{
	uv_timer_stop(&daemon->trial.timer);
	reload_drop(&daemon->trial.before);
	overrides_free(&daemon->trial.changes);
}

static void on_trial_over(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct error error = {};

	log_warning("nobody confirmed the new configuration");
	if (reload_rollback(daemon, &error) == 0)
		return;
	log_error("cannot roll back: %s; trying again in %d s", error.text,
		  ROLLBACK_RETRY_MS / 1000);
	uv_timer_start(timer, on_trial_over, ROLLBACK_RETRY_MS, 0);
}

/* The file that runs from now on; the one before is kept while the new one is on trial. */
static void begin_trial(struct daemon *daemon, struct config *before, struct overrides *changes,
			uint64_t confirm_ms)
{
	/* Confirmed by another reload: what was tried is what one goes back to. */
	end_trial(daemon);
	if (!confirm_ms) {
		reload_drop(&before);
		overrides_free(changes);
		changes_save(daemon);
		return;
	}
	daemon->trial.before = before;
	daemon->trial.changes = *changes;
	daemon->trial.until_ms = uv_now(&daemon->loop) + confirm_ms;
	uv_timer_start(&daemon->trial.timer, on_trial_over, confirm_ms, 0);
	log_info("the new configuration is on trial for %llu s: weir confirm keeps it",
		 (unsigned long long)confirm_ms / 1000);
}

static int reload(struct daemon *daemon, uint64_t confirm_ms, struct error *error)
{
	struct config *file = NULL, *before = daemon->file;
	struct overrides changes;
	int err;

	if (!daemon->options->config_path)
		return error_set(error, -EINVAL,
				 "this weir was started without a file (-i): there is nothing to "
				 "reload");
	err = reload_read(daemon, &file, error);
	if (err < 0)
		return err;
	err = changes_copy(&daemon->overrides, &changes, error);
	if (err < 0) {
		reload_drop(&file);
		return err;
	}
	overrides_prune(&daemon->overrides, file);
	err = run_with(daemon, file, true, error);
	if (err < 0) {
		overrides_free(&daemon->overrides);
		daemon->overrides = changes;
		reload_drop(&file);
		return err;
	}
	daemon->file = file;
	begin_trial(daemon, before, &changes, confirm_ms);
	log_info("reloaded: generation %llu, %zu services",
		 (unsigned long long)daemon->tables->root->generation,
		 daemon->config->service_count);
	return 0;
}

int reload_from_file(struct daemon *daemon, uint64_t confirm_ms, struct error *error)
{
	int err;

	notify_reloading();
	err = reload(daemon, confirm_ms, error);
	if (err < 0) {
		daemon->reload_failures++;
		log_error("not reloaded, the old configuration runs on: %s", error->text);
	}
	notify_ready();
	return err;
}

int reload_confirm(struct daemon *daemon, struct error *error)
{
	if (!daemon->trial.before)
		return error_set(error, -EINVAL, "no configuration is on trial");
	end_trial(daemon);
	changes_save(daemon);
	log_info("the new configuration is confirmed");
	return 0;
}

int reload_rollback(struct daemon *daemon, struct error *error)
{
	struct overrides changes = daemon->overrides;
	struct config *tried = daemon->file;
	int err;

	if (!daemon->trial.before)
		return error_set(error, -EINVAL,
				 "no configuration is on trial: there is nothing to go back to");
	daemon->overrides = daemon->trial.changes;
	err = run_with(daemon, daemon->trial.before, true, error);
	if (err < 0) {
		daemon->overrides = changes;
		return err;
	}
	overrides_free(&changes);
	daemon->file = daemon->trial.before;
	daemon->trial.before = NULL;
	daemon->trial.changes = (struct overrides){ 0 };
	end_trial(daemon);
	changes_save(daemon);
	reload_drop(&tried);
	log_info("rolled back to the configuration before; the file still has the other one");
	return 0;
}

void reload_free(struct daemon *daemon)
{
	end_trial(daemon);
	reload_drop(&daemon->live);
	reload_drop(&daemon->file);
	overrides_free(&daemon->overrides);
}

int reload_begin(struct daemon *daemon, const struct config *config, struct error *error)
{
	uv_timer_init(&daemon->loop, &daemon->trial.timer);
	daemon->trial.timer.data = daemon;
	daemon->file = config_clone(config);
	daemon->live = config_clone(config);
	if (!daemon->file || !daemon->live || overrides_apply(&daemon->overrides, daemon->live) < 0)
		return error_set(error, -ENOMEM, "out of memory");
	daemon->config = daemon->live;
	return 0;
}
