// SPDX-License-Identifier: GPL-2.0-only
#include "tests/control/command_line.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* IPv6 addresses in what the command line takes and prints. */

static void test_flow_list(void **state)
{
	expect("flow list --client fd00:a::20 --service 1", 0,
	       "PROTO  CLIENT                 LISTEN                 BACKEND                       "
	       "                  SNAT                   STATE        IDLE\n"
	       "udp    [fd00:a::20]:40000     [fd00:b::10]:8000      "
	       "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535  [fd00:b::10]:51234     "
	       "half_open    250 ms\n",
	       "");
	expect("--json flow list --service 1 --client 2001:db8::20", 0,
	       "[\n{\"service\":\"six\",\"protocol\":\"udp\",\"client\":\"[2001:db8::20]:40000\","
	       "\"listen\":\"[fd00:b::10]:8000\",\"backend\":"
	       "\"[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535\",\"snat\":"
	       "\"[fd00:b::10]:51234\",\"state\":\"half_open\",\"idle_ms\":250}\n]\n",
	       "");
	expect("--json flow list --service 0 --client [2001:db8::20]", 0, "[]\n", "");
}

/* Line @number, from 0 on; the rest of the text follows it. */
static const char *line_of(const char *text, unsigned int number)
{
	while (number--)
		text = strchr(text, '\n') + 1;
	return text;
}

/* The first rows say the widths; a longer one widens the columns for those behind it. */
static void test_widths_grow(void **state)
{
	static char out[262144];
	int pipes[2], status;
	const char *line;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		run_line("flow list --service 1002");
	}
	close(pipes[1]);
	read_all(pipes[0], out, sizeof(out));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	line = line_of(out, 1000);
	assert_int_equal(strstr(line, "192.168.178.10:51234") - line, 76);
	line = line_of(line, 1);
	assert_int_equal(strstr(line, "[fd00:b::10]:51234") - line, 101);
	line = line_of(line, 1);
	assert_int_equal(strstr(line, "192.168.178.10:51234") - line, 101);
	assert_string_equal(line_of(line, 1), "");
}

/* Where the terminal has no room for all columns, LISTEN and SNAT are left out. */
static void test_terminal(void **state)
{
	static const struct {
		unsigned short width;
		const char *client;
		bool wide;
	} rows[] = {
		{ 120, "10.0.0.20", true },
		{ 119, "10.0.0.20", false },
		{ 145, "fd00:a::20", true },
		{ 144, "fd00:a::20", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct winsize size = { .ws_col = rows[i].width, .ws_row = 24 };
		char out[8192], line[64];
		int terminal, status;
		pid_t pid = forkpty(&terminal, NULL, NULL, &size);

		assert_true(pid >= 0);
		snprintf(line, sizeof(line), "flow list --client %s", rows[i].client);
		if (pid == 0)
			run_line(line);
		read_all(terminal, out, sizeof(out));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_int_equal(!!strstr(out, "LISTEN"), rows[i].wide);
		assert_int_equal(!!strstr(out, ":51234"), rows[i].wide);
		assert_true(strcspn(out, "\r\n") <= rows[i].width);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flow_list),
		cmocka_unit_test(test_widths_grow),
		cmocka_unit_test(test_terminal),
	};

	return cmocka_run_group_tests(tests, command_line_begin, command_line_end);
}
