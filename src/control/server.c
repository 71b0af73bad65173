// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/control/buffer.h"
#include "src/control/listen.h"
#include "src/control/server.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CLIENTS 64
#define RESERVED_CLIENTS 8 /* for those who may change */
/* A client that lets the daemon wait for this long must make room when there is none. */
#define SILENT_MS 1000  /* that has not sent its line */
#define STALLED_MS 5000 /* that does not read its answer */
#define MAX_LINE 65536
#define STREAM_CHUNK 32768      /* a stream is asked for more below this */
#define PUSH_LIMIT (256 * 1024) /* waiting bytes beyond which a push is dropped */

/* One connection. Owned by the server's list, then by uv_close() until on_closed(). */
struct control_request {
	uv_pipe_t pipe;
	uv_write_t write;
	struct control_server *server;
	struct control_request *previous, *following;
	struct buffer waiting; /* not yet given to the loop */
	struct buffer sending; /* being written while `writing` */
	json_t *(*next)(void *state);
	void (*done)(void *state);
	void *state;
	void (*gone)(struct control_request *request, void *user);
	void *gone_user;
	uint64_t moved_ms; /* when it came, or last took something */
	bool served;       /* has one of the places */
	bool answering;    /* the line has been read */
	bool accepted;     /* {"ok": true} was queued */
	bool held;
	bool deferred;
	bool broken;   /* a document is missing: the end must not look like one */
	bool paused;   /* the stream asked for other work to be done first */
	bool finished; /* close when everything is written */
	bool writing;
	bool closing;
	size_t used;
	char line[MAX_LINE + 1];
};

struct control_server {
	uv_pipe_t pipe;
	uv_idle_t idle; /* runs while a stream pauses */
	const struct control_command *commands;
	void *user;
	struct control_request *requests; /* those not closing */
	size_t served_count;
	size_t handles; /* whose close callback has not run yet, the own one included */
	/* A connection must be accepted even without memory, or the loop stops listening. */
	struct control_request *spare;
	bool connection_waits;
	bool closing;
	struct control_listener listener;
	struct control_rights rights;
	char path[];
};

static int request_pump(struct control_request *request);
static void request_close(struct control_request *request);
static void on_connection(uv_stream_t *stream, int status);

static int request_accept(struct control_request *request)
{
	static const char line[] = "{\"ok\":true}\n";

	if (request->accepted)
		return 0;
	if (buffer_append(&request->waiting, line, strlen(line)) < 0)
		return -ENOMEM;
	request->accepted = true;
	return 0;
}

static void request_stop_stream(struct control_request *request)
{
	void (*done)(void *state) = request->done;

	request->next = NULL;
	request->done = NULL;
	if (done)
		done(request->state);
}

/* The answer is complete: the empty line tells it from one that a crash cut short. */
static int request_complete(struct control_request *request)
{
	request->finished = true;
	if (request->broken)
		return 0;
	if (request_accept(request) < 0 || buffer_append(&request->waiting, "\n", 1) < 0)
		return -ENOMEM;
	return 0;
}

static void request_fail(struct control_request *request, const char *text)
{
	json_auto_t *answer = NULL;
	char plain[sizeof(((struct error *)NULL)->text)];

	request_stop_stream(request);
	request->held = request->deferred = false;
	request->gone = NULL;
	request->finished = true;
	if (request->accepted)
		return;
	answer = json_pack("{s:s}", "error", text);
	if (!answer) {
		size_t length = 0;

		/* Not UTF-8: a name was cut in the middle, or came so from outside. */
		for (; text[length] && length < sizeof(plain) - 1; length++)
			plain[length] = (unsigned char)text[length] < 0x80 ? text[length] : '?';
		plain[length] = '\0';
		answer = json_pack("{s:s}", "error", plain);
	}
	buffer_append_line(&request->waiting, answer);
}

static void on_idle(uv_idle_t *idle)
{
	struct control_request *request, *following;
	struct control_server *server = idle->data;

	uv_idle_stop(idle);
	for (request = server->requests; request; request = following) {
		following = request->following;
		if (!request->paused)
			continue;
		request->paused = false;
		if (request_pump(request) < 0)
			request_close(request);
	}
}

static int request_fill(struct control_request *request)
{
	while (request->next && !request->paused && request->waiting.length < STREAM_CHUNK) {
		json_auto_t *document = request->next(request->state);
		int code;

		if (json_is_null(document)) {
			request->paused = true;
			code = uv_idle_start(&request->server->idle, on_idle);
		} else if (json_is_object(document)) {
			code = buffer_append_line(&request->waiting, document);
		} else {
			request->broken = document;
			request_stop_stream(request);
			code = request_complete(request);
		}
		if (code < 0)
			return code;
	}
	return 0;
}

static void server_release(struct control_server *server)
{
	if (--server->handles > 0)
		return;
	free(server->spare);
	free(server);
}

static void on_request_closed(uv_handle_t *handle)
{
	struct control_request *request = handle->data;
	struct control_server *server = request->server;

	free(request->waiting.data);
	free(request->sending.data);
	if (server->spare)
		free(request);
	else
		server->spare = request;
	if (server->connection_waits && !server->closing) {
		server->connection_waits = false;
		on_connection((uv_stream_t *)&server->pipe, 0);
	}
	server_release(server);
}

static void request_close(struct control_request *request)
{
	if (request->closing)
		return;
	request->closing = true;
	if (request->previous)
		request->previous->following = request->following;
	else
		request->server->requests = request->following;
	if (request->following)
		request->following->previous = request->previous;
	request->server->served_count -= request->served;
	request_stop_stream(request);
	if (request->gone)
		request->gone(request, request->gone_user);
	uv_close((uv_handle_t *)&request->pipe, on_request_closed);
}

static void on_written(uv_write_t *write, int status)
{
	struct control_request *request = write->data;

	request->writing = false;
	request->sending.length = 0;
	request->moved_ms = uv_now(write->handle->loop);
	if (request->closing)
		return;
	if (status < 0 || request_pump(request) < 0)
		request_close(request);
}

/* Keeps one write going while there is something to say. On failure the caller may close. */
static int request_pump(struct control_request *request)
{
	struct buffer waiting;
	uv_buf_t part;
	int code;

	if (request->writing || request->closing)
		return 0;
	code = request_fill(request);
	if (code < 0)
		return code;
	if (request->waiting.length == 0) {
		if (request->finished)
			request_close(request);
		return 0;
	}
	waiting = request->waiting;
	request->waiting = request->sending;
	request->sending = waiting;
	part = uv_buf_init(waiting.data, waiting.length);
	request->write.data = request;
	code = uv_write(&request->write, (uv_stream_t *)&request->pipe, &part, 1, on_written);
	if (code < 0) {
		request->sending.length = 0;
		return code;
	}
	request->writing = true;
	return 0;
}

/* Whether the client may change something, with @command. */
static int request_may_change(const struct control_request *request, const char *command,
			      struct error *error)
{
	uv_os_fd_t fd;
	int code = uv_fileno((const uv_handle_t *)&request->pipe, &fd);

	if (code < 0)
		return code;
	return control_rights_check(&request->server->rights, fd, command, error);
}

static int request_dispatch(struct control_request *request, const json_t *line,
			    struct error *error)
{
	struct control_server *server = request->server;
	const char *name = json_string_value(json_object_get(line, "command"));
	int code;

	if (!name)
		return error_set(error, -EINVAL,
				 "the request is not an object with a string \"command\"");
	for (const struct control_command *c = server->commands; c->name; c++) {
		if (strcmp(c->name, name) != 0)
			continue;
		code = c->changes ? request_may_change(request, name, error) : 0;
		if (code == 0)
			code = c->run(request, line, server->user, error);
		if (code < 0 && !error->text[0])
			error_set(error, code, "%s: %s", name, strerror(-code));
		return code;
	}
	return error_set(error, -ENOSYS,
			 "the daemon does not know the command '%s'; are 'weir' and the daemon of "
			 "the same version?",
			 name);
}

static void request_run(struct control_request *request, size_t length)
{
	struct error error = { "" };
	json_auto_t *line = NULL;
	json_error_t json_error;
	int code;

	request->answering = true;
	line = json_loadb(request->line, length, JSON_REJECT_DUPLICATES, &json_error);
	if (line)
		code = request_dispatch(request, line, &error);
	else
		code = error_set(&error, -EINVAL, "the request is not JSON: %s (column %d)",
				 json_error.text, json_error.column);
	if (request->closing || request->finished)
		return;
	if (code < 0) {
		request_fail(request, error.text);
		code = 0;
	} else if (request->held || request->next) {
		code = request_accept(request);
	} else if (!request->deferred) {
		code = request_complete(request);
	}
	if (code < 0 || request_pump(request) < 0)
		request_close(request);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct control_request *request = handle->data;

	/* What follows the line is thrown away; it is read only to see the client leave. */
	if (request->answering)
		request->used = 0;
	*ret = uv_buf_init(request->line + request->used, sizeof(request->line) - request->used);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *part)
{
	struct control_request *request = stream->data;
	const char *end;

	if (count < 0) {
		/* A client that only closed its sending side still gets its answer. */
		if (count == UV_EOF && request->answering && !request->held)
			uv_read_stop(stream);
		else
			request_close(request);
		return;
	}
	if (request->answering)
		return;
	end = memchr(part->base, '\n', count);
	request->used += count;
	if (end) {
		request_run(request, end - request->line);
		return;
	}
	if (request->used < sizeof(request->line))
		return;
	request->answering = true;
	request_fail(request, "the request is longer than 64 KiB");
	if (request_pump(request) < 0)
		request_close(request);
}

static bool request_lets_wait(const struct control_request *request, uint64_t now)
{
	const uint64_t waited = now - request->moved_ms;

	if (!request->answering)
		return waited >= SILENT_MS;
	return request->writing && waited >= STALLED_MS;
}

/* Closes the one that has let the daemon wait for longest, if there is one. */
static bool server_make_room(const struct control_server *server)
{
	const uint64_t now = uv_now(server->pipe.loop);
	struct control_request *longest = NULL;

	/* The youngest come first. */
	for (struct control_request *r = server->requests; r; r = r->following)
		if (r->served && request_lets_wait(r, now) &&
		    (!longest || r->moved_ms <= longest->moved_ms))
			longest = r;
	if (longest)
		request_close(longest);
	return longest;
}

/* Nobody can keep out those who could do something about it. */
static bool request_takes_place(struct control_request *request)
{
	struct control_server *server = request->server;
	struct error error;

	if (server->served_count >= MAX_CLIENTS && !server_make_room(server) &&
	    (server->served_count >= MAX_CLIENTS + RESERVED_CLIENTS ||
	     request_may_change(request, "", &error) < 0))
		return false;
	request->served = true;
	server->served_count++;
	return true;
}

static void request_start(struct control_request *request)
{
	struct control_server *server = request->server;
	uv_stream_t *stream = (uv_stream_t *)&request->pipe;

	if (uv_accept((uv_stream_t *)&server->pipe, stream) < 0) {
		request_close(request);
		return;
	}
	request->moved_ms = uv_now(stream->loop);
	if (!request_takes_place(request)) {
		request->answering = true;
		request_fail(request, "the daemon serves 64 clients already; try again later");
		if (request_pump(request) < 0)
			request_close(request);
	} else if (uv_read_start(stream, on_allocate, on_read) < 0) {
		request_close(request);
	}
}

static void on_connection(uv_stream_t *stream, int status)
{
	struct control_server *server = stream->data;
	struct control_request *request;

	if (status < 0)
		return;
	request = malloc(sizeof(*request));
	if (!request)
		request = TAKE(server->spare);
	if (!request) {
		/* The spare one is in use: its close callback comes back here. */
		server->connection_waits = true;
		return;
	}
	memset(request, 0, offsetof(struct control_request, line));
	request->server = server;
	uv_pipe_init(server->pipe.loop, &request->pipe, 0);
	request->pipe.data = request;
	request->following = server->requests;
	if (request->following)
		request->following->previous = request;
	server->requests = request;
	server->handles++;
	request_start(request);
}

static void on_server_closed(uv_handle_t *handle)
{
	server_release(handle->data);
}

static void ignore_broken_pipes(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

int control_server_new(uv_loop_t *loop, const char *path, const struct control_access *access,
		       const struct control_command *commands, void *user,
		       struct control_server **ret, struct error *error)
{
	struct control_server *server = calloc(1, sizeof(*server) + strlen(path) + 1);
	struct control_request *spare = malloc(sizeof(*spare));
	int code;

	if (!server || !spare) {
		code = error_set(error, -ENOMEM, "no memory for the control socket");
		goto fail;
	}
	server->commands = commands;
	server->user = user;
	strcpy(server->path, path);
	code = control_rights_find(access, &server->rights, error);
	if (code == 0)
		code = control_listen(path, &server->rights, &server->listener, error);
	if (code < 0)
		goto fail;
	ignore_broken_pipes();
	server->spare = spare;
	server->handles = 2;
	uv_pipe_init(loop, &server->pipe, 0);
	server->pipe.data = server;
	uv_idle_init(loop, &server->idle);
	server->idle.data = server;
	code = uv_pipe_open(&server->pipe, server->listener.fd);
	if (code < 0)
		close(server->listener.fd);
	else
		code = uv_listen((uv_stream_t *)&server->pipe, MAX_CLIENTS, on_connection);
	if (code < 0) {
		control_server_free(server);
		return error_set(error, code, "cannot listen on %s: %s", path, uv_strerror(code));
	}
	*ret = server;
	return 0;
fail:
	free(server);
	free(spare);
	return code;
}

void control_server_free(struct control_server *server)
{
	if (!server || server->closing)
		return;
	server->closing = true;
	while (server->requests)
		request_close(server->requests);
	control_unlink(server->path, &server->listener);
	uv_close((uv_handle_t *)&server->idle, on_server_closed);
	uv_close((uv_handle_t *)&server->pipe, on_server_closed);
}

int control_reply(struct control_request *request, json_t *document)
{
	json_auto_t *owned = document;

	if (request->closing)
		return -EPIPE;
	if (request_accept(request) == 0 && buffer_append_line(&request->waiting, owned) == 0)
		return 0;
	request->broken = true;
	return -ENOMEM;
}

int control_reply_stream(struct control_request *request, json_t *(*next)(void *state),
			 void (*done)(void *state), void *state)
{
	if (request->closing || request->next || request_accept(request) < 0) {
		done(state);
		return request->closing ? -EPIPE : -ENOMEM;
	}
	request->next = next;
	request->done = done;
	request->state = state;
	return 0;
}

void control_hold(struct control_request *request, void (*gone)(struct control_request *, void *),
		  void *user)
{
	if (request->closing)
		return;
	request->held = true;
	request->gone = gone;
	request->gone_user = user;
}

void control_defer(struct control_request *request, void (*gone)(struct control_request *, void *),
		   void *user)
{
	if (request->closing)
		return;
	request->deferred = true;
	request->gone = gone;
	request->gone_user = user;
}

void control_finish(struct control_request *request, const struct error *error)
{
	int code = 0;

	request->deferred = false;
	request->gone = NULL;
	if (error)
		request_fail(request, error->text);
	else
		code = request_complete(request);
	if (code < 0 || request_pump(request) < 0)
		request_close(request);
}

int control_push(struct control_request *request, json_t *document)
{
	json_auto_t *owned = document;
	int code;

	if (request->closing)
		return -EPIPE;
	if (request->waiting.length > PUSH_LIMIT)
		return -EAGAIN;
	code = request_accept(request);
	if (code == 0)
		code = buffer_append_line(&request->waiting, owned);
	return code < 0 ? code : request_pump(request);
}
