// SPDX-License-Identifier: GPL-2.0-only
#include "tests/health/harness.h"

#include <dirent.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static void changed(struct health_watch *watch, void *user)
{
	struct harness *harness = user;

	harness->told++;
	assert_ptr_equal(health_watch_user(watch), harness);
	if (harness->on_change)
		harness->on_change(harness, watch);
}

int harness_start(void **state)
{
	struct harness *harness = calloc(1, sizeof(*harness));

	assert_non_null(harness);
	assert_int_equal(uv_loop_init(&harness->loop), 0);
	assert_int_equal(health_new(&harness->loop, changed, harness, &harness->health, NULL), 0);
	*state = harness;
	return 0;
}

static void on_late(uv_timer_t *timer)
{
	fail_msg("the loop does not end");
}

void harness_free(struct harness *harness)
{
	uv_timer_t guard;

	health_free(harness->health);
	harness->health = NULL;
	uv_timer_init(&harness->loop, &guard);
	uv_timer_start(&guard, on_late, 5000, 0);
	uv_unref((uv_handle_t *)&guard);
	uv_run(&harness->loop, UV_RUN_DEFAULT);
	uv_close((uv_handle_t *)&guard, NULL);
	uv_run(&harness->loop, UV_RUN_DEFAULT);
}

int harness_stop(void **state)
{
	struct harness *harness = *state;

	harness_free(harness);
	assert_int_equal(uv_loop_close(&harness->loop), 0);
	free(harness);
	return 0;
}

static void on_tick(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Until @told results were told, or the time is over. */
static void run(struct harness *harness, unsigned int told, unsigned int milliseconds)
{
	uv_timer_t timer;
	bool over = false;

	uv_timer_init(&harness->loop, &timer);
	uv_update_time(&harness->loop);
	timer.data = &over;
	uv_timer_start(&timer, on_tick, milliseconds, 0);
	while (!over && harness->told < told)
		uv_run(&harness->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&harness->loop, UV_RUN_NOWAIT);
}

void run_for(struct harness *harness, unsigned int milliseconds)
{
	run(harness, UINT32_MAX, milliseconds);
}

void run_until_told(struct harness *harness, unsigned int told)
{
	run(harness, told, 5000);
	assert_true(harness->told >= told);
}

struct config_health quick(enum health_type type)
{
	return (struct config_health){
		.type = type, .interval = 100, .timeout = 80, .rise = 1, .fall = 1
	};
}

struct health_watch *watch(struct harness *harness, const char *target,
			   const struct config_health *config, enum health_state initial)
{
	struct health_watch *made = NULL;
	struct health_target place = {};
	struct error error;

	assert_int_equal(endpoint_parse(target, &place.backend), 0);
	if (health_watch(harness->health, &place, config, initial, harness, &made, &error) < 0)
		fail_msg("%s", error.text);
	return made;
}

struct health_report check(struct harness *harness, const char *target,
			   const struct config_health *config)
{
	struct health_watch *made = watch(harness, target, config, HEALTH_UNKNOWN);
	struct health_report report;

	health_hint(made); /* at once, instead of at random in the first interval */
	run_until_told(harness, harness->told + 1);
	report = *health_report(made);
	health_unwatch(made);
	return report;
}

void assert_up(struct harness *harness, const char *target, const struct config_health *config)
{
	struct health_report report = check(harness, target, config);

	assert_string_equal(report.error, "");
	assert_int_equal(report.state, HEALTH_UP);
	assert_true(report.last_good);
}

void assert_down(struct harness *harness, const char *target, const struct config_health *config,
		 const char *error)
{
	struct health_report report = check(harness, target, config);

	assert_string_equal(report.error, error);
	assert_int_equal(report.state, HEALTH_DOWN);
	assert_false(report.last_good);
}

unsigned int open_files(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count - 3; /* ".", ".." and the directory itself */
}
