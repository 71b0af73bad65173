// SPDX-License-Identifier: GPL-2.0-only
#include "tests/control/harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_answer(struct harness *harness, const void *line, size_t length,
			  const char *expected)
{
	char answer[1024];
	int fd = raw_connect(harness->path);

	raw_send(fd, line, length);
	raw_receive(fd, answer, sizeof(answer));
	if (!strstr(answer, expected))
		fail_msg("'%s' does not contain '%s'", answer, expected);
	close(fd);
}

#define EXPECT(harness, line, expected) expect_answer(harness, line, sizeof(line) - 1, expected)

static void test_bad_requests(void **state)
{
	struct harness *harness = *state;

	EXPECT(harness, "\n", "{\"error\":\"the request is not JSON: ");
	EXPECT(harness, "{\"command\":\n", "{\"error\":\"the request is not JSON: ");
	EXPECT(harness, "{\"command\":\"echo\",\"a\":1,\"a\":2}\n", "duplicate object key");
	EXPECT(harness, "{\"command\":\"ec\0ho\"}\n", "not JSON");
	EXPECT(harness, "{\"command\":\"\xff\"}\n", "not JSON");
	EXPECT(harness, "{\"command\":\"echo\"} x\n", "not JSON");
	EXPECT(harness, "[]\n", "not an object with a string");
	EXPECT(harness, "{\"command\":7}\n", "not an object with a string");
	EXPECT(harness, "{\"command\":\"frob\"}\n", "does not know the command 'frob'");
	EXPECT(harness, "{\"command\":\"refuse\"}\n",
	       "{\"error\":\"refuse: Device or resource busy\"}\n");
	EXPECT(harness, "{\"command\":\"nothing\"}\nmore\nand more\n", "{\"ok\":true}\n\n");
}

static void test_long_requests(void **state)
{
	static char line[65536 + 64];

	memset(line, ' ', sizeof(line));
	line[snprintf(line, sizeof(line), "{\"command\":\"nothing\"")] = ' ';
	line[65535] = '}';
	line[65536] = '\n';
	expect_answer(*state, line, 65537, "{\"ok\":true}\n\n");
	line[65535] = ' ';
	line[65536] = '}';
	line[65537] = '\n';
	expect_answer(*state, line, 65538, "{\"error\":\"the request is longer than 64 KiB\"}\n");
}

/* The limit of an error's text cuts a name in two-byte letters: one of the two is within a letter. */
static void test_cut_letters(void **state)
{
	for (int first = 0; first < 2; first++) {
		char line[1100];
		int used = snprintf(line, sizeof(line), "{\"command\":\"%s", first ? "x" : "");

		for (int i = 0; i < 500; i++)
			used += snprintf(line + used, sizeof(line) - used, "\xc3\xa9");
		used += snprintf(line + used, sizeof(line) - used, "\"}\n");
		expect_answer(*state, line, used, "does not know the command '");
	}
}

static void test_refused(void **state)
{
	struct control_client *client = NULL;
	struct error error;

	assert_int_equal(open_client(*state, "refuse", json_pack("{s:s}", "text", "no, \"thanks\""),
				     &client, &error),
			 -EREMOTEIO);
	assert_string_equal(error.text, "no, \"thanks\"");
	assert_null(client);
}

/* An answer that failed half way does not end like a complete one. */
static void test_broken_answers(void **state)
{
	json_t *arguments[] = { NULL, json_pack("{s:b}", "silently", 1) };
	struct control_client *client;
	json_t *document;
	struct error error;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_client(*state, "break", arguments[i], &client, &error), 0);
		expect_number(client, 0);
		assert_int_equal(control_client_next(client, &document, &error), -EPIPE);
		assert_non_null(strstr(error.text, "before its answer was complete"));
		control_client_free(client);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_bad_requests), CASE(test_long_requests),  CASE(test_cut_letters),
		CASE(test_refused),      CASE(test_broken_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
