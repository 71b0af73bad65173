// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/allocation.h"
#include "tests/unit/unit.h"

static int set_result;
static struct restore_entry set;

int host_set_switch(enum host_switch which, const char *interface, int value)
{
	set = (struct restore_entry){ .which = which, .original = value };
	strcpy(set.interface, interface);
	return set_result;
}

char *host_switch_format(enum host_switch which, const char *interface,
			 char buffer[static HOST_SWITCH_STRING_SIZE])
{
	snprintf(buffer, HOST_SWITCH_STRING_SIZE, "switch %d of %s", which, interface);
	return buffer;
}

static char directory[] = "/tmp/weir-restore-XXXXXX";
static char path[64];

static int make_directory(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/state", directory);
	return 0;
}

static int remove_directory(void **state)
{
	unlink(path);
	return rmdir(directory);
}

static int remove_file(void **state)
{
	unlink(path);
	return 0;
}

static void write_text(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_nothing_left_behind(void **state)
{
	struct restore restore;
	struct error error;

	assert_int_equal(restore_load(&restore, path, &error), 0);
	assert_int_equal(restore.count, 0);
	restore_free(&restore);
}

/* What one daemon remembers, the next one finds; the first value of an interface is the one. */
static void test_a_killed_daemon_is_followed(void **state)
{
	struct restore killed, next;
	struct error error;
	struct stat status;

	assert_int_equal(restore_load(&killed, path, &error), 0);
	assert_int_equal(restore_begin(&killed, &error), 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(restore_remember(&killed, HOST_FORWARDING4, "eth0", 0, &error), 0);
	assert_int_equal(restore_remember(&killed, HOST_FORWARDING4, "eth1", 1, &error), 0);
	assert_int_equal(restore_remember(&killed, HOST_FORWARDING4, "eth0", 1, &error), 0);
	restore_free(&killed);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	assert_int_equal(restore_load(&next, path, &error), 1);
	assert_int_equal(restore_begin(&next, &error), 0);
	assert_int_equal(next.count, 2);
	assert_false(restore_find(&next, HOST_FORWARDING4, "eth0")->original);
	assert_true(restore_find(&next, HOST_FORWARDING4, "eth1")->original);
	assert_null(restore_find(&next, HOST_FORWARDING4, "eth2"));
	assert_int_equal(
		restore_forget(&next, restore_find(&next, HOST_FORWARDING4, "eth0"), &error), 0);
	assert_null(restore_find(&next, HOST_FORWARDING4, "eth0"));
	assert_int_equal(
		restore_forget(&next, restore_find(&next, HOST_FORWARDING4, "eth1"), &error), 0);
	/* The neighbours are still there. */
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(restore_end(&next, &error), 0);
	assert_int_equal(access(path, F_OK), -1);
	restore_free(&next);
}

/* Each switch of an interface is remembered for itself. */
static void test_all_switches(void **state)
{
	struct restore killed, next;
	struct error error;

	assert_int_equal(restore_load(&killed, path, &error), 0);
	for (int which = 0; which < HOST_SWITCHES; which++)
		assert_int_equal(restore_remember(&killed, which, "eth0", which, &error), 0);
	restore_free(&killed);
	assert_int_equal(restore_load(&next, path, &error), 1);
	assert_int_equal(next.count, HOST_SWITCHES);
	for (int which = 0; which < HOST_SWITCHES; which++)
		assert_int_equal(restore_find(&next, which, "eth0")->original, which);
	assert_int_equal(
		restore_forget(&next, restore_find(&next, HOST_FORWARDING4, "eth0"), &error), 0);
	assert_null(restore_find(&next, HOST_FORWARDING4, "eth0"));
	assert_non_null(restore_find(&next, HOST_FORWARDING6, "eth0"));
	assert_non_null(restore_find(&next, HOST_ACCEPT_RA, "eth0"));
	restore_free(&next);
}

static json_int_t this_namespace(void)
{
	struct stat status;

	assert_int_equal(stat("/proc/self/ns/net", &status), 0);
	return (json_int_t)status.st_ino;
}

/* As it was written when there was one switch. */
static void test_file_of_an_older_daemon(void **state)
{
	struct restore restore;
	struct error error;
	char text[256];

	snprintf(text, sizeof(text),
		 "{\"version\": 1, \"network_namespace\": %lld, "
		 "\"forwarding\": {\"eth0\": false, \"eth1\": true}}",
		 (long long)this_namespace());
	write_text(text);
	assert_int_equal(restore_load(&restore, path, &error), 1);
	assert_int_equal(restore.count, 2);
	assert_int_equal(restore_find(&restore, HOST_FORWARDING4, "eth0")->original, 0);
	assert_int_equal(restore_find(&restore, HOST_FORWARDING4, "eth1")->original, 1);
	restore_free(&restore);
}

static void test_put_back(void **state)
{
	const struct restore_entry entry = { .which = HOST_ACCEPT_RA,
					     .interface = "eth0",
					     .original = 1 };
	char line[RESTORE_LINE_SIZE] = "untouched";
	struct error error;

	set_result = 0;
	assert_int_equal(restore_put_back(&entry, line, &error), 1);
	assert_memory_equal(&set, &entry, sizeof(set));
	assert_string_equal(line, "switch 2 of eth0 set back to 1");
	strcpy(line, "untouched");
	set_result = -ENOENT; /* the interface is gone */
	assert_int_equal(restore_put_back(&entry, line, &error), 0);
	set_result = -EACCES;
	assert_int_equal(restore_put_back(&entry, line, &error), -EACCES);
	assert_string_equal(error.text, "cannot set switch 2 of eth0 back to 1: Permission denied");
	assert_string_equal(line, "untouched");
}

/* A daemon that was killed before it changed a switch still leaves a file. */
static void test_killed_early(void **state)
{
	struct restore restore;
	struct error error;

	assert_int_equal(restore_load(&restore, path, &error), 0);
	assert_int_equal(restore_begin(&restore, &error), 0);
	restore_free(&restore);
	assert_int_equal(restore_load(&restore, path, &error), 1);
	assert_int_equal(restore.count, 0);
	/* One that gave up before it began leaves the file to the next. */
	assert_int_equal(restore_end(&restore, &error), 0);
	assert_int_equal(access(path, F_OK), 0);
	restore_free(&restore);
}

static void test_broken_files(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"version\": 2, \"network_namespace\": 1, \"forwarding\": {\"eth0\": false}}",
		"{\"version\": 1, \"network_namespace\": 1, \"forwarding\": {\"eth0\": false}}",
		"{\"version\": 1, \"forwarding\": {\"eth0\": false}}",
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct error error = { "" };
		struct restore restore;

		write_text(texts[i]);
		assert_int_equal(restore_load(&restore, path, &error), -EINVAL);
		assert_int_equal(restore.count, 0);
		assert_non_null(strstr(error.text, path));
		/* The next change replaces it. */
		assert_int_equal(restore_remember(&restore, HOST_FORWARDING4, "eth0", 0, &error),
				 0);
		restore_free(&restore);
		assert_int_equal(restore_load(&restore, path, &error), 1);
		restore_free(&restore);
	}
}

static void test_names_too_long_are_refused(void **state)
{
	char text[256];
	struct restore restore;
	struct error error;

	snprintf(text, sizeof(text),
		 "{\"version\": 1, \"network_namespace\": %lld, "
		 "\"forwarding6\": {\"eth0\": 0, \"a-name-of-16-bytes\": 0}}",
		 (long long)this_namespace());
	write_text(text);
	assert_int_equal(restore_load(&restore, path, &error), -EINVAL);
	assert_int_equal(restore.count, 0);
}

static void test_unwritable_place(void **state)
{
	struct restore restore;
	struct error error = { "" };

	assert_int_equal(restore_load(&restore, "/proc/weir/state", &error), 0);
	assert_true(restore_begin(&restore, &error) < 0);
	assert_true(restore_remember(&restore, HOST_FORWARDING4, "eth0", 0, &error) < 0);
	assert_non_null(strstr(error.text, "/proc/weir/state"));
	/* Not remembered: then nothing may be changed either. */
	assert_int_equal(restore.count, 0);
	assert_int_equal(restore_end(&restore, &error), 0);
	restore_free(&restore);
}

static void test_no_memory(void **state)
{
	struct restore restore;
	struct error error;
	unsigned int nth;

	for (nth = 1; nth < 100; nth++) {
		int err;

		assert_int_equal(restore_load(&restore, path, &error), 0);
		allocation_fail_at(nth);
		err = restore_remember(&restore, HOST_FORWARDING4, "eth0", 0, &error);
		if (!allocation_has_failed()) {
			assert_int_equal(err, 0);
			break;
		}
		allocation_fail_at(0);
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(restore.count, 0);
		assert_int_equal(access(path, F_OK), -1);
		restore_free(&restore);
	}
	allocation_fail_at(0);
	assert_in_range(nth, 2, 99);
	restore_free(&restore);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_nothing_left_behind, remove_file),
		cmocka_unit_test_teardown(test_a_killed_daemon_is_followed, remove_file),
		cmocka_unit_test_teardown(test_all_switches, remove_file),
		cmocka_unit_test_teardown(test_file_of_an_older_daemon, remove_file),
		cmocka_unit_test(test_put_back),
		cmocka_unit_test_teardown(test_killed_early, remove_file),
		cmocka_unit_test_teardown(test_broken_files, remove_file),
		cmocka_unit_test_teardown(test_names_too_long_are_refused, remove_file),
		cmocka_unit_test_teardown(test_unwritable_place, remove_file),
		cmocka_unit_test_teardown(test_no_memory, remove_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
