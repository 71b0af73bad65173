/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdint.h>

#include "abi/state.h"

struct daemon;

/*
 * Cuts the flows that @filter takes: its service, backend, client; zero fields take any. Returns at
 * once: this is done in steps from the loop, one call's filter after the other's, but all backends that
 * are cut as a whole in one walk. Both ends of a TCP
 * connection are sent a RST, one each; whoever does not believe or get it gets another in answer to
 * whatever it sends, from the datapath. Flows that are made meanwhile may be cut too or not.
 */
void kill_flows(struct daemon *daemon, const struct weir_kill *filter);

/* The id will be another backend's: what is left to do of it is forgotten. */
void kill_forget_backend(struct daemon *daemon, uint32_t id);

/* What is left to do is forgotten. Only after the loop has closed its handles. */
void kill_free(struct daemon *daemon);
