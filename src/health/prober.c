// SPDX-License-Identifier: GPL-2.0-only
#include "src/health/health_state.h"
#include "src/health/internal.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_timer(uv_timer_t *timer);

static uint64_t clock_ms(void)
{
	return uv_hrtime() / 1000000;
}

/* The loop's clock stands still while callbacks run: what they took is no time of the check's. */
static void arm(struct prober *prober, uint64_t delay)
{
	uint64_t loop_ms = uv_now(prober->health->loop), now = clock_ms();

	uv_timer_start(&prober->timer, on_timer, delay + (now > loop_ms ? now - loop_ms : 0), 0);
}

/* A check that cannot start tells so from the loop, and a thousand of them leave it room. */
static void start(struct prober *prober)
{
	prober->health->running++;
	prober->started = clock_ms();
	prober->overdue = false;
	prober->place_number = 0;
	if (prober->kind->start(prober) == 0) {
		prober->phase = PROBER_RUNNING;
		arm(prober, prober->target.config.timeout);
	} else {
		prober->phase = PROBER_FAILED;
		arm(prober, 1);
	}
}

static void start_or_queue(struct prober *prober)
{
	struct health *health = prober->health;

	if (health->running < HEALTH_RUNNING_MOST) {
		start(prober);
		return;
	}
	prober->phase = PROBER_QUEUED;
	TAILQ_INSERT_TAIL(&health->queue, prober, place);
}

static void start_queued(struct health *health)
{
	struct prober *prober = TAILQ_FIRST(&health->queue);

	if (!prober || health->closing || health->running >= HEALTH_RUNNING_MOST)
		return;
	TAILQ_REMOVE(&health->queue, prober, place);
	start(prober);
}

/* From start to start, so that the time a check takes does not stretch the interval. */
static void arm_next(struct prober *prober)
{
	uint32_t interval = prober->target.config.interval;
	uint64_t spread = (uint64_t)interval * HEALTH_JITTER / 100;
	uint64_t due = prober->started + interval - spread + arc4random_uniform(2 * spread + 1);
	uint64_t now = clock_ms();

	arm(prober, due > now ? due - now : 1);
}

static void on_timer(uv_timer_t *timer)
{
	struct prober *prober = timer->data;
	uint32_t timeout = prober->target.config.timeout;
	char error[sizeof(prober->error)];

	if (prober->phase == PROBER_IDLE) {
		start_or_queue(prober);
		return;
	}
	if (prober->phase == PROBER_FAILED) {
		memcpy(error, prober->error, sizeof(error));
		prober_finish(prober, error);
		return;
	}
	/* The answer may lie in the socket: a loop that was held up runs timers before it looks. */
	if (!prober->overdue) {
		prober->overdue = true;
		arm(prober, 1);
		return;
	}
	prober->kind->cancel(prober);
	snprintf(error, sizeof(error), "%s within %u %s", prober->kind->late,
		 timeout % 1000 ? timeout : timeout / 1000, timeout % 1000 ? "ms" : "s");
	prober_finish(prober, error);
}

/* Those who are told may unwatch anybody, watch more, or free everything. */
static void tell(struct prober *prober, const struct health_result *result)
{
	const struct config_health *config = &prober->target.config;
	struct health *health = prober->health;
	struct health_watch *watch = LIST_FIRST(&prober->watches);

	for (; watch; watch = prober->next_told) {
		prober->next_told = LIST_NEXT(watch, place);
		if (health_state_take(&watch->report, config->rise, config->fall, result,
				      uv_now(health->loop)))
			health->changed(watch, health->user);
	}
}

/* One address is well: the next one. The time that a check may take is that of all of them. */
static bool go_on(struct prober *prober)
{
	if (prober->place_number + 1 == target_places(&prober->target))
		return false;
	prober->place_number++;
	if (prober->kind->start(prober) < 0) {
		prober->phase = PROBER_FAILED;
		arm(prober, 1);
	}
	return true;
}

/* What is wrong, and if it is not the backend's own address, with which one. */
static void name_place(const struct prober *prober, const char *error, char *text, size_t size)
{
	struct place place = target_place(&prober->target, prober->place_number);
	char address[ENDPOINT_STRING_SIZE] = "";

	if (place.service)
		address_format(place.service, address);
	snprintf(text, size, "%s%s%s", address, place.service ? " by way of the backend: " : "",
		 error);
}

void prober_finish(struct prober *prober, const char *error)
{
	struct health_result result = { .duration_ms = (uint32_t)(clock_ms() - prober->started) };
	char text[sizeof(prober->error)];

	if (!error && go_on(prober))
		return;
	if (error) {
		name_place(prober, error, text, sizeof(text));
		result.error = text;
	}
	prober->run = NULL;
	prober->phase = PROBER_IDLE;
	prober->health->running--;
	arm_next(prober);
	start_queued(prober->health);
	tell(prober, &result);
}

const struct check_kind *prober_kind(enum health_type type)
{
	static const struct check_kind *const kinds[] = {
		[HEALTH_TCP] = &check_tcp,    [HEALTH_HTTP] = &check_http,
		[HEALTH_HTTPS] = &check_http, [HEALTH_ICMP] = &check_icmp,
		[HEALTH_EXEC] = &check_exec,
	};

	return kinds[type];
}

int prober_new(struct health *health, const struct target *target, struct prober **ret)
{
	struct prober *prober = calloc(1, sizeof(*prober));

	if (!prober)
		return -ENOMEM;
	prober->target = *target;
	if (!tsearch(prober, &health->probers, target_compare)) {
		free(prober);
		return -ENOMEM;
	}
	prober->health = health;
	prober->kind = prober_kind(target->config.type);
	LIST_INIT(&prober->watches);
	uv_timer_init(health->loop, &prober->timer);
	health_handle_opened(health);
	prober->timer.data = prober;
	*ret = prober;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct prober *prober = handle->data;
	struct health *health = prober->health;

	target_done(&prober->target);
	free(prober);
	health_handle_closed(health);
}

void prober_free(struct prober *prober)
{
	struct health *health = prober->health;
	enum prober_phase phase = prober->phase;

	tdelete(prober, &health->probers, target_compare);
	if (phase == PROBER_QUEUED)
		TAILQ_REMOVE(&health->queue, prober, place);
	if (phase == PROBER_RUNNING)
		prober->kind->cancel(prober);
	uv_close((uv_handle_t *)&prober->timer, on_closed);
	if (phase == PROBER_RUNNING || phase == PROBER_FAILED) {
		health->running--;
		start_queued(health);
	}
}

void prober_soon(struct prober *prober)
{
	uint32_t most = prober->target.config.interval;
	uint64_t delay;

	if (prober->phase != PROBER_IDLE)
		return;
	if (most > HEALTH_FIRST_MOST)
		most = HEALTH_FIRST_MOST;
	delay = arc4random_uniform(most + 1);
	if (!uv_is_active((uv_handle_t *)&prober->timer) ||
	    uv_timer_get_due_in(&prober->timer) > delay)
		arm(prober, delay);
}

void prober_hint(struct prober *prober)
{
	if (prober->phase == PROBER_IDLE && clock_ms() - prober->started >= HEALTH_HINT_GAP)
		arm(prober, 0);
}

const char *health_words(int code)
{
	switch (code) {
	case ECONNREFUSED:
		return "connection refused";
	case ECONNRESET:
		return "connection reset";
	case EHOSTUNREACH:
		return "host unreachable";
	case ENETUNREACH:
		return "no route to its network";
	case ETIMEDOUT:
		return "no answer";
	case EMFILE:
		return "weir has too many open files";
	default:
		return strerror(code);
	}
}

int prober_cannot(struct prober *prober, int code, const char *what)
{
	snprintf(prober->error, sizeof(prober->error), "%s: %s", what, health_words(-code));
	return code;
}
