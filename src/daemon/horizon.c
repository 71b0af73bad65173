// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/horizon.h"

void horizon_sample(struct horizon *horizon, uint64_t now_ms, uint64_t head)
{
	uint64_t place = horizon->count % HORIZON_SAMPLES;

	horizon->samples[place].at_ms = now_ms;
	horizon->samples[place].head = head;
	horizon->count++;
}

uint64_t horizon_ms(const struct horizon *horizon, uint64_t places, uint64_t most_ms)
{
	uint64_t oldest, newest, put, elapsed, result;

	if (horizon->count < 2)
		return most_ms;
	newest = (horizon->count - 1) % HORIZON_SAMPLES;
	oldest = horizon->count > HORIZON_SAMPLES ? horizon->count % HORIZON_SAMPLES : 0;
	put = horizon->samples[newest].head - horizon->samples[oldest].head;
	elapsed = horizon->samples[newest].at_ms - horizon->samples[oldest].at_ms;
	if (!put)
		return most_ms;
	result = places * elapsed / put;
	return result < most_ms ? result : most_ms;
}
