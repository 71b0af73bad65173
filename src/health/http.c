// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/cleanup.h"
#include "src/health/internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_MOST = 64 * 1024 };

/* The loop under libcurl, shared by all checks. Lives as long as `health`. */
struct http {
	struct health *health;
	CURLM *multi; /* NULL: closing */
	struct curl_slist *headers;
	uv_timer_t timer;
};

/* A socket that libcurl wants watched. */
struct http_socket {
	uv_poll_t poll;
	struct health *health;
	struct http *http; /* not after the close: it may go first */
	curl_socket_t fd;
};

struct http_run {
	CURL *easy;
	struct prober *prober;
	struct curl_slist *connect_to;
	char *body; /* NULL: nobody wants to read it */
	size_t length;
	bool full; /* we ended the transfer, having seen enough */
	char error[CURL_ERROR_SIZE];
};

static void run_free(struct http_run *run)
{
	if (run->easy)
		curl_easy_cleanup(run->easy);
	curl_slist_free_all(run->connect_to);
	free(run->body);
	free(run);
}

static void cleanup_run(struct http_run **run)
{
	if (*run)
		run_free(*run);
}

static bool status_good(const struct config_health *config, long status)
{
	return config->status ? status == config->status : status >= 200 && status <= 399;
}

static void judge_answer(const struct http_run *run, char *error, size_t size)
{
	const struct config_health *config = &run->prober->target.config;
	long status = 0;

	curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!status_good(config, status) && config->status)
		snprintf(error, size, "status %ld, expected %u", status, config->status);
	else if (!status_good(config, status))
		snprintf(error, size, "status %ld, expected 200-399", status);
	else if (config->body &&
		 !memmem(run->body, run->length, config->body, strlen(config->body)))
		snprintf(error, size, "the answer does not contain '%s'", config->body);
}

/* Leaves @error empty if all is good. */
static void judge(const struct http_run *run, CURLcode code, char *error, size_t size)
{
	long number = 0;

	error[0] = '\0';
	if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && run->full)) {
		judge_answer(run, error, size);
		return;
	}
	curl_easy_getinfo(run->easy, CURLINFO_OS_ERRNO, &number);
	if (code == CURLE_COULDNT_CONNECT && number)
		snprintf(error, size, "%s", health_words((int)number));
	else if (code == CURLE_GOT_NOTHING)
		snprintf(error, size, "the connection was closed without an answer");
	else
		snprintf(error, size, "%.*s", (int)size - 1,
			 run->error[0] ? run->error : curl_easy_strerror(code));
}

/* Who is told a result may end any check, or all: every round looks at what is left. */
static void take_results(struct http *http)
{
	CURLMsg *message;
	int left;

	while (http->multi && (message = curl_multi_info_read(http->multi, &left))) {
		CURLcode code = message->data.result;
		char error[sizeof(((struct prober *)NULL)->error)];
		struct http_run *run = NULL;
		struct prober *prober;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&run);
		judge(run, code, error, sizeof(error));
		prober = run->prober;
		curl_multi_remove_handle(http->multi, run->easy);
		run_free(run);
		prober_finish(prober, error[0] ? error : NULL);
	}
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct http_socket *ready = poll->data;
	struct http *http = ready->http;
	int flags = 0, running;

	if (status < 0)
		flags |= CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(http->multi, ready->fd, flags, &running);
	take_results(http);
}

static void on_timer(uv_timer_t *timer)
{
	struct http *http = timer->data;
	int running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_results(http);
}

static void on_socket_closed(uv_handle_t *handle)
{
	struct http_socket *closed = handle->data;

	health_handle_closed(closed->health);
	free(closed);
}

static struct http_socket *open_socket(struct http *http, curl_socket_t fd)
{
	struct http_socket *opened = calloc(1, sizeof(*opened));

	if (!opened || uv_poll_init_socket(http->health->loop, &opened->poll, fd) < 0) {
		free(opened);
		return NULL;
	}
	health_handle_opened(http->health);
	opened->poll.data = opened;
	opened->health = http->health;
	opened->http = http;
	opened->fd = fd;
	curl_multi_assign(http->multi, fd, opened);
	return opened;
}

/* -1 would make libcurl end every transfer; a socket that nobody watches only runs into its timeout. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
	struct http_socket *wanted = assigned;
	struct http *http = user;
	int events = 0;

	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(http->multi, fd, NULL);
		if (wanted)
			uv_close((uv_handle_t *)&wanted->poll, on_socket_closed);
		return 0;
	}
	if (!wanted)
		wanted = open_socket(http, fd);
	if (what & CURL_POLL_IN)
		events |= UV_READABLE;
	if (what & CURL_POLL_OUT)
		events |= UV_WRITABLE;
	if (wanted)
		uv_poll_start(&wanted->poll, events, on_ready);
	return 0;
}

static int want_timer(CURLM *multi, long timeout, void *user)
{
	struct http *http = user;

	if (timeout < 0)
		uv_timer_stop(&http->timer);
	else
		uv_timer_start(&http->timer, on_timer, (uint64_t)timeout, 0);
	return 0;
}

static void ignore_broken_pipe(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int http_prepare(struct health *health, const struct target *target, struct error *error)
{
	struct http *http;

	if (health->http)
		return 0;
	http = calloc(1, sizeof(*http));
	if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(http);
		return error_set(error, -ENOMEM, "no memory for http checks");
	}
	http->multi = curl_multi_init();
	http->headers = curl_slist_append(NULL, "Connection: close");
	if (!http->multi || !http->headers) {
		curl_multi_cleanup(http->multi);
		curl_slist_free_all(http->headers);
		curl_global_cleanup();
		free(http);
		return error_set(error, -ENOMEM, "no memory for http checks");
	}
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	/* libcurl is told not to touch signals, so a server that hangs up must not end the daemon. */
	ignore_broken_pipe();
	http->health = health;
	uv_timer_init(health->loop, &http->timer);
	health_handle_opened(health);
	http->timer.data = http;
	health->http = http;
	return 0;
}

static void on_http_closed(uv_handle_t *handle)
{
	struct http *http = handle->data;

	health_handle_closed(http->health);
	free(http);
}

/* Checks have been cancelled: libcurl watches no socket any more. */
void http_free(struct http *http)
{
	if (!http)
		return;
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, NULL);
	curl_multi_cleanup(http->multi);
	http->multi = NULL;
	curl_slist_free_all(http->headers);
	curl_global_cleanup();
	uv_close((uv_handle_t *)&http->timer, on_http_closed);
}

/* Keeps the first 64 KiB, then ends the transfer: more is no answer to a health check. */
static size_t on_body(char *data, size_t one, size_t size, void *user)
{
	struct http_run *run = user;
	size_t room = BODY_MOST - run->length, taken = size < room ? size : room;

	if (run->prober->target.config.body) {
		char *grown = realloc(run->body, run->length + taken + 1);

		if (!grown)
			return 0;
		memcpy(grown + run->length, data, taken);
		run->body = grown;
	}
	run->length += taken;
	run->full = taken < size;
	return taken;
}

static curl_socket_t make_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct http_run *run = user;
	struct place place = target_place(&run->prober->target, run->prober->place_number);
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	if (fd < 0 || place_bind(&place, fd) == 0)
		return fd;
	close(fd);
	return CURL_SOCKET_BAD;
}

static bool is_bare_v6(const char *host)
{
	struct weir_address address;

	return strchr(host, ':') && address_parse(host, &address) == 0;
}

/*
 * False: no memory. The URL names the host, or the service address, if either is not what is connected
 * to; only the connection knows the address then.
 */
static bool set_place(struct http_run *run, const struct target *target)
{
	const char *scheme = target->config.type == HEALTH_HTTPS ? "https" : "http";
	const struct place at = target_place(target, run->prober->place_number);
	struct endpoint service = at.endpoint;
	const char *host = target->config.host, *path = target->config.path;
	const bool brackets = host && is_bare_v6(host);
	char place[ENDPOINT_STRING_SIZE], connect_to[ENDPOINT_STRING_SIZE + 2];
	char named[ENDPOINT_STRING_SIZE];
	_cleanup_free_ char *url = NULL;

	endpoint_format(&at.endpoint, place);
	if (!host && at.service) {
		service.address = *at.service;
		host = endpoint_format(&service, named);
	}
	if (host) {
		snprintf(connect_to, sizeof(connect_to), "::%s", place);
		run->connect_to = curl_slist_append(NULL, connect_to);
		if (!run->connect_to)
			return false;
		curl_easy_setopt(run->easy, CURLOPT_CONNECT_TO, run->connect_to);
	}
	if (asprintf(&url, brackets ? "%s://[%s]/" : "%s://%s/", scheme, host ? host : place) < 0) {
		url = NULL;
		return false;
	}
	return curl_easy_setopt(run->easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(run->easy, CURLOPT_REQUEST_TARGET, path ? path : "/") == CURLE_OK;
}

/*
 * Certificates are not verified: a backend is addressed by IP, which none names, and users verify the
 * one that they meet behind weir. What is checked is that TLS and HTTP work.
 */
static void set_options(struct http_run *run, const struct http *http)
{
	CURL *easy = run->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, run);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->error);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "weir");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, make_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, run);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	/* So nothing is gained by reading the system's certificates for each check. */
	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	/* libcurl's own limit is 5 minutes; the prober's timer ends the check before that. */
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)INT32_MAX);
}

static int http_start(struct prober *prober)
{
	struct http *http = prober->health->http;
	_cleanup_(cleanup_run) struct http_run *run = calloc(1, sizeof(*run));
	CURLMcode code;

	if (!run)
		return prober_cannot(prober, -ENOMEM, "cannot begin");
	run->prober = prober;
	run->easy = curl_easy_init();
	if (!run->easy || !set_place(run, &prober->target))
		return prober_cannot(prober, -ENOMEM, "cannot begin");
	set_options(run, http);
	code = curl_multi_add_handle(http->multi, run->easy);
	if (code != CURLM_OK) {
		snprintf(prober->error, sizeof(prober->error), "cannot begin: %s",
			 curl_multi_strerror(code));
		return -EIO;
	}
	prober->run = TAKE(run);
	return 0;
}

static void http_cancel(struct prober *prober)
{
	struct http_run *run = prober->run;

	curl_multi_remove_handle(prober->health->http->multi, run->easy);
	run_free(run);
}

const struct check_kind check_http = {
	.late = "no answer",
	.prepare = http_prepare,
	.start = http_start,
	.cancel = http_cancel,
};
