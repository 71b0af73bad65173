// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/rates.h"

static uint64_t per_second(uint64_t before, uint64_t now, uint64_t elapsed_ms)
{
	return now > before ? ((now - before) * 1000 + elapsed_ms / 2) / elapsed_ms : 0;
}

void rates_sample(struct rates *rates, uint64_t now_ms, uint64_t packets, uint64_t flows)
{
	const uint64_t elapsed = now_ms - rates->at_ms;

	if (rates->begun && !elapsed)
		return;
	if (rates->begun) {
		rates->packets_per_s = per_second(rates->packets, packets, elapsed);
		rates->flows_per_s = per_second(rates->flows, flows, elapsed);
	}
	rates->begun = true;
	rates->at_ms = now_ms;
	rates->packets = packets;
	rates->flows = flows;
}
