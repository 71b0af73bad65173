// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A reload that was asked for. The first one of the daemon's list is under way. */
struct reload_job {
	struct reload_job *next;
	const struct datapath *datapath;
	struct datapath_sessions *sessions; /* NULL: there is room for those of the file */
	struct control_request *request; /* NULL: a signal asked for it, or whoever did has left */
	uint64_t confirm_ms;
};

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

struct config *reload_clone(const struct config *config)
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
	struct config *live = reload_clone(file);
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

/* Makes @file, which it takes, what the run-time changes are laid on. */
static int take_file(struct daemon *daemon, struct config *file, uint64_t confirm_ms,
		     struct error *error)
{
	struct config *before = daemon->file;
	struct overrides changes;
	int err = changes_copy(&daemon->overrides, &changes, error);

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

static void on_gone(struct control_request *request, void *user)
{
	struct reload_job *job = user;

	job->request = NULL;
}

/* Whoever asked for it is told, if he is still there. */
static void end_job(struct daemon *daemon, int err, const struct error *error)
{
	struct reload_job *job = daemon->reloads;

	if (err < 0) {
		daemon->reload_failures++;
		log_error("not reloaded, the old configuration runs on: %s", error->text);
	}
	notify_ready();
	daemon->reloads = job->next;
	if (job->request && err == 0)
		config_reply_generation(job->request, daemon);
	if (job->request)
		control_finish(job->request, err < 0 ? error : NULL);
	free(job);
}

static void begin_job(struct daemon *daemon);

/* Aside, as the reading: tables that were made for nat alone have no room for sessions of dsr and ipip. */
static int make_room(const struct config *file, void *user, struct error *error)
{
	struct reload_job *job = user;

	return datapath_sessions_make(job->datapath, registry_sessions(file), &job->sessions,
				      error);
}

/* Before the first packet comes that needs it. */
static int use_room(struct daemon *daemon, const struct config *file,
		    struct datapath_sessions *sessions, struct error *error)
{
	int err = sessions ? apply_check(daemon, file, error) : 0;

	if (err < 0 || !sessions)
		return err;
	err = datapath_sessions_use(daemon->datapath, sessions, error);
	if (err == 0)
		log_info("made a table for %u sessions of dsr and ipip", registry_sessions(file));
	return err;
}

static void on_read(struct daemon *daemon, struct config *file, int err, struct error *error,
		    void *user)
{
	struct reload_job *job = user;

	if (err == 0 && !daemon->stopping)
		err = use_room(daemon, file, job->sessions, error);
	datapath_sessions_drop(TAKE(job->sessions));
	if (daemon->stopping || err < 0)
		reload_drop(&file);
	if (daemon->stopping)
		return;
	if (err == 0)
		err = take_file(daemon, file, job->confirm_ms, error);
	end_job(daemon, err, error);
	begin_job(daemon);
}

/* The next one of those that wait. */
static void begin_job(struct daemon *daemon)
{
	struct error error = {};
	int err = 0;

	while (daemon->reloads) {
		notify_reloading();
		err = reading_begin(daemon, make_room, on_read, daemon->reloads, &error);
		if (err == 0)
			return;
		end_job(daemon, err, &error);
	}
}

int reload_from_file(struct daemon *daemon, uint64_t confirm_ms, struct control_request *request,
		     struct error *error)
{
	struct reload_job **last = &daemon->reloads, *job;

	if (!daemon->options->config_path)
		return error_set(error, -EINVAL,
				 "this weir was started without a file (-i): there is nothing to "
				 "reload");
	/* A signal that waits already stands for this one, too. */
	for (job = daemon->reloads ? daemon->reloads->next : NULL; job; job = job->next)
		if (!request && !job->request && !job->confirm_ms)
			return 0;
	job = calloc(1, sizeof(*job));
	if (!job)
		return error_set(error, -ENOMEM, "out of memory");
	*job = (struct reload_job){
		.datapath = daemon->datapath,
		.request = request,
		.confirm_ms = confirm_ms,
	};
	if (request)
		control_defer(request, on_gone, job);
	while (*last)
		last = &(*last)->next;
	*last = job;
	if (job == daemon->reloads)
		begin_job(daemon);
	return 0;
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
	while (daemon->reloads) {
		struct reload_job *job = daemon->reloads;

		daemon->reloads = job->next;
		free(job);
	}
	end_trial(daemon);
	reload_drop(&daemon->live);
	reload_drop(&daemon->file);
	overrides_free(&daemon->overrides);
}

int reload_begin(struct daemon *daemon, const struct config *config, struct error *error)
{
	uv_timer_init(&daemon->loop, &daemon->trial.timer);
	daemon->trial.timer.data = daemon;
	daemon->file = reload_clone(config);
	daemon->live = reload_clone(config);
	if (!daemon->file || !daemon->live || overrides_apply(&daemon->overrides, daemon->live) < 0)
		return error_set(error, -ENOMEM, "out of memory");
	daemon->config = daemon->live;
	return 0;
}
