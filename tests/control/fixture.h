/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <sys/types.h>

/* A daemon that only talks: control_server with made-up answers, in a process of its own. */
pid_t fixture_start(const char *path);
/* Ends it; fails the test if it did not end well (the sanitizers' verdict included). */
void fixture_stop(pid_t pid);
