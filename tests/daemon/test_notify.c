// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/unit.h"

/* A service manager's socket; the test reads what it was told. */
static int manager = -1;
static char path[64];

/* @name: "/..." or "@...". */
static void listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(name);

	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(manager >= 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&address,
			      offsetof(struct sockaddr_un, sun_path) + length),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/weir-notify-%d", getpid());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static int teardown(void **state)
{
	if (manager >= 0)
		close(manager);
	manager = -1;
	unlink(path);
	return 0;
}

static const char *told(void)
{
	static char text[1024];
	ssize_t length = recv(manager, text, sizeof(text) - 1, 0);

	if (length < 0)
		return NULL;
	text[length] = '\0';
	return text;
}

static void test_each_message(void **state)
{
	listen_at(path);
	notify_ready();
	assert_string_equal(told(), "READY=1");
	notify_stopping();
	assert_string_equal(told(), "STOPPING=1");
	notify_watchdog();
	assert_string_equal(told(), "WATCHDOG=1");
	notify_status("3 services, 7 of 8 backends up");
	assert_string_equal(told(), "STATUS=3 services, 7 of 8 backends up");
	assert_null(told());
}

static void test_abstract_address(void **state)
{
	char name[64];

	snprintf(name, sizeof(name), "@weir-notify-%d", getpid());
	listen_at(name);
	notify_ready();
	assert_string_equal(told(), "READY=1");
}

/* A reload is told with its time, which must not lie before it or after now. */
static void test_reloading(void **state)
{
	unsigned long long usec, first, last;
	struct timespec before = {}, after = {};
	const char *text;

	listen_at(path);
	clock_gettime(CLOCK_MONOTONIC, &before);
	notify_reloading();
	clock_gettime(CLOCK_MONOTONIC, &after);
	text = told();
	assert_non_null(text);
	assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
	first = before.tv_sec * 1000000ULL + before.tv_nsec / 1000;
	last = after.tv_sec * 1000000ULL + after.tv_nsec / 1000;
	assert_true(usec >= first && usec <= last);
}

/* Text from outside cannot say more than a status. */
static void test_status_is_one_line(void **state)
{
	char text[2000];

	listen_at(path);
	notify_status("a\nMAINPID=1\rb");
	assert_string_equal(told(), "STATUS=a MAINPID=1 b");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	notify_status(text);
	assert_int_equal(strlen(told()), 511);
}

static void test_nobody_to_tell(void **state)
{
	static const char *const names[] = { "", "/tmp/weir-no-such-socket", "relative",
					     "vsock:2:1" };
	char name[200];

	notify_ready();
	for (size_t i = 0; i < COUNT(names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_ready();
	}
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	notify_ready();
	notify_reloading();
	notify_status("");
}

/* The longest address that there is has no NUL behind it. */
static void test_longest_address(void **state)
{
	char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];

	memset(name, 'x', sizeof(name));
	snprintf(name, sizeof(name), "@weir-notify-%d", getpid());
	name[strlen(name)] = 'x';
	name[sizeof(name) - 1] = '\0';
	listen_at(name);
	notify_ready();
	assert_string_equal(told(), "READY=1");
}

static void test_a_manager_that_does_not_read(void **state)
{
	struct timespec before = {}, after = {};

	listen_at(path);
	for (int i = 0; i < 10000 && manager >= 0; i++) {
		clock_gettime(CLOCK_MONOTONIC, &before);
		notify_ready();
		clock_gettime(CLOCK_MONOTONIC, &after);
		if (after.tv_sec - before.tv_sec >= 1)
			break;
	}
	/* It was full, we waited a little, and go on. */
	assert_in_range(after.tv_sec - before.tv_sec, 1, 5);
}

static void test_watchdog_interval(void **state)
{
	char process[32];

	assert_int_equal(notify_watchdog_interval_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_interval_ms(), 15000);
	snprintf(process, sizeof(process), "%d", getpid());
	setenv("WATCHDOG_PID", process, 1);
	assert_int_equal(notify_watchdog_interval_ms(), 15000);
	snprintf(process, sizeof(process), "%d", getpid() + 1);
	setenv("WATCHDOG_PID", process, 1);
	assert_int_equal(notify_watchdog_interval_ms(), 0);
	setenv("WATCHDOG_PID", "me", 1);
	assert_int_equal(notify_watchdog_interval_ms(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_interval_ms(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abstract_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reloading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status_is_one_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_to_tell, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_manager_that_does_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog_interval, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
