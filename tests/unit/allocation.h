/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <stdbool.h>

/* The @nth allocation from now on (the first is 1) fails; 0: none does. */
void allocation_fail_at(unsigned int nth);

/* Whether it came to that since. */
bool allocation_has_failed(void);
