// SPDX-License-Identifier: GPL-2.0-only
#include "src/cli/cli.h"
#include "tests/control/command_line.h"
#include "tests/control/fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_ARGUMENTS 16

char directory[] = "/tmp/weir-test-XXXXXX";
char socket_path[64];
static pid_t daemon_pid;

static int fake_run(const struct cli_run *run)
{
	struct sigaction action;

	sigaction(SIGPIPE, NULL, &action);
	printf("run %zu %s %s %s %s\n", run->config->service_count, run->config->interfaces[0].name,
	       run->socket_path, run->state_path,
	       action.sa_handler == SIG_IGN ? "ignores SIGPIPE" : "");
	return 7;
}

static int fake_detach(const char *control_path, const struct paths *paths, bool force,
		       cli_say_fn say, void *user, struct error *error)
{
	say(control_path, user);
	say(paths->state, user);
	say(paths->pins, user);
	return force ? error_set(error, -EBUSY, "it does not stop") : 0;
}

static int fake_decap(const char *interface, const struct weir_address *addresses, size_t count)
{
	char text[ENDPOINT_STRING_SIZE];

	printf("decap %s", interface);
	for (size_t i = 0; i < count; i++)
		printf(" %s", address_format(&addresses[i], text));
	putchar('\n');
	return 3;
}

void run_line(const char *line)
{
	char *arguments[MAX_ARGUMENTS + 1] = { "weir" }, *copy = strdup(line), *rest = copy;
	int count = 1, status;

	for (char *word; (word = strsep(&rest, " ")) && count < MAX_ARGUMENTS;)
		if (word[0])
			arguments[count++] = word;
	status = cli_main(count, arguments, fake_run, fake_detach, fake_decap);
	free(copy);
	exit(status);
}

size_t read_all(int fd, char *buffer, size_t size)
{
	size_t used = 0;
	ssize_t count;

	while (used < size - 1 && (count = read(fd, buffer + used, size - 1 - used)) > 0)
		used += count;
	buffer[used] = '\0';
	close(fd);
	return used;
}

struct result weir(const char *line)
{
	struct result result;
	int out[2], err[2];
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(out[0]);
		close(err[0]);
		run_line(line);
	}
	close(out[1]);
	close(err[1]);
	read_all(out[0], result.out, sizeof(result.out));
	read_all(err[0], result.err, sizeof(result.err));
	assert_int_equal(waitpid(pid, &result.status, 0), pid);
	assert_true(WIFEXITED(result.status));
	result.status = WEXITSTATUS(result.status);
	return result;
}

void expect(const char *line, int status, const char *out, const char *err)
{
	const struct result result = weir(line);

	if (result.status == status && !strcmp(result.out, out) && !strcmp(result.err, err))
		return;
	fail_msg("'weir %s': status %d\n%s--- expected %d\n%s--- stderr\n%s--- expected\n%s", line,
		 result.status, result.out, status, out, result.err, err);
}

int command_line_begin(void **state)
{
	if (!mkdtemp(directory))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/weir.sock", directory);
	setenv("WEIR_SOCKET", socket_path, 1);
	unsetenv("WEIR_INSTANCE");
	setenv("TZ", "UTC", 1);
	daemon_pid = fixture_start(socket_path);
	return 0;
}

int command_line_end(void **state)
{
	fixture_stop(daemon_pid);
	return rmdir(directory);
}
