// SPDX-License-Identifier: GPL-2.0-only
#include "tests/control/harness.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct stream {
	struct harness *harness;
	int given;
	int count;
	int pause;
	bool pauses;
	bool fails;
};

static json_t *next_number(void *state)
{
	struct stream *stream = state;

	if (stream->given == stream->count)
		return stream->fails ? json_false() : NULL;
	if (stream->pauses && stream->pause++ % 3 != 0)
		return json_null();
	stream->harness->given++;
	return json_pack("{s:i,s:s}", "number", stream->given++, "padding",
			 "0123456789012345678901234567890123456789012345678901234567890123456789");
}

static void stream_done(void *state)
{
	struct stream *stream = state;

	stream->harness->streams_done++;
	free(stream);
}

static int run_stream(struct control_request *request, const json_t *arguments, void *user,
		      struct error *error)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	stream->harness = user;
	stream->harness->streams_started++;
	stream->count = json_integer_value(json_object_get(arguments, "count"));
	stream->pauses = json_is_true(json_object_get(arguments, "pauses"));
	stream->fails = json_is_true(json_object_get(arguments, "fails"));
	return control_reply_stream(request, next_number, stream_done, stream);
}

static int run_echo(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	return control_reply(request, json_deep_copy(arguments));
}

static int run_nothing(struct control_request *request, const json_t *arguments, void *user,
		       struct error *error)
{
	return 0;
}

static int run_refuse(struct control_request *request, const json_t *arguments, void *user,
		      struct error *error)
{
	const char *text = json_string_value(json_object_get(arguments, "text"));

	return text ? error_set(error, -EINVAL, "%s", text) : -EBUSY;
}

/* Says half of it, then fails. */
static int run_break(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	control_reply(request, json_pack("{s:i}", "number", 0));
	if (json_object_get(arguments, "silently"))
		return control_reply(request, NULL) < 0 ? 0 : -EINVAL;
	return error_set(error, -EIO, "too late");
}

static void on_gone(struct control_request *request, void *user)
{
	struct harness *harness = user;

	assert_ptr_equal(harness->held, request);
	harness->held = NULL;
	harness->gone++;
	uv_timer_stop(&harness->ticker);
}

static void on_tick(uv_timer_t *timer)
{
	struct harness *harness = timer->data;

	for (int i = 0; i < 200 && harness->held; i++) {
		int code = control_push(harness->held,
					json_pack("{s:i,s:s}", "number", (int)harness->pushed,
						  "padding",
						  "0123456789012345678901234567890123456789"));

		if (code == 0)
			harness->pushed++;
		else if (code == -EAGAIN)
			harness->dropped++;
	}
}

static int run_hold(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	struct harness *harness = user;

	if (harness->held)
		return error_set(error, -EBUSY, "one at a time");
	harness->held = request;
	control_hold(request, on_gone, harness);
	uv_timer_start(&harness->ticker, on_tick, 0, 1);
	return 0;
}

static void on_quiet_gone(struct control_request *request, void *user)
{
	struct harness *harness = user;

	harness->quiet--;
}

/* As `trace` where nothing happens. */
static int run_quiet(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	struct harness *harness = user;

	harness->quiet++;
	control_hold(request, on_quiet_gone, harness);
	return 0;
}

static void on_finish(uv_timer_t *timer)
{
	struct harness *harness = timer->data;
	struct control_request *request = harness->held;
	struct error error = { "too late" };

	if (!request)
		return;
	uv_timer_stop(timer);
	harness->held = NULL;
	if (!harness->fails)
		control_reply(request, json_pack("{s:s}", "said", "late"));
	control_finish(request, harness->fails ? &error : NULL);
}

/* Answers a little later, or "never"; "fail": with an error. */
static int run_defer(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	struct harness *harness = user;

	harness->held = request;
	harness->fails = json_object_get(arguments, "fail");
	control_defer(request, on_gone, harness);
	if (!json_object_get(arguments, "never"))
		uv_timer_start(&harness->ticker, on_finish, 20, 1);
	return 0;
}

static int run_end(struct control_request *request, const json_t *arguments, void *user,
		   struct error *error)
{
	struct harness *harness = user;

	control_server_free(harness->server);
	harness->server = NULL;
	return control_reply(request, json_object()) == -EPIPE ? 0 : -EINVAL;
}

static const struct control_command test_commands[] = {
	{ "stream", false, run_stream },   { "echo", false, run_echo },
	{ "nothing", false, run_nothing }, { "refuse", false, run_refuse },
	{ "break", false, run_break },     { "hold", false, run_hold },
	{ "quiet", false, run_quiet },     { "end", false, run_end },
	{ "defer", false, run_defer },     { NULL, false, NULL },
};

static void on_stop(uv_async_t *async)
{
	struct harness *harness = async->data;

	control_server_free(harness->server);
	control_server_free(NULL);
	assert_null(harness->held);
	uv_close((uv_handle_t *)&harness->stop, NULL);
	uv_close((uv_handle_t *)&harness->ticker, NULL);
}

static void serve(void *user)
{
	struct harness *harness = user;
	struct error error = { "" };
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	uv_async_init(&loop, &harness->stop, on_stop);
	harness->stop.data = harness;
	uv_timer_init(&loop, &harness->ticker);
	harness->ticker.data = harness;
	if (control_server_new(&loop, harness->path, NULL, test_commands, harness, &harness->server,
			       &error) < 0)
		fprintf(stderr, "%s\n", error.text);
	assert_non_null(harness->server);
	uv_sem_post(&harness->ready);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int harness_setup(void **state)
{
	struct harness *harness = calloc(1, sizeof(*harness));

	strcpy(harness->directory, "/tmp/weir-test-XXXXXX");
	if (!mkdtemp(harness->directory))
		return -1;
	/* One level of the path does not exist yet: the server makes it. */
	snprintf(harness->path, sizeof(harness->path), "%s/run/weir.sock", harness->directory);
	uv_sem_init(&harness->ready, 0);
	uv_thread_create(&harness->thread, serve, harness);
	uv_sem_wait(&harness->ready);
	*state = harness;
	return 0;
}

static void stop(struct harness *harness)
{
	uv_async_send(&harness->stop);
	uv_thread_join(&harness->thread);
}

int harness_teardown(void **state)
{
	struct harness *harness = *state;
	char directory[80];

	stop(harness);
	/* Each stream's state was freed, once. */
	if (harness->streams_started != harness->streams_done)
		return -1;
	uv_sem_destroy(&harness->ready);
	snprintf(directory, sizeof(directory), "%s/run", harness->directory);
	/* Fails unless the server removed its socket file. */
	if (rmdir(directory) < 0 || rmdir(harness->directory) < 0)
		return -1;
	free(harness);
	return 0;
}

int raw_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void raw_send(int fd, const void *data, size_t length)
{
	assert_int_equal(send(fd, data, length, MSG_NOSIGNAL), length);
}

char *raw_receive(int fd, char *buffer, size_t size)
{
	size_t used = 0;
	ssize_t count;

	while (used < size - 1 && (count = recv(fd, buffer + used, size - 1 - used, 0)) > 0)
		used += count;
	buffer[used] = '\0';
	return buffer;
}

void wait_for(atomic_int *value, int expected)
{
	for (int i = 0; i < 5000 && *value != expected; i++)
		usleep(1000);
	assert_int_equal(*value, expected);
}

int open_client(struct harness *harness, const char *command, json_t *arguments,
		struct control_client **ret, struct error *error)
{
	int code = control_client_open(harness->path, command, arguments, ret, error);

	json_decref(arguments);
	return code;
}

void expect_number(struct control_client *client, int number)
{
	json_t *document = NULL;
	struct error error;

	assert_int_equal(control_client_next(client, &document, &error), 1);
	assert_int_equal(json_integer_value(json_object_get(document, "number")), number);
	json_decref(document);
}
