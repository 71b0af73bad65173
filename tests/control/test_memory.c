// SPDX-License-Identifier: GPL-2.0-only
#include "src/control/client.h"
#include "src/control/server.h"

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
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Every allocation of a conversation fails once, on the server's side and on the client's. Linked
 * with --wrap; jansson allocates through the same functions.
 */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);

/* Allocations until one fails; negative: none. Of this thread only. */
static _Thread_local int countdown = -1;
static _Thread_local bool starved; /* all of them fail */
static _Thread_local bool failed;

static bool may_allocate(void)
{
	if (!starved && (countdown < 0 || countdown-- > 0))
		return true;
	failed = true;
	return false;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *pointer, size_t size)
{
	return may_allocate() ? __real_realloc(pointer, size) : NULL;
}

/* Together more than the first size of the server's buffer. */
#define DOCUMENTS 100
#define PADDING "0123456789012345678901234567890123456789012345678901234567890123456789"

static int states;

static json_t *number(int left)
{
	return json_pack("{s:i,s:s}", "left", left, "padding", PADDING);
}

static json_t *next_number(void *state)
{
	int *left = state;
	json_t *document;

	if (*left == 0)
		return NULL;
	document = number(--*left);
	return document ? document : json_false();
}

static void state_free(void *state)
{
	states--;
	free(state);
}

static int run_stream(struct control_request *request, const json_t *arguments, void *user,
		      struct error *error)
{
	int *left = malloc(sizeof(*left));

	if (!left)
		return -ENOMEM;
	states++;
	*left = DOCUMENTS;
	return control_reply_stream(request, next_number, state_free, left);
}

static int run_reply(struct control_request *request, const json_t *arguments, void *user,
		     struct error *error)
{
	for (int i = 0; i < DOCUMENTS; i++)
		control_reply(request, number(i));
	return 0;
}

static int run_echo(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	return control_reply(request, json_deep_copy(arguments));
}

static void on_gone(struct control_request *request, void *user)
{
	states--;
}

static int run_hold(struct control_request *request, const json_t *arguments, void *user,
		    struct error *error)
{
	states++;
	control_hold(request, on_gone, NULL);
	for (int i = 0; i < DOCUMENTS; i++)
		control_push(request, number(i));
	return 0;
}

static const struct control_command test_commands[] = {
	{ "stream", false, run_stream }, { "reply", false, run_reply }, { "echo", false, run_echo },
	{ "hold", false, run_hold },     { NULL, false, NULL },
};

static int connect_raw(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void turn(uv_loop_t *loop)
{
	for (int i = 0; i < 20; i++)
		uv_run(loop, UV_RUN_NOWAIT);
}

/* All that was sent are whole documents; an answer that ends like a complete one has all of them. */
static void check_answer(int fd)
{
	static char answer[1 << 16];
	ssize_t length = recv(fd, answer, sizeof(answer) - 1, 0);
	char *rest = answer;
	int documents = 0;
	bool ended = false;

	if (length <= 0)
		return;
	answer[length] = '\0';
	assert_int_equal(answer[length - 1], '\n');
	for (char *line; (line = strsep(&rest, "\n")) && rest;) {
		json_t *document = json_loads(line, 0, NULL);

		assert_true(document || !line[0]);
		ended = !line[0];
		documents += json_object_get(document, "left") != NULL;
		json_decref(document);
	}
	if (ended)
		assert_int_equal(documents, DOCUMENTS);
}

static void test_server(void **state)
{
	const char *names[] = { "stream", "reply", "hold" };
	struct control_server *server = NULL;
	char path[] = "/tmp/weir-test-XXXXXX", line[64];
	struct error error;
	uv_loop_t loop;
	int fd, n;

	fd = mkstemp(path);
	close(fd);
	unlink(path);
	uv_loop_init(&loop);
	for (n = 0; !server; n++) {
		countdown = n;
		assert_true(control_server_new(&loop, path, NULL, test_commands, NULL, &server,
					       &error) == -ENOMEM ||
			    server);
		countdown = -1;
	}
	assert_true(n > 2);
	for (size_t i = 0; i < 3; i++) {
		for (n = 0, failed = true; failed; n++) {
			failed = false;
			fd = connect_raw(path);
			snprintf(line, sizeof(line), "{\"command\":\"%s\"}\n", names[i]);
			assert_int_equal(send(fd, line, strlen(line), 0), strlen(line));
			countdown = n;
			turn(&loop);
			countdown = -1;
			check_answer(fd);
			close(fd);
			turn(&loop);
			assert_int_equal(states, 0);
		}
		assert_true(n > DOCUMENTS);
	}
	control_server_free(server);
	turn(&loop);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* No memory at all while many come at once: they wait, and are served when there is some again. */
static void test_accept(void **state)
{
	struct control_server *server = NULL;
	char path[] = "/tmp/weir-test-XXXXXX", answer[64];
	struct error error;
	uv_loop_t loop;
	int fds[8];

	fds[0] = mkstemp(path);
	close(fds[0]);
	unlink(path);
	uv_loop_init(&loop);
	assert_int_equal(
		control_server_new(&loop, path, NULL, test_commands, NULL, &server, &error), 0);
	for (int i = 0; i < 8; i++)
		fds[i] = connect_raw(path);
	starved = true;
	turn(&loop);
	starved = false;
	for (int i = 0; i < 8; i++) {
		assert_int_equal(send(fds[i], "{}\n", 3, 0), 3);
		turn(&loop);
		assert_true(recv(fds[i], answer, sizeof(answer), 0) > 0);
		close(fds[i]);
		turn(&loop);
	}
	control_server_free(server);
	turn(&loop);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void serve(void *user)
{
	uv_run(user, UV_RUN_DEFAULT);
}

static void on_stop(uv_async_t *async)
{
	control_server_free(async->data);
	uv_close((uv_handle_t *)async, NULL);
}

static void test_client(void **state)
{
	struct control_server *server = NULL;
	char path[] = "/tmp/weir-test-XXXXXX";
	struct error error;
	uv_thread_t thread;
	uv_async_t stop;
	uv_loop_t loop;
	int fd, n;

	fd = mkstemp(path);
	close(fd);
	unlink(path);
	uv_loop_init(&loop);
	assert_int_equal(
		control_server_new(&loop, path, NULL, test_commands, NULL, &server, &error), 0);
	uv_async_init(&loop, &stop, on_stop);
	stop.data = server;
	uv_thread_create(&thread, serve, &loop);
	for (n = 0, failed = true; failed; n++) {
		json_t *arguments = json_pack("{s:s}", "a", "b"), *document = NULL;
		struct control_client *client = NULL;
		int code;

		failed = false;
		countdown = n;
		code = control_client_open(path, "echo", arguments, &client, &error);
		if (code == 0)
			code = control_client_next(client, &document, &error);
		countdown = -1;
		/* Said, heard and understood in full, or not at all. */
		assert_true(code == 1 || (failed && code < 0));
		assert_true((code == 1) == (document != NULL));
		if (document)
			assert_string_equal(json_string_value(json_object_get(document, "a")), "b");
		json_decref(document);
		json_decref(arguments);
		control_client_free(client);
	}
	assert_true(n > 5);
	uv_async_send(&stop);
	uv_thread_join(&thread);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_client),
	};

	json_set_alloc_funcs(__wrap_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
