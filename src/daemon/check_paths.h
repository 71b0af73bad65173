/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/datapath/check_path.h"
#include "src/health/health.h"
#include "src/netlink/check_link.h"

/*
 * Which check address leads to which service address by way of which backend (doc/decisions/0016). Who
 * checks the same thing shares one. Interface, routes and programs are there from the first check that
 * needs them until the daemon ends.
 */
struct check_way {
	struct weir_address service; /* these three first: the key */
	struct weir_address backend;
	uint32_t encapsulates;
	uint32_t users;
	uint32_t next_free;     /* place */
	struct weir_check live; /* what the program knows */
};

/* Of a service that has more listen addresses only the first ones are checked. */
#define CHECK_ADDRESSES_MOST 8

/* What leads to all service addresses by way of one backend. */
struct check_places {
	uint32_t count;
	uint32_t place[CHECK_ADDRESSES_MOST];
	struct health_way ways[CHECK_ADDRESSES_MOST];
};

struct check_paths {
	struct check_path *programs; /* NULL: not needed yet, or it failed */
	struct check_link link;
	struct check_way *ways; /* indexed by place; 0 is never used */
	void *known;            /* a tsearch() tree of them */
	uint32_t used;          /* places below were given once */
	uint32_t free;          /* first of a list; 0: none */
	int failed;             /* negative errno, when it was tried in the last second */
	uint64_t failed_ms;
	uint64_t mended_ms; /* when the interface was last made anew */
	struct error why;
};
