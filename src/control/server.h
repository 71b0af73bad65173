/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"
#include "src/control/access.h"

#include <jansson.h>
#include <uv.h>

/*
 * The control socket (unix, stream). A client sends one line of at most 64 KiB, a JSON object
 * {"command": "NAME", ...arguments}. The server answers with lines: first {"ok": true} or
 * {"error": "text"}, then any number of JSON documents, one a line, then an empty line that says
 * "this was all", and closes. Law: `weir` is the only client and the only server; the format of
 * these lines may change with the version, the printed JSON may not.
 *
 * At most 64 clients are served at once, and 8 more of those who may change; further ones get an error, unless
 * another has not sent its line after a second or has read nothing of its answer for five: it is closed. A
 * client may leave at any moment and read as slowly as it likes: the loop never waits for it.
 */
struct control_server;
struct control_request;

struct control_command {
	const char *name;
	bool changes; /* not for those who may only read, see access.h */
	/*
	 * Answers with control_reply(), then returns 0; or returns a negative errno with @error
	 * filled before anything was sent. @arguments is borrowed. A command that goes on (trace)
	 * calls control_hold() and later control_push(), one that takes its time control_defer().
	 * @request is valid until run() returns, or, once held or deferred, until @gone was called.
	 */
	int (*run)(struct control_request *request, const json_t *arguments, void *user,
		   struct error *error);
};

/*
 * Listens on @path; makes its directory if it is missing. A socket file that nobody listens on is
 * replaced; a living daemon there is -EADDRINUSE. @access says who may connect and who may change
 * (NULL: defaults; not needed after the call); its groups are looked up once, here.
 * @commands ends with a NULL name and must outlive the server. SIGPIPE, where it would end the
 * process, is ignored from now on: writing to a client that left must not.
 */
int control_server_new(uv_loop_t *loop, const char *path, const struct control_access *access,
		       const struct control_command *commands, void *user,
		       struct control_server **ret, struct error *error);
/*
 * Closes all connections (their @done and @gone are called before this returns), removes the socket
 * file. The memory goes when the loop has run. NULL is allowed.
 */
void control_server_free(struct control_server *server);

/* Sends one document; takes the reference to @document, also on failure. */
int control_reply(struct control_request *request, json_t *document);
/*
 * Streams many documents without holding them all: @next is called whenever the socket has room and
 * returns a new document, NULL at the end, json_null() for "nothing yet, ask again when the loop has
 * done its other work", or json_false() if it failed, which the client then notices. @done frees
 * @state in the end (also when the client leaves). @next must not call other functions of this
 * server. Once per request.
 */
int control_reply_stream(struct control_request *request, json_t *(*next)(void *state),
			 void (*done)(void *state), void *state);

/*
 * Keeps the connection open after run() has returned 0; @gone is called once when the client leaves
 * (never from within control_push()).
 */
void control_hold(struct control_request *request, void (*gone)(struct control_request *, void *),
		  void *user);
/*
 * The answer comes later: control_finish() ends the request, after control_reply() or with what went wrong
 * (NULL: nothing). Unless the client left before, then @gone was called and the request must not be touched.
 */
void control_defer(struct control_request *request, void (*gone)(struct control_request *, void *),
		   void *user);
void control_finish(struct control_request *request, const struct error *error);
/*
 * For a held connection: like control_reply(). Drops the document if the client reads too slowly
 * (-EAGAIN).
 */
int control_push(struct control_request *request, json_t *document);
