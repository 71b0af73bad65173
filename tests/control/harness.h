/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "src/control/client.h"
#include "src/control/server.h"

/* A server on a thread of its own; the test is the client. */
struct harness {
	char directory[64];
	char path[96];
	uv_thread_t thread;
	uv_sem_t ready;
	uv_async_t stop;
	uv_timer_t ticker;
	struct control_server *server;
	struct control_request *held; /* the one that the ticker pushes to, or answers */
	bool fails;                   /* and how */
	atomic_int given;             /* documents that a stream was asked for */
	atomic_int streams_started;
	atomic_int streams_done;
	atomic_int gone;
	atomic_int quiet; /* that are held and told nothing */
	atomic_int pushed;
	atomic_int dropped;
};

/* For cmocka: *state is a struct harness. Its end fails if the server left something behind. */
int harness_setup(void **state);
int harness_teardown(void **state);

#define CASE(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

/* A client without our code. */
int raw_connect(const char *path);
void raw_send(int fd, const void *data, size_t length);
/* All that comes until the server closes, at most @size - 1 bytes; returns @buffer. */
char *raw_receive(int fd, char *buffer, size_t size);

/* At most 5 s. */
void wait_for(atomic_int *value, int expected);

/* control_client_open() that takes the reference to @arguments. */
int open_client(struct harness *harness, const char *command, json_t *arguments,
		struct control_client **ret, struct error *error);
/* The next document must be {"number": @number, ...}. */
void expect_number(struct control_client *client, int number);
