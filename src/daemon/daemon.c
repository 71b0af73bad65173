// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"
#include "src/daemon/kill.h"
#include "src/daemon/notify.h"
#include "src/daemon/override_store.h"
#include "src/daemon/privileges.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* How long the start waits for the backends' MAC addresses. */
#define FIRST_RESOLUTION_MS 1000

void daemon_stop(struct daemon *daemon, int status)
{
	daemon->stopping = true;
	daemon->status = status;
	uv_stop(&daemon->loop);
}

/*
 * Traffic goes on without the daemon if it is pinned; Ctrl-C says that somebody is done with trying.
 */
static bool detaches(const struct daemon *daemon, int number)
{
	return !daemon->options->pins || (number == SIGINT && isatty(STDIN_FILENO));
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *daemon = handle->data;
	struct error error = {};

	if (number == SIGHUP && daemon->options->config_path) {
		daemon->hangup = !daemon->ready;
		if (daemon->ready)
			reload_from_file(daemon, 0, NULL, &error);
		return;
	}
	daemon->detaches = detaches(daemon, number);
	if (!daemon->stopping)
		log_info("%s: %s",
			 number == SIGINT  ? "SIGINT" :
			 number == SIGTERM ? "SIGTERM" :
					     "SIGHUP",
			 daemon->detaches ? "stopping" :
					    "stopping; traffic flows on without the daemon "
					    "(weir detach ends it)");
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

/* Memory beside the tables, which says what is where in them. */
static int open_books(struct daemon *daemon, struct error *error)
{
	const struct datapath_tables *tables = daemon->tables;
	int err;

	access_init(&daemon->access);
	err = registry_init(&daemon->registry, &tables->sizes);
	if (err == 0)
		err = hops_init(&daemon->hops, tables->sizes.hops);
	if (err == 0)
		err = snat_pool_init(&daemon->snat_pool, tables->snat_addresses,
				     tables->sizes.snat_addresses, &daemon->grace);
	if (err == 0)
		err = ranges_init(&daemon->slot_ranges, tables->sizes.slots);
	if (err == 0)
		err = ranges_init(&daemon->listener_ranges, tables->sizes.listeners);
	if (err == 0)
		err = ranges_init(&daemon->port_range_ranges, tables->sizes.port_ranges);
	return err < 0 ? error_set(error, err, "out of memory") : 0;
}

/* Tables that are there need no room to spare, as new ones get: what fits, fits. apply_check() tells. */
static int open_datapath(struct daemon *daemon, struct datapath_sizes *sizes, struct error *error)
{
	const char *pins = daemon->options->pins;
	int err = datapath_open(sizes, pins, &daemon->datapath, &daemon->adopted, error);

	if (err != -E2BIG)
		return err;
	*sizes = (struct datapath_sizes){
		.flows = sizes->flows,
		.flows_v6 = sizes->flows_v6,
		.half_open = sizes->half_open,
		.half_open_v6 = sizes->half_open_v6,
		.sessions = sizes->sessions,
	};
	return datapath_open(sizes, pins, &daemon->datapath, &daemon->adopted, error);
}

static int open_tables(struct daemon *daemon, struct error *error)
{
	struct datapath_sizes sizes;
	int err;

	err = registry_sizes(daemon->config, &sizes, error);
	if (err == 0)
		err = open_datapath(daemon, &sizes, error);
	if (err < 0)
		return err;
	daemon->tables = datapath_tables(daemon->datapath);
	/* As far as it can be told before the tables are there: nothing was changed yet. */
	err = open_books(daemon, error);
	if (err == 0 && daemon->adopted)
		err = adopt_tables(daemon, error);
	if (err == 0)
		err = apply_check(daemon, daemon->config, error);
	if (err == 0)
		err = privileges_drop(error);
	if (err == 0)
		err = checks_start(daemon, error);
	if (err == 0)
		err = interfaces_publish(daemon, error);
	daemon->hold_slots = true;
	return err < 0 ? err : apply_config(daemon, daemon->config, error);
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
	daemon->hold_slots = false;
	publish_slots(daemon);
	return 0;
}

static void warn_of_limits(const struct config_limits *limits)
{
	if (limits->half_open >= limits->flows)
		log_warning(
			"limits: %u half-open flows are not less than %u flows: a flood of SYNs "
			"can fill the table; choose --half-open below --flows",
			limits->half_open, limits->flows);
}

static int open_control(struct daemon *daemon, struct error *error)
{
	const struct config_control *control = &daemon->config->control;
	const struct control_access access = { .group = control->group, .mode = control->mode };

	return control_server_new(&daemon->loop, daemon->options->socket_path, &access,
				  daemon_commands, daemon, &daemon->control, error);
}

static int load_changes(struct daemon *daemon, struct error *error)
{
	int err;

	if (!daemon->options->overrides_path)
		return 0;
	err = override_store_load(daemon->options->overrides_path, &daemon->overrides, error);
	if (err == -EBADMSG)
		log_error("%s", error->text);
	return err == -EBADMSG ? 0 : err;
}

static void on_watchdog(uv_timer_t *timer)
{
	notify_watchdog();
}

static void tell_ready(struct daemon *daemon)
{
	uint64_t interval = notify_watchdog_interval_ms();
	struct error error = {};

	uv_timer_init(&daemon->loop, &daemon->watchdog);
	if (interval)
		uv_timer_start(&daemon->watchdog, on_watchdog, interval, interval);
	daemon->ready = true;
	network_log_all(daemon);
	snat_log_capacity(daemon);
	warn_of_limits(&daemon->config->limits);
	puts("weir: ready");
	fflush(stdout);
	summary_follow(daemon);
	notify_ready();
	if (daemon->hangup)
		reload_from_file(daemon, 0, NULL, &error);
}

/* What runs is that of the file, less what it has made void of the run-time changes. */
static int load_config(struct daemon *daemon, const struct config *config, struct error *error)
{
	int err = load_changes(daemon, error);

	if (err < 0)
		return err;
	overrides_prune(&daemon->overrides, config);
	return reload_begin(daemon, config, error);
}

/* Everything up to "ready". On failure, or when a signal came, the tear-down undoes what was done. */
static int start(struct daemon *daemon, const struct config *config, struct error *error)
{
	int err;

	err = load_config(daemon, config, error);
	if (err == 0)
		err = open_control(daemon, error);
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
	err = forwarding_follow(daemon, error);
	if (err == 0)
		err = interfaces_attach(daemon, error);
	if (err < 0)
		return err;
	err = sweep_start(daemon);
	if (err < 0)
		return error_set(error, err, "cannot start the sweep: %s", strerror(-err));
	tell_ready(daemon);
	return 0;
}

static void close_handle(uv_handle_t *handle, void *user)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

/* What only makes sense while packets are forwarded. Pinned, it stays for the next daemon. */
static void leave_host(struct daemon *daemon)
{
	struct error error;

	interfaces_detach(daemon);
	forwarding_restore(daemon);
	network_stop(daemon);
	if (restore_end(&daemon->restore, &error) < 0)
		log_error("%s", error.text);
}

static void free_books(struct daemon *daemon)
{
	sweep_free(daemon);
	kill_free(daemon);
	snat_pool_free(&daemon->snat_pool);
	hops_free(&daemon->hops);
	registry_free(&daemon->registry);
	ranges_free(&daemon->slot_ranges);
	ranges_free(&daemon->listener_ranges);
	ranges_free(&daemon->port_range_ranges);
	access_free(&daemon->access);
	free(daemon->interfaces);
	free(daemon->host_addresses);
	reload_free(daemon);
}

/* Undoes start(), however far it came, in the opposite order. */
static void tear_down(struct daemon *daemon)
{
	daemon->stopping = true;
	notify_stopping();
	summary_end(daemon);
	if (daemon->detaches)
		leave_host(daemon);
	else
		network_leave(daemon);
	restore_free(&daemon->restore);
	path_mtu_close(daemon);
	checks_stop(daemon);
	control_server_free(daemon->control);
	grace_close(&daemon->grace);
	uv_walk(&daemon->loop, close_handle, NULL);
	uv_run(&daemon->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&daemon->loop) < 0)
		log_debug("the loop still has handles");
	datapath_close(daemon->datapath);
	free_books(daemon);
}

/* Each health check under way and each client of the socket needs a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
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
	daemon->options = options;
	raise_file_limit();
	daemon->started_ms = uv_hrtime() / 1000000;
	grace_init(&daemon->grace, &daemon->loop);
	uv_timer_init(&daemon->loop, &daemon->first_resolution);
	path_mtu_init(daemon);
	err = catch_signals(daemon);
	if (err < 0)
		error_set(&error, err, "cannot catch signals: %s", strerror(-err));
	else
		err = start(daemon, config, &error);
	if (err < 0) {
		/* What an earlier daemon has left forwards on. */
		daemon->detaches = !daemon->adopted;
		log_error("%s", error.text);
		daemon->status = 1;
	} else if (!daemon->stopping) {
		uv_run(&daemon->loop, UV_RUN_DEFAULT);
	}
	tear_down(daemon);
	return daemon->status;
}
