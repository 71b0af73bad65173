// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static char written[4096];
static int pipe_ends[2], real_stderr;

static void capture_start(void)
{
	assert_int_equal(pipe(pipe_ends), 0);
	real_stderr = dup(STDERR_FILENO);
	assert_true(real_stderr >= 0);
	assert_true(dup2(pipe_ends[1], STDERR_FILENO) >= 0);
	close(pipe_ends[1]);
}

static const char *capture_end(void)
{
	ssize_t length;

	dup2(real_stderr, STDERR_FILENO); /* the last writing end of the pipe closes */
	close(real_stderr);
	length = read(pipe_ends[0], written, sizeof(written) - 1);
	close(pipe_ends[0]);
	assert_true(length >= 0);
	written[length] = '\0';
	return written;
}

static void pretend_journal(unsigned long inode_offset)
{
	struct stat status;
	char stream[64];

	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%lu:%lu", (unsigned long)status.st_dev,
		 (unsigned long)status.st_ino + inode_offset);
	setenv("JOURNAL_STREAM", stream, 1);
}

static int setup(void **state)
{
	log_set_level(LOG_LEVEL_INFO);
	return unsetenv("JOURNAL_STREAM");
}

static void test_line_names_the_level(void **state)
{
	const char *text;

	log_set_level(LOG_LEVEL_DEBUG);
	capture_start();
	log_error("a %d", 1);
	log_warning("b");
	log_info("c");
	log_debug("d");
	text = capture_end();
	assert_string_equal(text, "weir: error: a 1\nweir: warning: b\nweir: info: c\n"
				  "weir: debug: d\n");
}

static void test_level_limits(void **state)
{
	const char *text;

	capture_start();
	log_debug("hidden"); /* the default is info */
	log_info("shown");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("hidden");
	log_error("shown");
	text = capture_end();
	assert_string_equal(text, "weir: info: shown\nweir: error: shown\n");
}

static void test_journal_gets_priorities(void **state)
{
	const char *text;

	capture_start();
	pretend_journal(0);
	log_warning("full");
	log_info("well");
	text = capture_end();
	assert_string_equal(text, "<4>full\n<6>well\n");
}

static void test_inherited_journal_variable_is_not_the_journal(void **state)
{
	const char *text;

	capture_start();
	pretend_journal(1);
	log_info("a");
	setenv("JOURNAL_STREAM", "nonsense", 1);
	log_info("b");
	text = capture_end();
	assert_string_equal(text, "weir: info: a\nweir: info: b\n");
}

static void test_one_line_each(void **state)
{
	const char *text;

	capture_start();
	log_info("two\nlines\r");
	text = capture_end();
	assert_string_equal(text, "weir: info: two lines \n");
}

static void test_long_text_is_cut_but_ends_its_line(void **state)
{
	const char *text;

	capture_start();
	log_info("%03000d", 0);
	text = capture_end();
	assert_true(strlen(text) > 1000 && strlen(text) < 1100);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_line_names_the_level, setup),
		cmocka_unit_test_setup(test_level_limits, setup),
		cmocka_unit_test_setup(test_journal_gets_priorities, setup),
		cmocka_unit_test_setup(test_inherited_journal_variable_is_not_the_journal, setup),
		cmocka_unit_test_setup(test_one_line_each, setup),
		cmocka_unit_test_setup(test_long_text_is_cut_but_ends_its_line, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
