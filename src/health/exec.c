// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/health/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXEC_USER "nobody"
#define EXEC_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* One command. Stays until the process is reaped, which may be after the check. */
struct exec_run {
	uv_process_t process;
	uv_poll_t output; /* the read end of what it prints */
	int fd;
	struct prober *prober; /* NULL: cancelled */
	struct health *health;
	unsigned int open; /* of the two handles */
	size_t length;
	char line[92];
};

static void on_closed(uv_handle_t *handle)
{
	struct exec_run *run = handle->data;

	health_handle_closed(run->health);
	if (--run->open == 0)
		free(run);
}

static void close_output(struct exec_run *run)
{
	if (run->fd < 0)
		return;
	uv_poll_stop(&run->output);
	close(run->fd);
	run->fd = -1;
	uv_close((uv_handle_t *)&run->output, on_closed);
}

/* False: there is nothing, for now (EAGAIN) or for ever. */
static bool read_output(struct exec_run *run)
{
	char dropped[4096];
	size_t room = sizeof(run->line) - 1 - run->length;
	ssize_t length;

	errno = 0; /* an end is no EAGAIN */
	length = read(run->fd, room ? run->line + run->length : dropped,
		      room ? room : sizeof(dropped));
	if (length > 0 && room)
		run->length += (size_t)length;
	return length > 0;
}

static void on_output(uv_poll_t *poll, int status, int events)
{
	struct exec_run *run = poll->data;

	if (!read_output(run) && errno != EAGAIN)
		close_output(run);
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
	struct exec_run *run = process->data;
	struct prober *prober = run->prober;
	char error[sizeof(prober->error)], text[32];

	/* The last words are still in the pipe. Only what fits is read: others may write on. */
	while (run->fd >= 0 && run->length < sizeof(run->line) - 1 && read_output(run))
		;
	close_output(run);
	uv_close((uv_handle_t *)process, on_closed);
	if (!prober)
		return;
	run->line[strcspn(run->line, "\r\n")] = '\0';
	if (signal)
		snprintf(text, sizeof(text), "killed by signal %d", signal);
	else
		snprintf(text, sizeof(text), "exit status %d", (int)status);
	snprintf(error, sizeof(error), "%s%s%s", text, run->line[0] ? ": " : "", run->line);
	prober_finish(prober, status || signal ? error : NULL);
}

/* Checks run as nobody. Without root there is one user only, but no capability goes along. */
static int exec_prepare(struct health *health, const struct target *target, struct error *error)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];

	if (geteuid() != 0) {
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
		return 0;
	}
	if (health->exec_flags)
		return 0;
	getpwnam_r(EXEC_USER, &entry, buffer, sizeof(buffer), &found);
	if (!found)
		return error_set(error, -ENOENT,
				 "there is no user %s to run exec checks as; make one", EXEC_USER);
	health->exec_uid = entry.pw_uid;
	health->exec_gid = entry.pw_gid;
	health->exec_flags = UV_PROCESS_SETUID | UV_PROCESS_SETGID;
	return 0;
}

/* @output: the write end, for the child. */
static int spawn(struct exec_run *run, struct prober *prober, int output)
{
	const struct place place = target_place(&prober->target, prober->place_number);
	struct health *health = prober->health;
	char address[sizeof("WEIR_ADDRESS=") + ENDPOINT_STRING_SIZE] = "WEIR_ADDRESS=";
	char check[sizeof("WEIR_CHECK_ADDRESS=") + ENDPOINT_STRING_SIZE] = "WEIR_CHECK_ADDRESS=";
	char port[sizeof("WEIR_PORT=65535")];
	char *arguments[] = { "/bin/sh", "-c", prober->target.config.command, NULL };
	char *environment[] = { address, check, port, EXEC_PATH, NULL };
	uv_stdio_container_t streams[] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = output },
		{ .flags = UV_INHERIT_FD, .data.fd = output },
	};
	uv_process_options_t options = {
		.exit_cb = on_exit_of,
		.file = arguments[0],
		.args = arguments,
		.env = environment,
		.cwd = "/",
		.flags = UV_PROCESS_DETACHED | health->exec_flags, /* a process group of its own */
		.stdio_count = 3,
		.stdio = streams,
		.uid = health->exec_uid,
		.gid = health->exec_gid,
	};

	address_format(&prober->target.backend.address, address + strlen(address));
	address_format(&place.endpoint.address, check + strlen(check));
	snprintf(port, sizeof(port), "WEIR_PORT=%u", place.endpoint.port);
	/* Not all libraries open their files so that a command cannot get hold of them. */
	close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	return uv_spawn(health->loop, &run->process, &options);
}

static int exec_start(struct prober *prober)
{
	struct health *health = prober->health;
	struct exec_run *run;
	int ends[2], code;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return prober_cannot(prober, -errno, "cannot make a pipe");
	run = calloc(1, sizeof(*run));
	code = run ? uv_poll_init(health->loop, &run->output, ends[0]) : -ENOMEM;
	if (code < 0) {
		close(ends[0]);
		close(ends[1]);
		free(run);
		return prober_cannot(prober, code, "cannot wait for a pipe");
	}
	run->process.data = run;
	run->output.data = run;
	run->health = health;
	run->fd = ends[0];
	run->open = 2; /* a process that was not started is a handle, too */
	health_handle_opened(health);
	health_handle_opened(health);
	code = spawn(run, prober, ends[1]);
	close(ends[1]);
	if (code < 0) {
		close_output(run);
		uv_close((uv_handle_t *)&run->process, on_closed);
		return prober_cannot(prober, code, "cannot run the command");
	}
	uv_poll_start(&run->output, UV_READABLE, on_output);
	run->prober = prober;
	prober->run = run;
	return 0;
}

/* The process is not reaped yet, so its group is still its own. */
static void exec_cancel(struct prober *prober)
{
	struct exec_run *run = prober->run;

	kill(-run->process.pid, SIGKILL);
	run->prober = NULL;
	close_output(run);
}

const struct check_kind check_exec = {
	.late = "not done",
	.prepare = exec_prepare,
	.start = exec_start,
	.cancel = exec_cancel,
};
