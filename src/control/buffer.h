/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <jansson.h>
#include <stddef.h>

/* Bytes that wait to be sent. `data` is its owner's to free. */
struct buffer {
	char *data;
	size_t length;
	size_t size;
};

/* Each appends all of it or, with -ENOMEM, nothing. NULL is a document that could not be made. */
int buffer_append(struct buffer *buffer, const char *data, size_t length);
int buffer_append_line(struct buffer *buffer, const json_t *document);
