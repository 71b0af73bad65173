// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/model/listeners.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* How long the start waits for the backends' MAC addresses. */
#define FIRST_RESOLUTION_MS 1000

void daemon_stop(struct daemon *daemon, int status)
{
	daemon->stopping = true;
	daemon->status = status;
	uv_stop(&daemon->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;

	if (!daemon->stopping)
		log_info("%s: stopping", number == SIGINT  ? "SIGINT" :
					 number == SIGTERM ? "SIGTERM" :
							     "SIGHUP");
	daemon_stop(daemon, 0);
}

/* From here on a signal no longer kills: what was done is undone first. */
static int catch_signals(struct daemon *daemon)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uv_signal_init(&daemon->loop, &daemon->signals[i]);
		daemon->signals[i].data = daemon;
		err = uv_signal_start(&daemon->signals[i], on_signal, numbers[i]);
	}
	return err;
}

static int open_tables(struct daemon *daemon, struct error *error)
{
	_cleanup_free_ struct weir_listener *entries = NULL, *listeners = NULL;
	struct datapath_sizes sizes;
	int count, err;

	err = registry_init(&daemon->registry, daemon->config);
	if (err < 0)
		return error_set(error, err, "out of memory");
	entries = registry_listeners(&daemon->registry);
	if (!entries)
		return error_set(error, -ENOMEM, "out of memory");
	count = listeners_build(entries, daemon->registry.listens, &listeners);
	if (count < 0)
		return error_set(error, count, "cannot build the table of listen addresses: %s",
				 strerror(-count));
	err = registry_sizes(&daemon->registry, daemon->config, count, &sizes, error);
	if (err == 0)
		err = datapath_open(&sizes, &daemon->datapath, error);
	if (err < 0)
		return err;
	daemon->tables = datapath_tables(daemon->datapath);
	return publish_all(daemon, listeners, count, error);
}

static void on_waited(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static void wait_for_backends(struct daemon *daemon)
{
	if (network_is_resolved(daemon))
		return;
	daemon->waiting = true;
	uv_update_time(&daemon->loop);
	uv_timer_start(&daemon->first_resolution, on_waited, FIRST_RESOLUTION_MS, 0);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&daemon->first_resolution);
	daemon->waiting = false;
}

/* What is changed from here on is in the state file first. */
static int enter_network(struct daemon *daemon, struct error *error)
{
	bool killed;
	int err = forwarding_adopt(daemon, &killed, error);

	if (err == 0)
		err = network_start(daemon, error);
	if (err < 0)
		return err;
	if (killed)
		resolver_remove_leftovers(daemon->resolver);
	wait_for_backends(daemon);
	return 0;
}

static int set_forwarding(struct daemon *daemon, struct error *error)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < daemon->config->interface_count; i++)
		err = forwarding_set(daemon, &daemon->interfaces[i], error);
	return err;
}

static void warn_of_limits(const struct config_limits *limits)
{
	if (limits->half_open >= limits->flows)
		log_warning(
			"limits: %u half-open flows are not less than %u flows: a flood of SYNs "
			"can fill the table; choose --half-open below --flows",
			limits->half_open, limits->flows);
}

/* Everything up to "ready". On failure, or when a signal came, the tear-down undoes what was done. */
static int start(struct daemon *daemon, struct error *error)
{
	int err;

	err = control_server_new(&daemon->loop, daemon->options->socket_path, daemon_commands,
				 daemon, &daemon->control, error);
	if (err == 0)
		err = interfaces_find(daemon, error);
	if (err == 0)
		err = open_tables(daemon, error);
	if (err == 0)
		err = snat_ports_start(daemon, error);
	if (err == 0)
		err = enter_network(daemon, error);
	if (err < 0 || daemon->stopping)
		return err;
	err = set_forwarding(daemon, error);
	if (err == 0)
		err = interfaces_attach(daemon, error);
	if (err < 0)
		return err;
	err = sweep_start(daemon);
	if (err < 0)
		return error_set(error, err, "cannot start the sweep: %s", strerror(-err));
	daemon->ready = true;
	network_log_all(daemon);
	snat_log_capacity(daemon);
	warn_of_limits(&daemon->config->limits);
	puts("weir: ready");
	fflush(stdout);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *user)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* Undoes start(), however far it came, in the opposite order. */
static void tear_down(struct daemon *daemon)
{
	struct error error;

	daemon->stopping = true;
	interfaces_detach(daemon);
	forwarding_restore(daemon);
	network_stop(daemon);
	if (restore_end(&daemon->restore, &error) < 0)
		log_error("%s", error.text);
	restore_free(&daemon->restore);
	control_server_free(daemon->control);
	grace_close(&daemon->grace);
	uv_walk(&daemon->loop, close_handle, NULL);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&daemon->loop) < 0)
		log_debug("the loop still has handles");
	datapath_close(daemon->datapath);
	sweep_free(daemon);
	snat_pool_free(&daemon->snat_pool);
	hops_free(&daemon->hops);
	registry_free(&daemon->registry);
	free(daemon->interfaces);
	free(daemon->snat_here);
}

int daemon_run(const struct config *config, const struct daemon_options *options)
{
	_cleanup_free_ struct daemon *daemon = calloc(1, sizeof(*daemon));
	struct error error = {};
	int err;

	if (!daemon || uv_loop_init(&daemon->loop) < 0) {
		log_error("out of memory");
		return 1;
	}
	daemon->config = config;
	daemon->options = options;
	daemon->started_ms = uv_hrtime() / 1000000;
	grace_init(&daemon->grace, &daemon->loop);
	uv_timer_init(&daemon->loop, &daemon->first_resolution);
	err = catch_signals(daemon);
	if (err < 0)
		error_set(&error, err, "cannot catch signals: %s", strerror(-err));
	else
		err = start(daemon, &error);
	if (err < 0) {
		log_error("%s", error.text);
		daemon->status = 1;
	} else if (!daemon->stopping) {
		uv_run(&daemon->loop, UV_RUN_DEFAULT);
	}
	tear_down(daemon);
	return daemon->status;
}
