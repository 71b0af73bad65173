/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stddef.h>

/*
 * Replaces the file at @path, mode 0600: a reader finds the old text or the new one, also after a power
 * cut. Drafts it at "@path.new" on the way. Returns 0 or a negative errno, then nothing has changed.
 */
int file_replace(const char *path, const char *text, size_t length);
