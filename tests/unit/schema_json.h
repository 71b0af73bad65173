/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdio.h>

/* Writes the JSON schema of the configuration file, made from the tables that read it. */
void schema_json_write(FILE *out);
