// SPDX-License-Identifier: GPL-2.0-only
#include "tests/health/harness.h"
#include "tests/health/servers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static struct config_health command(char *text)
{
	struct config_health config = quick(HEALTH_EXEC);

	config.interval = 2000;
	config.timeout = 1500;
	config.command = text;
	return config;
}

static void status_decides(void **state)
{
	struct config_health config = command("true");

	assert_up(*state, "127.0.0.1:80", &config);
	config.command = "exit 3";
	assert_down(*state, "127.0.0.1:80", &config, "exit status 3");
	config.command = "kill -TERM $$";
	assert_down(*state, "127.0.0.1:80", &config, "killed by signal 15");
}

static void first_line_of_output_is_told(void **state)
{
	struct config_health config = command("echo no space left; echo more; exit 1");

	assert_down(*state, "127.0.0.1:80", &config, "exit status 1: no space left");
	config.command = "echo on stderr >&2; exit 1";
	assert_down(*state, "127.0.0.1:80", &config, "exit status 1: on stderr");
	config.command = "echo loud; exit 0";
	assert_up(*state, "127.0.0.1:80", &config);
	/* More than a pipe holds: it must not hang. */
	config.command = "head -c 1000000 /dev/zero | tr '\\0' x; exit 0";
	assert_up(*state, "127.0.0.1:80", &config);
}

static void on_async(uv_async_t *async)
{
	usleep(300000);
}

/*
 * One signal reaps all that have ended. The second command prints and ends while the loop, which has
 * already looked at the pipes, is about to handle the signal of the first one.
 */
static void last_words_are_heard(void **state)
{
	struct config_health quick_one = command("exit 0");
	struct config_health late_one = command("sleep 0.2; echo last words; exit 1");
	struct harness *harness = *state;
	struct health_watch *late;
	static uv_async_t async; /* closed after the test */

	uv_async_init(&harness->loop, &async, on_async);
	late = watch(harness, "127.0.0.1:80", &late_one, HEALTH_UNKNOWN);
	health_hint(late);
	health_hint(watch(harness, "127.0.0.1:80", &quick_one, HEALTH_UNKNOWN));
	uv_run(&harness->loop, UV_RUN_NOWAIT);
	usleep(50000);
	uv_async_send(&async);
	run_until_told(harness, 2);
	assert_string_equal(health_report(late)->error, "exit status 1: last words");
	uv_close((uv_handle_t *)&async, NULL);
}

static void runs_as_nobody(void **state)
{
	struct config_health config = command(
		"echo $(id -un) $(id -gn) $(id -Gn) $(grep CapEff /proc/self/status);"
		"exit 1");

	assert_down(*state, "127.0.0.1:80", &config,
		    "exit status 1: nobody nogroup nogroup CapEff: 0000000000000000");
}

/* What the shell itself sets is not of the environment it got. */
static void environment_is_small(void **state)
{
	struct config_health config = command(
		"echo $(tr '\\0' ' ' </proc/$$/environ | sed 's/PATH=[^ ]*/PATH/'); exit 1");

	setenv("SECRET", "42", 1);
	assert_down(*state, "127.0.0.1:80", &config,
		    "exit status 1: WEIR_ADDRESS=127.0.0.1 WEIR_CHECK_ADDRESS=127.0.0.1 "
		    "WEIR_PORT=80 PATH");
	assert_down(*state, "[fd00::1]:8080", &config,
		    "exit status 1: WEIR_ADDRESS=fd00::1 WEIR_CHECK_ADDRESS=fd00::1 "
		    "WEIR_PORT=8080 PATH");
	config.port = 9;
	assert_down(*state, "127.0.0.1:80", &config,
		    "exit status 1: WEIR_ADDRESS=127.0.0.1 WEIR_CHECK_ADDRESS=127.0.0.1 "
		    "WEIR_PORT=9 PATH");
}

/* While other kinds of checks have their sockets open. 3 is what ls itself opens. */
static void inherits_no_file(void **state)
{
	struct config_health config = command("ls -m /proc/self/fd; exit 1");

	for (int type = HEALTH_TCP; type <= HEALTH_ICMP; type++) {
		struct config_health other = quick((enum health_type)type);

		other.interval = other.timeout = 10000;
		health_hint(watch(*state, "10.9.0.2:80", &other, HEALTH_UNKNOWN));
	}
	run_for(*state, 50);
	assert_down(*state, "127.0.0.1:80", &config, "exit status 1: 0, 1, 2, 3");
}

/* The pid that a command left in the file, once it is there. */
static pid_t left_pid(void)
{
	for (int i = 0; i < 200; i++) {
		FILE *file = fopen("pid", "r");
		int pid = 0;

		if (file && fscanf(file, "%d", &pid) != 1)
			pid = 0;
		if (file)
			fclose(file);
		if (pid)
			return pid;
		usleep(10000);
	}
	fail_msg("the command does not start");
	return 0;
}

/* Gone, or a zombie that its parent has not looked at. */
static bool dead(pid_t pid)
{
	for (int i = 0; i < 200; i++) {
		char path[64], line[256] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = fopen(path, "r");
		if (!file)
			return true;
		if (!fgets(line, sizeof(line), file))
			line[0] = '\0';
		fclose(file);
		if (!line[0] || strstr(line, ") Z "))
			return true;
		usleep(10000);
	}
	return false;
}

static char directory[] = "/tmp/weir-command-XXXXXX";
static char sleeper[128];

/* A command with a child, which outlives every timeout and tells its process id. */
static struct config_health sleeping(void)
{
	unlink("pid");
	snprintf(sleeper, sizeof(sleeper), "sleep 100 & echo $! >%s/pid; wait", directory);
	return command(sleeper);
}

static void timeout_kills_all_of_it(void **state)
{
	struct config_health config = sleeping();

	config.timeout = 300;
	assert_down(*state, "127.0.0.1:80", &config, "not done within 300 ms");
	assert_true(dead(left_pid()));
}

static void unwatch_kills_all_of_it(void **state)
{
	struct config_health config = sleeping();
	struct health_watch *made = watch(*state, "127.0.0.1:80", &config, HEALTH_UNKNOWN);

	health_hint(made);
	run_for(*state, 300);
	health_unwatch(made);
	assert_true(dead(left_pid()));
}

static void free_kills_all_of_it(void **state)
{
	struct config_health config = sleeping();

	health_hint(watch(*state, "127.0.0.1:80", &config, HEALTH_UNKNOWN));
	run_for(*state, 300);
	harness_free(*state);
	assert_true(dead(left_pid()));
}

static void leaves_no_file_open(void **state)
{
	struct config_health config = command("true");
	unsigned int before;

	assert_up(*state, "127.0.0.1:80", &config);
	before = open_files();
	assert_up(*state, "127.0.0.1:80", &config);
	run_for(*state, 10);
	assert_int_equal(open_files(), before);
}

static int begin(void **state)
{
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(chdir(directory), 0);
	return servers_network(state);
}

static int end(void **state)
{
	unlink("pid");
	return rmdir(directory);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_start, harness_stop)
	const struct CMUnitTest tests[] = {
		TEST(status_decides),          TEST(first_line_of_output_is_told),
		TEST(last_words_are_heard),    TEST(runs_as_nobody),
		TEST(environment_is_small),    TEST(inherits_no_file),
		TEST(timeout_kills_all_of_it), TEST(unwatch_kills_all_of_it),
		TEST(free_kills_all_of_it),    TEST(leaves_no_file_open),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
