// SPDX-License-Identifier: GPL-2.0-only
#include "src/base/log.h"
#include "src/daemon/grace.h"
#include "src/datapath/datapath.h"

#include <string.h>

#define RETRY_MS 1000

static void begin(struct grace *grace);

static void run(uv_work_t *work)
{
	struct grace *grace = work->data;

	grace->status = datapath_grace();
}

/* Nothing may be reused without a grace period: try again, rather than call the waiters. */
static void fail(struct grace *grace)
{
	struct grace_waiter **end = &grace->served;

	if (!grace->told)
		log_error("cannot wait for a grace period (%s): trying again every second",
			  strerror(-grace->status));
	grace->told = true;
	while (*end)
		end = &(*end)->next;
	*end = grace->waiting;
	grace->waiting = grace->served;
	grace->served = NULL;
}

static void on_retry(uv_timer_t *timer)
{
	begin(timer->data);
}

static void on_ended(uv_work_t *work, int status)
{
	struct grace *grace = work->data;
	struct grace_waiter *waiter;

	grace->running = false;
	if (grace->closed)
		return;
	if (status < 0 || grace->status < 0) {
		fail(grace);
		uv_timer_start(&grace->retry, on_retry, RETRY_MS, 0);
		return;
	}
	grace->told = false;
	grace->ended = grace->begun;
	waiter = grace->served;
	grace->served = NULL;
	while (waiter) {
		struct grace_waiter *next = waiter->next;

		waiter->passed(waiter, waiter->user);
		waiter = next;
	}
	begin(grace);
}

static void begin(struct grace *grace)
{
	if (grace->running || grace->closed || !grace->waiting)
		return;
	if (uv_queue_work(grace->retry.loop, &grace->work, run, on_ended) < 0) {
		uv_timer_start(&grace->retry, on_retry, RETRY_MS, 0);
		return;
	}
	grace->running = true;
	grace->begun++;
	grace->served = grace->waiting;
	grace->waiting = NULL;
}

void grace_init(struct grace *grace, uv_loop_t *loop)
{
	memset(grace, 0, sizeof(*grace));
	grace->work.data = grace;
	uv_timer_init(loop, &grace->retry);
	grace->retry.data = grace;
}

void grace_wait(struct grace *grace, struct grace_waiter *waiter,
		void (*passed)(struct grace_waiter *waiter, void *user), void *user)
{
	waiter->passed = passed;
	waiter->user = user;
	waiter->next = grace->waiting;
	grace->waiting = waiter;
	if (!uv_is_active((uv_handle_t *)&grace->retry))
		begin(grace);
}

uint64_t grace_ticket(const struct grace *grace)
{
	return grace->begun + 1;
}

bool grace_over(const struct grace *grace, uint64_t ticket)
{
	return grace->ended >= ticket;
}

void grace_close(struct grace *grace)
{
	grace->closed = true;
	grace->waiting = NULL;
	grace->served = NULL;
}
