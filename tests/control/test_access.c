// SPDX-License-Identifier: GPL-2.0-only
#include "src/control/server.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Real processes with real user and group ids ask a server. Needs root to become somebody else. */

#define NOBODY 65534
#define GROUPS_MOST 3000

struct who {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t group_count;
	bool returns; /* becomes root again after connecting */
};

static char directory[] = "/tmp/weir-access-XXXXXX";
static char path[64];
static gid_t readers, writers;
static int runs; /* of commands */

static int run(struct control_request *request, const json_t *arguments, void *user,
	       struct error *error)
{
	runs++;
	return control_reply(request, json_object());
}

static void on_gone(struct control_request *request, void *user)
{
}

static int stay(struct control_request *request, const json_t *arguments, void *user,
		struct error *error)
{
	control_hold(request, on_gone, NULL);
	return 0;
}

static const struct control_command commands[] = {
	{ "stay", false, stay },
	{ "look", false, run },
	{ "set", true, run },
	{ NULL, false, NULL },
};

static int setup_group(void **state)
{
	const struct group *group = getgrnam("games");

	if (!mkdtemp(directory) || chmod(directory, 0755) < 0 || !group)
		return -1;
	readers = group->gr_gid;
	group = getgrnam("daemon");
	if (!group)
		return -1;
	writers = group->gr_gid;
	snprintf(path, sizeof(path), "%s/weir.sock", directory);
	return 0;
}

static int teardown_group(void **state)
{
	return rmdir(directory);
}

static void become(const struct who *who)
{
	uid_t saved = who->returns ? 0 : who->uid;

	if (seteuid(0) < 0 || setgroups(who->group_count, who->groups) < 0 ||
	    setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, saved) < 0)
		_exit(99);
}

/* In a child: asks, and writes the first line of the answer, or the name of an error, to @out. */
static void ask(const struct who *who, const char *command, int out)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[1024];
	ssize_t length;

	become(who);
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		dprintf(out, "%s", strerrorname_np(errno));
		_exit(0);
	}
	if (who->returns && seteuid(0) < 0)
		_exit(98);
	dprintf(fd, "{\"command\":\"%s\"}\n", command);
	length = recv(fd, text, sizeof(text), MSG_WAITALL);
	if (length > 0)
		dprintf(out, "%.*s", (int)(strchrnul(text, '\n') - text), text);
	_exit(length > 0 ? 0 : 97);
}

/* Serves until the child has asked; returns what it wrote. */
static const char *answer_to(uv_loop_t *loop, const struct who *who, const char *command)
{
	static char text[1024];
	struct pollfd end = { .events = POLLIN };
	ssize_t length;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		ask(who, command, fds[1]);
	close(fds[1]);
	end.fd = fds[0];
	do
		uv_run(loop, UV_RUN_NOWAIT);
	while (poll(&end, 1, 1) == 0);
	length = read(fds[0], text, sizeof(text) - 1);
	assert_true(length >= 0);
	text[length] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	uv_run(loop, UV_RUN_NOWAIT);
	return text;
}

static struct control_server *serve(uv_loop_t *loop, const struct control_access *access)
{
	struct control_server *server = NULL;
	struct error error = { "" };
	int code;

	assert_int_equal(uv_loop_init(loop), 0);
	code = control_server_new(loop, path, access, commands, NULL, &server, &error);
	if (code < 0)
		fail_msg("%s", error.text);
	runs = 0;
	return server;
}

static void stop(uv_loop_t *loop, struct control_server *server)
{
	control_server_free(server);
	uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static const struct control_access usual = { .group = "games", .mode = 0660, .writers = "daemon" };

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void test_the_socket_belongs_to_its_group(void **state)
{
	struct control_server *server;
	struct stat status;
	uv_loop_t loop;

	need_root();
	server = serve(&loop, &usual);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
	assert_int_equal(status.st_gid, readers);
	assert_int_equal(status.st_uid, 0);
	stop(&loop, server);
}

static void test_who_may(void **state)
{
	const gid_t both[] = { readers, writers };
	const struct who stranger = { .uid = NOBODY, .gid = NOBODY };
	const struct who only_writer = { .uid = NOBODY, .gid = writers };
	const struct who reader = {
		.uid = NOBODY, .gid = NOBODY, .groups = both, .group_count = 1
	};
	const struct who reader_by_primary = { .uid = NOBODY, .gid = readers };
	const struct who writer = {
		.uid = NOBODY, .gid = NOBODY, .groups = both, .group_count = 2
	};
	const struct who writer_by_primary = {
		.uid = NOBODY, .gid = writers, .groups = both, .group_count = 1
	};
	const struct who root = { .uid = 0, .gid = 0 };
	struct control_server *server;
	uv_loop_t loop;

	need_root();
	server = serve(&loop, &usual);
	assert_string_equal(answer_to(&loop, &stranger, "look"), "EACCES");
	assert_string_equal(answer_to(&loop, &only_writer, "set"), "EACCES");
	assert_int_equal(runs, 0);
	assert_string_equal(answer_to(&loop, &reader, "look"), "{\"ok\":true}");
	assert_string_equal(answer_to(&loop, &reader_by_primary, "look"), "{\"ok\":true}");
	assert_int_equal(runs, 2);
	assert_string_equal(answer_to(&loop, &reader, "set"),
			    "{\"error\":\"'set' changes what weir does: only root and members of "
			    "the group daemon may, you are uid 65534; use sudo, or join the group "
			    "(usermod -aG daemon USER) and log in again\"}");
	assert_non_null(strstr(answer_to(&loop, &reader_by_primary, "set"), "error"));
	assert_int_equal(runs, 2);
	assert_string_equal(answer_to(&loop, &writer, "set"), "{\"ok\":true}");
	assert_string_equal(answer_to(&loop, &writer_by_primary, "set"), "{\"ok\":true}");
	assert_string_equal(answer_to(&loop, &root, "set"), "{\"ok\":true}");
	assert_int_equal(runs, 5);
	stop(&loop, server);
}

/* In a child: fills the place up, says how many were let in, and stays until @out has no reader. */
static void crowd(const struct who *who, int out)
{
	const char request[] = "{\"command\":\"stay\"}\n";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd end = { .fd = out };
	int inside = 0;
	char text[64];

	become(who);
	strcpy(address.sun_path, path);
	for (int i = 0; i < 100; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		    write(fd, request, strlen(request)) < 0 || recv(fd, text, sizeof(text), 0) <= 0)
			_exit(97);
		inside += !memcmp(text, "{\"ok\"", 5);
	}
	dprintf(out, "%d", inside);
	poll(&end, 1, -1);
	_exit(0);
}

static void test_nobody_keeps_root_out(void **state)
{
	const struct who reader = { .uid = NOBODY, .gid = readers }, root = { .uid = 0 };
	struct control_server *server;
	struct pollfd full = { .events = POLLIN };
	char count[16] = "";
	uv_loop_t loop;
	int fds[2], status;
	pid_t pid;

	need_root();
	server = serve(&loop, &usual);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		crowd(&reader, fds[1]);
	}
	close(fds[1]);
	full.fd = fds[0];
	do
		uv_run(&loop, UV_RUN_NOWAIT);
	while (poll(&full, 1, 1) == 0);
	assert_true(read(fds[0], count, sizeof(count) - 1) > 0);
	assert_string_equal(count, "64");
	assert_non_null(strstr(answer_to(&loop, &reader, "look"), "64 clients already"));
	assert_string_equal(answer_to(&loop, &root, "look"), "{\"ok\":true}");
	assert_string_equal(answer_to(&loop, &root, "set"), "{\"ok\":true}");
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	stop(&loop, server);
}

/* Who connected as nobody stays nobody on this connection. */
static void test_what_counts_is_who_connected(void **state)
{
	const struct who returning = {
		.uid = NOBODY, .gid = NOBODY, .groups = &readers, .group_count = 1, .returns = true
	};
	struct control_server *server;
	uv_loop_t loop;

	need_root();
	server = serve(&loop, &usual);
	assert_non_null(strstr(answer_to(&loop, &returning, "set"), "you are uid 65534"));
	assert_int_equal(runs, 0);
	stop(&loop, server);
}

static void test_many_groups(void **state)
{
	struct who many = {
		.uid = NOBODY, .gid = NOBODY, .groups = NULL, .group_count = GROUPS_MOST
	};
	struct control_server *server;
	gid_t groups[GROUPS_MOST];
	uv_loop_t loop;

	need_root();
	for (size_t i = 0; i < GROUPS_MOST; i++)
		groups[i] = 100000 + i;
	groups[1] = readers;
	many.groups = groups;
	server = serve(&loop, &usual);
	assert_non_null(strstr(answer_to(&loop, &many, "set"), "error"));
	groups[GROUPS_MOST - 1] = writers;
	assert_string_equal(answer_to(&loop, &many, "set"), "{\"ok\":true}");
	stop(&loop, server);
}

/* A daemon that is not root obeys its own user. */
static void test_own_user(void **state)
{
	const struct control_access open = { .group = "games", .mode = 0666, .writers = "daemon" };
	const struct who same = { .uid = 12345, .gid = NOBODY };
	const struct who other = { .uid = 12346, .gid = NOBODY };
	const struct who root = { .uid = 0, .gid = 0 };
	struct control_server *server;
	uv_loop_t loop;

	need_root();
	server = serve(&loop, &open);
	assert_int_equal(seteuid(same.uid), 0);
	assert_string_equal(answer_to(&loop, &same, "set"), "{\"ok\":true}");
	assert_string_equal(answer_to(&loop, &root, "set"), "{\"ok\":true}");
	assert_non_null(strstr(answer_to(&loop, &other, "set"), "you are uid 12346"));
	assert_int_equal(seteuid(0), 0);
	stop(&loop, server);
}

static void test_groups_that_do_not_exist(void **state)
{
	const struct control_access no_group = { .group = "weir-no-such-group" };
	const struct control_access no_writers = { .writers = "weir-no-such-group" };
	struct control_server *server = NULL;
	struct error error = { "" };
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(
		control_server_new(&loop, path, &no_group, commands, NULL, &server, &error),
		-ENOENT);
	assert_string_equal(error.text,
			    "control: the group 'weir-no-such-group' (of the socket) does not "
			    "exist; make it with 'groupadd --system weir-no-such-group', or name "
			    "another one");
	assert_int_equal(
		control_server_new(&loop, path, &no_writers, commands, NULL, &server, &error),
		-ENOENT);
	assert_non_null(strstr(error.text, "'weir-no-such-group' (who may change)"));
	assert_null(server);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* The usual groups need not exist: then only root may change. */
static void test_defaults(void **state)
{
	const struct group *weir = getgrnam("weir");
	gid_t group = weir ? weir->gr_gid : getegid();
	const struct who reader = {
		.uid = NOBODY, .gid = NOBODY, .groups = &group, .group_count = 1
	};
	bool has_writers = getgrnam("weir-admin") != NULL;
	struct control_server *server;
	struct stat status;
	uv_loop_t loop;

	need_root();
	server = serve(&loop, NULL);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
	assert_int_equal(status.st_gid, group);
	assert_string_equal(answer_to(&loop, &reader, "look"), "{\"ok\":true}");
	assert_non_null(strstr(answer_to(&loop, &reader, "set"),
			       has_writers ? "join the group" : "make the group weir-admin"));
	assert_int_equal(runs, 1);
	stop(&loop, server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_socket_belongs_to_its_group),
		cmocka_unit_test(test_who_may),
		cmocka_unit_test(test_nobody_keeps_root_out),
		cmocka_unit_test(test_what_counts_is_who_connected),
		cmocka_unit_test(test_many_groups),
		cmocka_unit_test(test_own_user),
		cmocka_unit_test(test_groups_that_do_not_exist),
		cmocka_unit_test(test_defaults),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
