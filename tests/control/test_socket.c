// SPDX-License-Identifier: GPL-2.0-only
#include "src/control/client.h"
#include "src/control/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

/* The socket file itself, and a client whose daemon talks nonsense. */

static const struct control_rights rights = {
	.group = CONTROL_NO_GROUP,
	.writers = CONTROL_NO_GROUP,
	.mode = 0660,
};

struct place {
	char directory[64];
	char path[96];
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	strcpy(place->directory, "/tmp/weir-test-XXXXXX");
	if (!mkdtemp(place->directory))
		return -1;
	snprintf(place->path, sizeof(place->path), "%s/weir.sock", place->directory);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	unlink(place->path);
	if (rmdir(place->directory) < 0)
		return -1;
	free(place);
	return 0;
}

static void test_access(void **state)
{
	struct control_listener listener;
	struct place *place = *state;
	struct error error;
	struct stat status;
	mode_t mask;
	char path[128];

	snprintf(path, sizeof(path), "%s/run/weir.sock", place->directory);
	mask = umask(077);
	assert_int_equal(control_listen(path, &rights, &listener, &error), 0);
	umask(mask);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode, S_IFSOCK | 0660);
	assert_int_equal(status.st_gid, getegid());
	assert_int_equal(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	control_unlink(path, &listener);
	close(listener.fd);
	assert_int_equal(access(path, F_OK), -1);

	*strrchr(path, '/') = '\0';
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode, S_IFDIR | 0755);
	assert_int_equal(rmdir(path), 0);
}

static void test_living_and_stale(void **state)
{
	struct control_listener first, second, third;
	struct place *place = *state;
	struct error error;
	char expected[256];

	assert_int_equal(control_listen(place->path, &rights, &first, &error), 0);
	assert_int_equal(control_listen(place->path, &rights, &second, &error), -EADDRINUSE);
	snprintf(expected, sizeof(expected),
		 "another weir daemon (pid %d) already serves %s; stop it or use --instance NAME",
		 getpid(), place->path);
	assert_string_equal(error.text, expected);

	/* Its file was removed by hand: its end must not take the file of the next. */
	unlink(place->path);
	assert_int_equal(control_listen(place->path, &rights, &second, &error), 0);
	control_unlink(place->path, &first);
	close(first.fd);
	assert_int_equal(control_listen(place->path, &rights, &third, &error), -EADDRINUSE);

	/* Dead, its file left behind. */
	close(second.fd);
	assert_int_equal(access(place->path, F_OK), 0);
	assert_int_equal(control_listen(place->path, &rights, &third, &error), 0);
	control_unlink(place->path, &third);
	assert_int_equal(access(place->path, F_OK), -1);
	close(third.fd);
}

/* Somebody listens but takes no connections: still not stale. */
static void test_busy(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct control_listener listener;
	struct place *place = *state;
	int fds[3], count = 0;
	struct error error;

	strcpy(address.sun_path, place->path);
	fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fds[0], (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	for (count = 1; count < 3; count++) {
		fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fds[count], (struct sockaddr *)&address, sizeof(address)) < 0)
			break;
	}
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(control_listen(place->path, &rights, &listener, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "(pid unknown) already serves"));
	for (int i = 0; i <= count && i < 3; i++)
		close(fds[i]);
}

static void test_bad_places(void **state)
{
	struct control_listener listener = { .fd = -7 };
	struct place *place = *state;
	char path[160];
	struct error error;
	int fd;

	fd = open(place->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(control_listen(place->path, &rights, &listener, &error), -EEXIST);
	assert_non_null(strstr(error.text, "is not a socket"));
	snprintf(path, sizeof(path), "%s/weir.sock", place->path);
	assert_int_equal(control_listen(path, &rights, &listener, &error), -ENOTDIR);
	assert_int_equal(access(place->path, F_OK), 0);

	snprintf(path, sizeof(path), "%s/a/b/weir.sock", place->directory);
	assert_int_equal(control_listen(path, &rights, &listener, &error), -ENOENT);
	assert_non_null(strstr(error.text, "cannot make the directory"));

	memset(path, 'x', 108);
	path[108] = '\0';
	assert_int_equal(control_listen(path, &rights, &listener, &error), -ENAMETOOLONG);
	assert_int_equal(control_listen("", &rights, &listener, &error), -ENAMETOOLONG);
	assert_int_equal(listener.fd, -7);
}

/* A daemon that answers whatever comes with the same bytes. */
struct nonsense {
	uv_thread_t thread;
	int fd;
	const char *answer;
	size_t length;
};

static void answer_once(void *user)
{
	struct nonsense *nonsense = user;
	int fd = accept(nonsense->fd, NULL, NULL);
	char line[256];

	if (nonsense->answer && read(fd, line, sizeof(line)) > 0 &&
	    write(fd, nonsense->answer, nonsense->length) < 0)
		perror("write");
	close(fd);
}

struct nonsense_case {
	const char *answer;
	size_t length;
	int open;
	int next;
	const char *text;
};

#define ANSWER(text) text, sizeof(text) - 1

static const struct nonsense_case nonsense_cases[] = {
	{ NULL, 0, -EPIPE, 0, "before its answer was complete" },
	{ ANSWER(""), -EPIPE, 0, "before its answer was complete" },
	{ ANSWER("{\"ok\":true}"), -EPIPE, 0, "before its answer was complete" },
	{ ANSWER("\n"), -EBADMSG, 0, "is not understood" },
	{ ANSWER("hello\n"), -EBADMSG, 0, "is not understood" },
	{ ANSWER("[]\n"), -EBADMSG, 0, "not an object" },
	{ ANSWER("{}\n"), -EBADMSG, 0, "neither \"ok\" nor \"error\"" },
	{ ANSWER("{\"error\":7}\n"), -EBADMSG, 0, "neither \"ok\" nor \"error\"" },
	{ ANSWER("{\"error\":\"\xff\"}\n"), -EBADMSG, 0, "unable to decode byte" },
	{ ANSWER("{\"error\":\"no\"}\n"), -EREMOTEIO, 0, "no" },
	{ ANSWER("{\"ok\":true}\n"), 0, -EPIPE, "before its answer was complete" },
	{ ANSWER("{\"ok\":true}\n{\"a\":1"), 0, -EPIPE, "before its answer was complete" },
	{ ANSWER("{\"ok\":true}\n7\n"), 0, -EBADMSG, "is not understood" },
	{ ANSWER("{\"ok\":true}\n[{}]\n"), 0, -EBADMSG, "not an object" },
	{ ANSWER("{\"ok\":true}\n{\"a\":\"\xc3\"}\n"), 0, -EBADMSG, "unable to decode byte" },
	{ ANSWER("{\"ok\":true}\n{\"a\0\":1}\n"), 0, -EBADMSG, "is not understood" },
	{ ANSWER("{\"ok\":true}\n{\"a\":1}\n"), 0, 1, "" },
	{ ANSWER("{\"ok\":true}\n\n"), 0, 0, "" },
};

static void test_nonsense(void **state)
{
	struct control_listener listener;
	struct place *place = *state;
	struct error error;

	assert_int_equal(control_listen(place->path, &rights, &listener, &error), 0);
	fcntl(listener.fd, F_SETFL, 0);
	for (size_t i = 0; i < sizeof(nonsense_cases) / sizeof(nonsense_cases[0]); i++) {
		const struct nonsense_case *c = &nonsense_cases[i];
		struct nonsense nonsense = { .fd = listener.fd,
					     .answer = c->answer,
					     .length = c->length };
		struct control_client *client = NULL;
		json_t *document = NULL;

		uv_thread_create(&nonsense.thread, answer_once, &nonsense);
		error.text[0] = '\0';
		assert_int_equal(control_client_open(place->path, "x", NULL, &client, &error),
				 c->open);
		assert_true(!client == !!c->open);
		if (client)
			assert_int_equal(control_client_next(client, &document, &error), c->next);
		assert_true(!document == (c->next != 1));
		assert_non_null(strstr(error.text, c->text));
		json_decref(document);
		control_client_free(client);
		uv_thread_join(&nonsense.thread);
	}
	close(listener.fd);
}

/* The daemon hangs up before the request was sent: an error, not a signal. */
static void test_hung_up(void **state)
{
	struct control_listener listener;
	struct place *place = *state;
	struct error error;

	assert_int_equal(control_listen(place->path, &rights, &listener, &error), 0);
	fcntl(listener.fd, F_SETFL, 0);
	for (int i = 0; i < 500; i++) {
		struct nonsense nonsense = { .fd = listener.fd };
		struct control_client *client = NULL;

		uv_thread_create(&nonsense.thread, answer_once, &nonsense);
		usleep(i % 50);
		assert_int_equal(control_client_open(place->path, "x", NULL, &client, &error),
				 -EPIPE);
		uv_thread_join(&nonsense.thread);
	}
	close(listener.fd);
}

static void test_no_daemon(void **state)
{
	struct control_listener listener;
	struct control_client *client = NULL;
	struct place *place = *state;
	struct error error;
	char path[160];

	assert_int_equal(control_client_open(place->path, "x", NULL, &client, &error), -ENOENT);
	assert_int_equal(control_listen(place->path, &rights, &listener, &error), 0);
	close(listener.fd);
	assert_int_equal(control_client_open(place->path, "x", NULL, &client, &error),
			 -ECONNREFUSED);
	assert_non_null(strstr(error.text, ": Connection refused; start one with 'weir run ...' or "
					   "name its socket with --socket"));
	memset(path, 'x', 108);
	path[108] = '\0';
	assert_int_equal(control_client_open(path, "x", NULL, &client, &error), -ENAMETOOLONG);
	assert_int_equal(control_client_open("", "x", NULL, &client, &error), -ENAMETOOLONG);
	assert_null(client);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_access),     CASE(test_living_and_stale), CASE(test_busy),
		CASE(test_bad_places), CASE(test_nonsense),         CASE(test_hung_up),
		CASE(test_no_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
