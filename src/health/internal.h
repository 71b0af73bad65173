/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <sys/queue.h>
#include <uv.h>

#include "src/health/health.h"
#include "src/health/target.h"

enum {
	HEALTH_RUNNING_MOST = 500, /* checks under way at once; the others wait in a queue */
	HEALTH_HINT_GAP = 100,     /* milliseconds between two starts that a hint may cause */
	HEALTH_FIRST_MOST = 1000,  /* milliseconds until the first check, at most */
	HEALTH_JITTER = 10,        /* percent of the interval, to either side */
};

struct http;
struct icmp;
struct prober;

/* How a kind of check is done. A check under way is `prober->run`, owned by its kind. */
struct check_kind {
	const char *late; /* what to call a check that ran into its timeout */
	/* What all checks like this one need and is not there yet. NULL: nothing. */
	int (*prepare)(struct health *health, const struct target *target, struct error *error);
	/* Begins, and later calls prober_finish(), but not from here. -errno: prober->error says why. */
	int (*start)(struct prober *prober);
	/* Ends the check without a result. */
	void (*cancel)(struct prober *prober);
};

extern const struct check_kind check_tcp, check_http, check_icmp, check_exec;

enum prober_phase {
	PROBER_IDLE,
	PROBER_QUEUED,
	PROBER_RUNNING,
	PROBER_FAILED, /* could not start, and counts as running until the loop has told it */
};

/* Checks one target for all who watch it. Owned by health->probers, then by its timer. */
struct prober {
	struct target target; /* first: the tree compares it */
	struct health *health;
	const struct check_kind *kind;
	uv_timer_t timer; /* idle: the next start; running: the timeout */
	LIST_HEAD(, health_watch) watches;
	struct health_watch *next_told; /* the cursor of who is being told a result */
	TAILQ_ENTRY(prober) place;      /* in health->queue while queued */
	size_t place_number;            /* of those of the target, where the check is */
	enum prober_phase phase;
	bool overdue;
	uint64_t started; /* milliseconds of uv_hrtime(); 0: never */
	void *run;
	char error[128];
};

struct health_watch {
	struct prober *prober;
	LIST_ENTRY(health_watch) place;
	struct health_report report;
	void *user;
};

struct health {
	uv_loop_t *loop;
	health_changed_fn changed;
	void *user;
	void *probers; /* a tsearch() tree */
	TAILQ_HEAD(, prober) queue;
	unsigned int running;
	struct http *http;         /* NULL: never needed */
	struct icmp *icmp, *icmp6; /* the same */
	unsigned int exec_flags;   /* of uv_spawn(): as whom commands run */
	uv_uid_t exec_uid;
	uv_gid_t exec_gid;
	size_t handles; /* whose close callback has not run */
	bool closing;
};

/* Each uv handle is counted from its init until its close callback: @health lives as long. */
void health_handle_opened(struct health *health);
void health_handle_closed(struct health *health);

const struct check_kind *prober_kind(enum health_type type); /* not of HEALTH_NONE */
/* On success the contents of @target are the prober's. -ENOMEM. */
int prober_new(struct health *health, const struct target *target, struct prober **ret);
void prober_free(struct prober *prober);
void prober_soon(struct prober *prober); /* a first check, for somebody who knows nothing yet */
void prober_hint(struct prober *prober);
/* @error NULL: it was good. `prober->run` is gone or no longer its concern. May free @prober. */
void prober_finish(struct prober *prober, const char *error);

void http_free(struct http *http);
void icmp_free(struct icmp *icmp);

/* "connection refused": as an operator would say it. */
const char *health_words(int code);
/* Sets prober->error to "WHAT: why" and returns @code. */
int prober_cannot(struct prober *prober, int code, const char *what);
