// SPDX-License-Identifier: GPL-2.0-only
#include "src/daemon/silence.h"

bool silence_step(struct silence *memory, const struct weir_traffic *traffic, uint64_t now_ms)
{
	bool silent = traffic->in_packets != memory->in_packets &&
		      traffic->out_packets == memory->out_packets;

	memory->in_packets = traffic->in_packets;
	memory->out_packets = traffic->out_packets;
	if (!silent || (memory->asked_ms && now_ms - memory->asked_ms < SILENCE_PAUSE_MS))
		return false;
	memory->asked_ms = now_ms;
	return true;
}
