/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Which backends run short of source ports and have a queue of free ones in the datapath, so that a
 * new flow finds one at once where random tries would mostly hit ports in use.
 */

/* Queues in the datapath, id 0 (none) included. */
#define SHORTAGE_QUEUES 64

/* A backend gets a queue above the first share of its ports in use, and gives it back below the second. */
#define SHORTAGE_BEGIN_PERCENT 80
#define SHORTAGE_END_PERCENT 60

/* Places of a backend's port space that are looked at in one go: about a millisecond. */
#define SHORTAGE_LOOK 4096

struct shortage {
	struct shortage_queue {
		uint32_t backend; /* 0: the queue is free */
		uint32_t next;    /* place in the backend's port space to look at next */
		uint32_t left;    /* places before it in this round of looking */
		uint32_t waiting; /* ports in the queue when it was last looked after */
	} queues[SHORTAGE_QUEUES];
	uint32_t turn; /* the queue that was looked after last */
};

enum shortage_change { SHORTAGE_SAME, SHORTAGE_BEGAN, SHORTAGE_ENDED };

/*
 * Takes in how many of a backend's @capacity ports are @used; @queue is the backend's queue now (0: none).
 * SHORTAGE_BEGAN: *ret is the queue it gets; SHORTAGE_ENDED: it gives its queue back.
 */
enum shortage_change shortage_step(struct shortage *shortage, uint32_t backend, uint64_t used,
				   uint64_t capacity, uint32_t queue, uint32_t *ret);

/*
 * How many places, from @queue->next on, to look at now; @clear: empty the queue first. A round goes
 * through all of the port space once, and the next one begins when few of the free ports are left in
 * the queue. So no port is put in twice, which would be in use the second time that it comes out.
 */
uint32_t shortage_look(struct shortage_queue *queue, uint64_t used, uint64_t capacity, bool *clear);
