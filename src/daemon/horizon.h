/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

/*
 * How long a half-open flow lives before the ring comes round, at the SYN rate of the last seconds.
 */
#define HORIZON_SAMPLES 4

struct horizon {
	struct {
		uint64_t at_ms;
		uint64_t head; /* half-open flows ever put into the ring */
	} samples[HORIZON_SAMPLES];
	uint64_t count; /* samples ever taken */
};

void horizon_sample(struct horizon *horizon, uint64_t now_ms, uint64_t head);

/* Milliseconds, at most @most_ms (after that the handshake has timed out anyhow). */
uint64_t horizon_ms(const struct horizon *horizon, uint64_t places, uint64_t most_ms);
