/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "src/netlink/check_link.h"

/* What health checks by the path of the traffic have on this host. @state: path of the state file. */
void check_link_name(const char *state, char name[static CHECK_LINK_NAME_MOST + 1]);
uint32_t check_owner(const char *state); /* see check_path_open() */

/* Removes what a killed daemon has left. 1: there was something, 0: there was nothing. */
int check_leftovers_remove(const char *state);
