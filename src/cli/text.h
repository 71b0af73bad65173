/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* Numbers and fields of documents as people read them. "-" stands for what is not there. */

struct text {
	char s[32];
};

struct text text_count(uint64_t number); /* 1,234,567 */
struct text text_short(uint64_t number); /* 99,999, then 100.0k, 1.2M, 3.4G (powers of 1000) */
struct text text_duration(uint64_t milliseconds); /* 350 ms, 31.2 s, 12 min, 3.5 h */

/* The field at @path ("connections.active"), or NULL. */
const json_t *field(const json_t *document, const char *path);
const char *field_text(const json_t *document, const char *path);
struct text field_count(const json_t *document, const char *path);
struct text field_short(const json_t *document, const char *path);
struct text field_duration(const json_t *document, const char *path);
/* The number at @path; 0 if there is none. */
uint64_t field_number(const json_t *document, const char *path);
