// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/refusals.h"

static uint64_t live(const struct weir_load *load)
{
	return (uint64_t)load->half_open + load->established;
}

double refusals_fade(const struct refusals *memory, const struct weir_load *sum)
{
	/* Opened, less those that are there now or were refused: what was held and ended. */
	int64_t ended = (int64_t)(sum->total - memory->total) -
			(int64_t)(live(sum) - memory->live) -
			(int64_t)(sum->failed - memory->failed);
	double held = (double)live(sum) + (double)ended;
	double fade = ended > 0 && held > 0 ? (double)ended / held : 0;

	return fade > REFUSALS_FADE_LEAST ? fade : REFUSALS_FADE_LEAST;
}

uint32_t refusals_take(double *rest, uint32_t failed, double fade)
{
	uint32_t taken;

	*rest += failed * fade;
	if (*rest > failed)
		*rest = failed;
	taken = (uint32_t)*rest;
	*rest -= taken;
	return taken;
}

void refusals_faded(struct refusals *memory, const struct weir_load *sum, uint64_t taken)
{
	memory->total = sum->total;
	memory->live = live(sum);
	memory->failed = sum->failed - taken;
}
