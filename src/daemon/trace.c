// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/address.h"
#include "src/base/log.h"
#include "src/daemon/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One connected `weir trace`. */
struct tracer {
	struct tracer *next;
	struct daemon *daemon;
	struct control_request *request;
	struct filter filter;
};

/* "SA": the letters of tcpdump and the like, in the order of the bits. */
static const char *flag_letters(uint8_t flags, char text[static 9])
{
	char *out = text;

	for (int i = 0; i < 8; i++)
		if (flags >> i & 1)
			*out++ = "FSRPAUEC"[i];
	*out = '\0';
	return text;
}

static double wall_clock(uint64_t monotonic_ns)
{
	struct timespec wall, monotonic;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &monotonic);
	return (double)wall.tv_sec - (double)monotonic.tv_sec +
	       ((double)wall.tv_nsec - (double)monotonic.tv_nsec + (double)monotonic_ns) / 1e9;
}

/* The service that the packet is addressed to. 0: none. */
static uint32_t find_service(const struct daemon *daemon, const struct weir_tuple *tuple)
{
	return listen_table_find(daemon, &tuple->destination, tuple->destination_port,
				 tuple->protocol);
}

/* An event with what the daemon knows about it. */
struct decision {
	const struct weir_event *event;
	uint32_t service;
	uint32_t backend;
};

static struct decision decide(const struct daemon *daemon, const struct weir_event *event)
{
	struct decision decision = { .event = event };

	if (event->backend_id < daemon->registry.backend_ids &&
	    daemon->registry.backends[event->backend_id].used) {
		decision.backend = event->backend_id;
		decision.service = daemon->registry.backends[event->backend_id].service;
	} else {
		decision.service = find_service(daemon, &event->tuple);
	}
	return decision;
}

static json_t *describe(const struct daemon *daemon, const struct decision *decision)
{
	static const char *const verdicts[] = { "pass", "drop", "send" };
	const struct weir_event *event = decision->event;
	const struct weir_tuple *tuple = &event->tuple;
	const struct registry *registry = &daemon->registry;
	bool has_tuple = tuple->protocol != 0;
	char backend[ENDPOINT_STRING_SIZE], flags[9];

	if (decision->backend)
		endpoint_format_any(&registry->backends[decision->backend].config->endpoint,
				    backend);
	return json_pack(
		"{s:f, s:s?, s:o, s:o, s:s, s:s, s:s?, s:s?, s:I, s:s?}", "time",
		wall_clock(event->time_ns), "protocol",
		has_tuple ? protocol_name(tuple->protocol) : NULL, "source",
		has_tuple ? describe_address(&tuple->source, tuple->source_port) : json_null(),
		"destination",
		has_tuple ? describe_address(&tuple->destination, tuple->destination_port) :
			    json_null(),
		"reason", reason_names[event->reason], "verdict",
		verdicts[weir_reason_verdict(event->reason)], "service",
		decision->service ? registry->services[decision->service].config->name : NULL,
		"backend", decision->backend ? backend : NULL, "length", (json_int_t)event->length,
		"tcp_flags",
		tuple->protocol == IPPROTO_TCP ? flag_letters(event->tcp_flags, flags) : NULL);
}

/* A reply's client is at its destination, but the tuple then shows the SNAT address. */
static bool is_wanted(const struct tracer *tracer, const struct decision *decision)
{
	const struct weir_tuple *tuple = &decision->event->tuple;
	const struct filter *filter = &tracer->filter;

	return (filter->reason < 0 || filter->reason == decision->event->reason) &&
	       filter_takes_service(filter, tracer->daemon, decision->service) &&
	       filter_takes_backend(filter, tracer->daemon, decision->backend) &&
	       (!filter->has_client ||
		filter_takes_client(filter, &tuple->source, tuple->source_port) ||
		filter_takes_client(filter, &tuple->destination, tuple->destination_port));
}

static void on_event(const struct weir_event *event, void *user)
{
	struct daemon *daemon = user;
	struct decision decision = decide(daemon, event);
	json_t *document = NULL;

	if (event->reason >= WEIR_REASON_COUNT)
		return;
	for (struct tracer *tracer = daemon->trace.tracers; tracer; tracer = tracer->next) {
		if (!is_wanted(tracer, &decision))
			continue;
		if (!document)
			document = describe(daemon, &decision);
		if (document)
			control_push(tracer->request, json_incref(document));
	}
	json_decref(document);
}

static void on_readable(uv_poll_t *poll, int status, int readable)
{
	struct daemon *daemon = poll->data;

	if (status == 0)
		datapath_poll_events(daemon->datapath);
}

static int switch_on(struct daemon *daemon)
{
	struct trace *trace = &daemon->trace;
	int err;

	if (!trace->open) {
		err = datapath_open_events(daemon->datapath, on_event, daemon);
		if (err == 0)
			err = uv_poll_init(&daemon->loop, &trace->poll,
					   datapath_events_fd(daemon->datapath));
		if (err < 0)
			return err;
		trace->poll.data = daemon;
		trace->open = true;
	}
	err = uv_poll_start(&trace->poll, UV_READABLE, on_readable);
	if (err == 0)
		__atomic_store_n(&daemon->tables->runtime->trace, 1, __ATOMIC_RELAXED);
	return err;
}

static void switch_off(struct daemon *daemon)
{
	__atomic_store_n(&daemon->tables->runtime->trace, 0, __ATOMIC_RELAXED);
	if (daemon->trace.open)
		uv_poll_stop(&daemon->trace.poll);
}

static void on_gone(struct control_request *request, void *user)
{
	struct tracer *tracer = user;
	struct daemon *daemon = tracer->daemon;
	struct tracer **link = &daemon->trace.tracers;

	while (*link != tracer)
		link = &(*link)->next;
	*link = tracer->next;
	free(tracer);
	if (!daemon->trace.tracers)
		switch_off(daemon);
}

int trace_run(struct control_request *request, const json_t *arguments, void *user,
	      struct error *error)
{
	struct tracer *tracer = calloc(1, sizeof(*tracer));
	struct daemon *daemon = user;
	int err;

	if (!tracer)
		return error_set(error, -ENOMEM, "the daemon is out of memory");
	tracer->daemon = daemon;
	tracer->request = request;
	err = filter_parse(daemon, arguments, &tracer->filter, error);
	if (err == 0 && !daemon->trace.tracers) {
		err = switch_on(daemon);
		if (err < 0)
			error_set(error, err, "cannot read the events of the datapath: %s",
				  strerror(-err));
	}
	if (err < 0) {
		free(tracer);
		return err;
	}
	tracer->next = daemon->trace.tracers;
	daemon->trace.tracers = tracer;
	control_hold(request, on_gone, tracer);
	return 0;
}
