// SPDX-License-Identifier: GPL-2.0-only
#include "tests/control/harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void test_reply(void **state)
{
	struct control_client *client;
	json_t *document = NULL;
	struct error error;

	assert_int_equal(open_client(*state, "echo", json_pack("{s:s}", "a", "b\n\xc3\xa9"),
				     &client, &error),
			 0);
	assert_int_equal(control_client_next(client, &document, &error), 1);
	assert_string_equal(json_string_value(json_object_get(document, "a")), "b\n\xc3\xa9");
	assert_string_equal(json_string_value(json_object_get(document, "command")), "echo");
	json_decref(document);
	assert_int_equal(control_client_next(client, &document, &error), 0);
	control_client_free(client);
	control_client_free(NULL);

	assert_int_equal(open_client(*state, "nothing", NULL, &client, &error), 0);
	assert_int_equal(control_client_next(client, &document, &error), 0);
	control_client_free(client);
}

static void test_stream(void **state)
{
	struct harness *harness = *state;
	struct control_client *client;
	json_t *document;
	struct error error;

	assert_int_equal(
		open_client(harness, "stream", json_pack("{s:i}", "count", 20000), &client, &error),
		0);
	for (int i = 0; i < 20000; i++)
		expect_number(client, i);
	assert_int_equal(control_client_next(client, &document, &error), 0);
	control_client_free(client);
	assert_int_equal(harness->streams_done, 1);

	assert_int_equal(open_client(harness, "stream", NULL, &client, &error), 0);
	assert_int_equal(control_client_next(client, &document, &error), 0);
	control_client_free(client);
	assert_int_equal(harness->streams_done, 2);
}

/* A stream that lets the loop do other work, and one that fails at the end. */
static void test_pausing_stream(void **state)
{
	struct harness *harness = *state;
	struct control_client *client;
	json_t *document;
	struct error error;

	for (int fails = 0; fails < 2; fails++) {
		assert_int_equal(open_client(harness, "stream",
					     json_pack("{s:i,s:b,s:b}", "count", 2000, "pauses", 1,
						       "fails", fails),
					     &client, &error),
				 0);
		for (int i = 0; i < 2000; i++)
			expect_number(client, i);
		assert_int_equal(control_client_next(client, &document, &error),
				 fails ? -EPIPE : 0);
		control_client_free(client);
	}
	assert_int_equal(open_client(harness, "stream",
				     json_pack("{s:i,s:b}", "count", 1000000, "pauses", 1), &client,
				     &error),
			 0);
	test_reply(state);
	control_client_free(client);
	wait_for(&harness->streams_done, 3);
}

/* Who does not read costs a bounded amount of memory, holds up nobody, and may leave. */
static void test_slow_stream(void **state)
{
	struct harness *harness = *state;
	struct control_client *slow;
	struct error error;

	assert_int_equal(
		open_client(harness, "stream", json_pack("{s:i}", "count", 1000000), &slow, &error),
		0);
	for (int i = 0; i < 100; i++)
		test_reply(state);
	assert_in_range(harness->given, 1, 20000);
	assert_int_equal(harness->streams_done, 0);
	expect_number(slow, 0);
	control_client_free(slow);
	wait_for(&harness->streams_done, 1);
}

static void test_hold(void **state)
{
	struct harness *harness = *state;
	struct control_client *client, *other;
	struct error error;

	assert_int_equal(open_client(harness, "hold", NULL, &client, &error), 0);
	for (int i = 0; i < 5000; i++)
		expect_number(client, i);
	/* A refusal after another request was held must not touch that one. */
	assert_int_equal(open_client(harness, "hold", NULL, &other, &error), -EREMOTEIO);
	assert_string_equal(error.text, "one at a time");
	assert_int_equal(harness->gone, 0);
	control_client_free(client);
	wait_for(&harness->gone, 1);
}

static void test_slow_hold(void **state)
{
	struct harness *harness = *state;
	struct control_client *client;
	struct error error;

	assert_int_equal(open_client(harness, "hold", NULL, &client, &error), 0);
	for (int i = 0; i < 5000 && harness->dropped < 1000; i++)
		usleep(1000);
	assert_true(harness->dropped >= 1000);
	assert_in_range(harness->pushed, 1000, 20000);
	/* What was not dropped comes in order. */
	for (int i = 0; i < harness->pushed && i < 2000; i++)
		expect_number(client, i);
	control_client_free(client);
	wait_for(&harness->gone, 1);
}

/* The test may change, so it may have the reserved places, too. */
#define MOST_CLIENTS (64 + 8)

static void test_many_clients(void **state)
{
	struct harness *harness = *state;
	struct control_client *client;
	struct error error;
	int fds[MOST_CLIENTS];

	for (int i = 0; i < MOST_CLIENTS; i++) {
		fds[i] = raw_connect(harness->path);
		raw_send(fds[i], "{\"command\":\"quiet\"}\n", 20);
	}
	wait_for(&harness->quiet, MOST_CLIENTS);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(open_client(harness, "nothing", NULL, &client, &error),
				 -EREMOTEIO);
		assert_string_equal(error.text,
				    "the daemon serves 64 clients already; try again later");
	}
	/* Those inside make room when they leave. */
	close(fds[0]);
	wait_for(&harness->quiet, MOST_CLIENTS - 1);
	test_reply(state);
	for (int i = 1; i < MOST_CLIENTS; i++)
		close(fds[i]);
	wait_for(&harness->quiet, 0);
}

/* Asks again and again, for a while. */
static void get_in(struct harness *harness)
{
	struct control_client *client;
	int code = -EREMOTEIO;
	struct error error;

	for (int i = 0; i < 1000 && code == -EREMOTEIO; i++, usleep(20000))
		code = open_client(harness, "nothing", NULL, &client, &error);
	assert_int_equal(code, 0);
	control_client_free(client);
}

static void test_silent_clients_make_room(void **state)
{
	struct harness *harness = *state;
	int fds[MOST_CLIENTS];
	char got[64];

	for (int i = 0; i < MOST_CLIENTS; i++)
		fds[i] = raw_connect(harness->path);
	get_in(harness);
	/* The oldest went. */
	assert_string_equal(raw_receive(fds[0], got, sizeof(got)), "");
	raw_send(fds[MOST_CLIENTS - 1], "{\"command\":\"nothing\"}\n", 22);
	assert_string_equal(raw_receive(fds[MOST_CLIENTS - 1], got, sizeof(got)),
			    "{\"ok\":true}\n\n");
	for (int i = 0; i < MOST_CLIENTS; i++)
		close(fds[i]);
}

static void test_clients_that_do_not_read_make_room(void **state)
{
	static const char request[] = "{\"command\":\"stream\",\"count\":1000000}\n";
	struct harness *harness = *state;
	int fds[MOST_CLIENTS];

	for (int i = 0; i < MOST_CLIENTS; i++) {
		fds[i] = raw_connect(harness->path);
		raw_send(fds[i], request, strlen(request));
	}
	wait_for(&harness->streams_started, MOST_CLIENTS);
	get_in(harness);
	assert_int_equal(harness->streams_done, 1);
	for (int i = 0; i < MOST_CLIENTS; i++)
		close(fds[i]);
	wait_for(&harness->streams_done, MOST_CLIENTS);
}

/* Clients that leave at every possible point of the conversation. */
static void test_leaving(void **state)
{
	static const char line[] = "{\"command\":\"stream\",\"count\":3000}\n";
	struct harness *harness = *state;
	struct control_client *client;
	int code = -EREMOTEIO;
	struct error error;
	char data[1000];

	for (size_t length = 0; length < sizeof(line); length++) {
		int fd = raw_connect(harness->path);

		raw_send(fd, line, length);
		if (length == sizeof(line) - 1)
			raw_receive(fd, data, sizeof(data));
		close(fd);
	}
	for (int i = 0; i < 200; i++) {
		int fd = raw_connect(harness->path);

		raw_send(fd, line, sizeof(line) - 1);
		usleep(i);
		close(fd);
	}
	/* Some of them came while 64 others were not yet seen to have left. */
	for (int i = 0; i < 5000 && code != 0; i++, usleep(1000))
		code = open_client(harness, "nothing", NULL, &client, &error);
	assert_int_equal(code, 0);
	control_client_free(client);
	assert_in_range(harness->streams_started, 20, 201);
}

static void test_half_closed(void **state)
{
	struct harness *harness = *state;
	int fd = raw_connect(harness->path);
	char *answer = malloc(1 << 20);

	raw_send(fd, "{\"command\":\"stream\",\"count\":5000}\n", 34);
	shutdown(fd, SHUT_WR);
	raw_receive(fd, answer, 1 << 20);
	assert_non_null(strstr(answer, "\"number\":4999"));
	assert_string_equal(answer + strlen(answer) - 2, "\n\n");
	free(answer);
	close(fd);
}

/* The answer comes when the loop has done other work. */
static void test_defer(void **state)
{
	static const char request[] = "{\"command\":\"defer\"}\n";
	static const char answer[] = "{\"ok\":true}\n{\"said\":\"late\"}\n\n";
	struct harness *harness = *state;
	struct control_client *client;
	struct error error;
	char got[256];
	int fd = raw_connect(harness->path);

	raw_send(fd, request, strlen(request));
	assert_string_equal(raw_receive(fd, got, sizeof(got)), answer);
	close(fd);
	assert_int_equal(
		open_client(harness, "defer", json_pack("{s:b}", "fail", 1), &client, &error),
		-EREMOTEIO);
	assert_string_equal(error.text, "too late");
	fd = raw_connect(harness->path);
	raw_send(fd, request, strlen(request));
	shutdown(fd, SHUT_WR);
	assert_string_equal(raw_receive(fd, got, sizeof(got)), answer);
	close(fd);
	/* Nobody is there any more. */
	fd = raw_connect(harness->path);
	raw_send(fd, request, strlen(request));
	close(fd);
	test_reply(state);
	assert_int_equal(harness->gone, 0);
}

/* The server ends while somebody waits. */
static void test_deferred_end(void **state)
{
	static const char request[] = "{\"command\":\"defer\",\"never\":true}\n";
	struct harness *harness = *state;
	int fd = raw_connect(harness->path), other = raw_connect(harness->path);
	char got[64];

	raw_send(fd, request, strlen(request));
	raw_send(other, "{\"command\":\"end\"}\n", 18);
	assert_string_equal(raw_receive(fd, got, sizeof(got)), "");
	wait_for(&harness->gone, 1);
	close(fd);
	close(other);
}

/* The server ends while clients are being served: their states are freed, they are told. */
static void test_server_end(void **state)
{
	struct harness *harness = *state;
	struct control_client *held, *stream;
	json_t *document = NULL;
	struct error error;
	int code, fd;

	assert_int_equal(open_client(harness, "hold", NULL, &held, &error), 0);
	assert_int_equal(open_client(harness, "stream", json_pack("{s:i}", "count", 1000000),
				     &stream, &error),
			 0);
	fd = raw_connect(harness->path);
	raw_send(fd, "{\"command\":\"end\"}\n", 18);
	raw_receive(fd, (char[64]){ "" }, 64);
	close(fd);
	wait_for(&harness->gone, 1);
	wait_for(&harness->streams_done, 1);
	while ((code = control_client_next(held, &document, &error)) == 1)
		json_decref(document);
	assert_int_equal(code, -EPIPE);
	while ((code = control_client_next(stream, &document, &error)) == 1)
		json_decref(document);
	assert_int_equal(code, -EPIPE);
	control_client_free(held);
	control_client_free(stream);
	assert_int_equal(open_client(harness, "echo", NULL, &held, &error), -ENOENT);
	assert_non_null(strstr(error.text, "no daemon answers on"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_reply),
		CASE(test_stream),
		CASE(test_slow_stream),
		CASE(test_pausing_stream),
		CASE(test_hold),
		CASE(test_slow_hold),
		CASE(test_many_clients),
		CASE(test_silent_clients_make_room),
		CASE(test_clients_that_do_not_read_make_room),
		CASE(test_leaving),
		CASE(test_half_closed),
		CASE(test_defer),
		CASE(test_deferred_end),
		CASE(test_server_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
