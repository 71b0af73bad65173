/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Packets and new flows a second, between the last two samples. */
struct rates {
	uint64_t at_ms; /* of the last sample */
	uint64_t packets;
	uint64_t flows;
	uint64_t packets_per_s;
	uint64_t flows_per_s;
	bool begun;
};

/* @packets and @flows: how many there were ever. */
void rates_sample(struct rates *rates, uint64_t now_ms, uint64_t packets, uint64_t flows);
