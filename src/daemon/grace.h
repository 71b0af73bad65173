/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/*
 * Grace periods beside the event loop: datapath_grace() runs in a thread, at most one at a time, and
 * one period serves all who asked before it began.
 */
struct grace_waiter {
	struct grace_waiter *next;
	void (*passed)(struct grace_waiter *waiter, void *user);
	void *user;
};

struct grace {
	uv_work_t work;
	uv_timer_t retry;
	struct grace_waiter *waiting; /* for a period that has not begun */
	struct grace_waiter *served;  /* by the one that runs */
	uint64_t begun;               /* periods */
	uint64_t ended;
	int status;
	bool running;
	bool closed;
	bool told; /* that a period failed */
};

void grace_init(struct grace *grace, uv_loop_t *loop);

/*
 * Calls @passed from the loop once a period that begins after now has ended. @waiter is the caller's
 * memory and must not be waiting already.
 */
void grace_wait(struct grace *grace, struct grace_waiter *waiter,
		void (*passed)(struct grace_waiter *waiter, void *user), void *user);

/* The same without a call: grace_over() is true once a period that begins after now has ended. */
uint64_t grace_ticket(const struct grace *grace);
bool grace_over(const struct grace *grace, uint64_t ticket);

/* No waiter is called any more. The handles are closed by whoever closes the loop. */
void grace_close(struct grace *grace);
