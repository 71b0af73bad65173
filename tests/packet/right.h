/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/frame.h"

/*
 * Reads frames of either family by code that shares nothing with the datapath nor with the builder:
 * no table, one byte after the other.
 */

/* Where things lie; bytes from the start of the frame. */
struct layout {
	size_t tags;
	uint16_t ethertype; /* behind the tags */
	size_t l3;
};

struct layout layout_of(const struct frame *frame);

/*
 * Are all lengths and checksums of the frame right, those of what is encapsulated included? A frame
 * that is not IP is not. Of a fragment only the IP header is looked at.
 */
bool frame_is_right(const struct frame *frame);
/* The same of its first IP header alone: version, lengths, checksum. */
bool frame_ip_is_right(const struct frame *frame);
