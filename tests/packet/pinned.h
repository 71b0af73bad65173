/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "tests/packet/talk.h"

/*
 * Tests of what outlives a process. The test program has a mount namespace of its own with a bpffs of
 * its own: nothing that it pins is seen by others, or left.
 */
#define PINS "/sys/fs/bpf/weir/test"
#define FLOWS 1024
#define HALF_OPEN 64

#define pinned_tests(tests)                                                                        \
	(cmocka_set_message_output(CM_OUTPUT_TAP),                                                 \
	 network_enter() && bpffs_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 0)
bool bpffs_enter(void);

/* A test that finds no pins, and leaves none. */
#define pinned_test(function) cmocka_unit_test_setup_teardown(function, no_pins, remove_pins)
int no_pins(void **state);
int remove_pins(void **state);

/* Opens PINS, which must succeed and take over what is there, or find nothing to take over. */
struct datapath *open_pins(bool adopts);
/* Must fail with @code; all of @texts (ends with NULL) must be said. */
void open_fails(const struct datapath_sizes *sizes, int code, const char *const texts[]);

/* A descriptor of the pinned object PINS/@name. */
int pin_get(const char *name);
/* How many entries the directory PINS/@folder has; -1: there is none. */
int pin_count(const char *folder);

/* The pinned `meta`, to be read or changed. */
struct weir_meta meta_get(void);
void meta_set(const struct weir_meta *meta);
