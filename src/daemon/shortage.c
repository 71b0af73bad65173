// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/shortage.h"

enum shortage_change shortage_step(struct shortage *shortage, uint32_t backend, uint64_t used,
				   uint64_t capacity, uint32_t queue, uint32_t *ret)
{
	if (queue) {
		if (used * 100 >= capacity * SHORTAGE_END_PERCENT)
			return SHORTAGE_SAME;
		shortage->queues[queue].backend = 0;
		return SHORTAGE_ENDED;
	}
	if (!capacity || used * 100 < capacity * SHORTAGE_BEGIN_PERCENT)
		return SHORTAGE_SAME;
	for (uint32_t id = 1; id < SHORTAGE_QUEUES; id++) {
		if (shortage->queues[id].backend)
			continue;
		shortage->queues[id] = (struct shortage_queue){ .backend = backend };
		*ret = id;
		return SHORTAGE_BEGAN;
	}
	return SHORTAGE_SAME;
}

uint32_t shortage_look(struct shortage_queue *queue, uint64_t used, uint64_t capacity, bool *clear)
{
	uint64_t unused = used < capacity ? capacity - used : 0;
	uint32_t count;

	*clear = false;
	if (!queue->left) {
		if (!unused || queue->waiting > unused / 4)
			return 0;
		queue->left = (uint32_t)capacity;
		*clear = true;
	}
	count = queue->left < SHORTAGE_LOOK ? queue->left : SHORTAGE_LOOK;
	queue->left -= count;
	return count;
}
