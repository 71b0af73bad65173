/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include "src/base/error.h"
#include "src/model/overrides.h"

/*
 * Run-time changes on disk: one JSON file, replaced as a whole.
 *
 * 0: *ret (uninitialised; the caller frees it) holds what the file says, nothing if there is no file.
 * -EBADMSG: the file is not understood. It was moved to PATH.broken, so that the next save does not
 * destroy it; @error tells what was wrong and where it is now. Log it and go on with none.
 * Other errors: the file cannot be read, and is where it was.
 */
int override_store_load(const char *path, struct overrides *ret, struct error *error);

/* A reader finds the old file or the new one, also after a power cut. Mode 0600. */
int override_store_save(const char *path, const struct overrides *overrides, struct error *error);
