/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* What every unit test needs; cmocka wants these headers before its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
