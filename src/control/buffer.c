// SPDX-License-Identifier: GPL-2.0-only
#include "src/control/buffer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(16)) /* 16 digits: microseconds since 1970 */

int buffer_append(struct buffer *buffer, const char *data, size_t length)
{
	if (buffer->size - buffer->length < length) {
		size_t size = buffer->size ? buffer->size : 4096;
		char *grown;

		while (size - buffer->length < length)
			size *= 2;
		grown = realloc(buffer->data, size);
		if (!grown)
			return -ENOMEM;
		buffer->data = grown;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	return 0;
}

/* jansson goes on after a key that found no memory: the document would lack it. */
struct dump {
	struct buffer *buffer;
	bool failed;
};

static int dump_append(const char *data, size_t length, void *user)
{
	struct dump *dump = user;

	if (!dump->failed && buffer_append(dump->buffer, data, length) < 0)
		dump->failed = true;
	return dump->failed ? -1 : 0;
}

int buffer_append_line(struct buffer *buffer, const json_t *document)
{
	struct dump dump = { .buffer = buffer };
	size_t before = buffer->length;

	if (document && json_dump_callback(document, dump_append, &dump, DUMP_FLAGS) == 0 &&
	    !dump.failed && buffer_append(buffer, "\n", 1) == 0)
		return 0;
	buffer->length = before;
	return -ENOMEM;
}
