// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/control/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_SECONDS 10

struct control_client {
	FILE *stream;
	char *line;
	size_t line_size;
	char path[];
};

static int set_timeout(int fd, time_t seconds)
{
	const struct timeval timeout = { .tv_sec = seconds };

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	return 0;
}

static int connect_error(const char *path, int code, struct error *error)
{
	switch (code) {
	case EACCES:
	case EPERM:
		return error_set(error, -code,
				 "may not talk to the daemon on %s: %s; become root, or a member "
				 "of the group that owns the socket",
				 path, strerror(code));
	case EAGAIN:
		return error_set(error, -ETIMEDOUT,
				 "the daemon on %s took no connection within %d s; see its log",
				 path, ANSWER_TIMEOUT_SECONDS);
	default:
		return error_set(error, -code,
				 "no daemon answers on %s: %s; start one with 'weir run ...' or "
				 "name its socket with --socket",
				 path, strerror(code));
	}
}

static int client_connect(struct control_client *client, struct error *error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (!client->path[0] || strlen(client->path) >= sizeof(address.sun_path))
		return error_set(error, -ENAMETOOLONG,
				 "control socket '%s': expected a path of 1 to %zu bytes",
				 client->path, sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, client->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || set_timeout(fd, ANSWER_TIMEOUT_SECONDS) < 0)
		return error_set(error, -errno, "cannot open a unix socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return connect_error(client->path, errno, error);
	client->stream = fdopen(fd, "r");
	if (!client->stream)
		return error_set(error, -ENOMEM, "no memory for the connection to the daemon");
	fd = -1;
	return 0;
}

static int client_send(struct control_client *client, const char *command, const json_t *arguments,
		       struct error *error)
{
	json_auto_t *request = json_object();
	_cleanup_free_ char *line = NULL;
	size_t length;

	/* Not json_copy(): without memory it leaves out elements and says nothing. */
	if (request && (!arguments || json_object_update(request, (json_t *)arguments) == 0) &&
	    json_object_set_new(request, "command", json_string(command)) == 0)
		line = json_dumps(request, JSON_COMPACT);
	if (!line)
		return error_set(error, -ENOMEM, "no memory for the request");
	length = strlen(line);
	line[length] = '\n';
	for (size_t sent = 0; sent < length + 1;) {
		ssize_t count = send(fileno(client->stream), line + sent, length + 1 - sent,
				     MSG_NOSIGNAL);

		if (count >= 0)
			sent += count;
		else if (errno == EPIPE || errno == ECONNRESET)
			return 0; /* the daemon hung up, and its reason can be read */
		else if (errno != EINTR)
			return error_set(error, -errno, "cannot send to the daemon on %s: %s",
					 client->path, strerror(errno));
	}
	return 0;
}

/* Reads one line: its length without the newline, or a negative errno. */
static ssize_t client_read_line(struct control_client *client, struct error *error)
{
	ssize_t length;

	do {
		errno = 0;
		clearerr(client->stream);
		length = getline(&client->line, &client->line_size, client->stream);
	} while (length < 0 && errno == EINTR);
	if (length > 0 && client->line[length - 1] == '\n') {
		client->line[length - 1] = '\0';
		return length - 1;
	}
	if (length < 0 && errno == EAGAIN)
		return error_set(error, -ETIMEDOUT,
				 "the daemon on %s did not answer within %d s; see its log",
				 client->path, ANSWER_TIMEOUT_SECONDS);
	if (length < 0 && errno == ENOMEM)
		return error_set(error, -ENOMEM, "no memory for the answer of the daemon");
	return error_set(error, -EPIPE,
			 "the daemon on %s closed the connection before its answer was complete; "
			 "was it stopped?",
			 client->path);
}

static int client_parse(struct control_client *client, size_t length, json_t **ret,
			struct error *error)
{
	json_error_t json_error;
	json_auto_t *document = json_loadb(client->line, length, JSON_REJECT_DUPLICATES,
					   &json_error);

	if (!json_is_object(document))
		return error_set(
			error, -EBADMSG,
			"the answer of the daemon on %s is not understood (%s); are 'weir' "
			"and the daemon of the same version?",
			client->path, document ? "not an object" : json_error.text);
	*ret = TAKE(document);
	return 1;
}

static int client_accepted(struct control_client *client, struct error *error)
{
	ssize_t length = client_read_line(client, error);
	json_auto_t *answer = NULL;
	const char *text;
	int code;

	if (length < 0)
		return length;
	code = client_parse(client, length, &answer, error);
	if (code < 0)
		return code;
	text = json_string_value(json_object_get(answer, "error"));
	if (text)
		return error_set(error, -EREMOTEIO, "%s", text);
	if (!json_is_true(json_object_get(answer, "ok")))
		return error_set(error, -EBADMSG,
				 "the answer of the daemon on %s is not understood (neither \"ok\" "
				 "nor \"error\"); are 'weir' and the daemon of the same version?",
				 client->path);
	if (set_timeout(fileno(client->stream), 0) < 0)
		return error_set(error, -errno, "cannot set up the connection to the daemon: %s",
				 strerror(errno));
	return 0;
}

int control_client_open(const char *path, const char *command, const json_t *arguments,
			struct control_client **ret, struct error *error)
{
	struct control_client *client = calloc(1, sizeof(*client) + strlen(path) + 1);
	int code;

	if (!client)
		return error_set(error, -ENOMEM, "no memory for the connection to the daemon");
	strcpy(client->path, path);
	code = client_connect(client, error);
	if (code == 0)
		code = client_send(client, command, arguments, error);
	if (code == 0)
		code = client_accepted(client, error);
	if (code < 0)
		control_client_free(client);
	else
		*ret = client;
	return code;
}

void control_client_free(struct control_client *client)
{
	if (!client)
		return;
	if (client->stream)
		fclose(client->stream);
	free(client->line);
	free(client);
}

int control_client_next(struct control_client *client, json_t **ret, struct error *error)
{
	ssize_t length = client_read_line(client, error);

	if (length <= 0)
		return length;
	return client_parse(client, length, ret, error);
}
