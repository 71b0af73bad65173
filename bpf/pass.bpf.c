// SPDX-License-Identifier: GPL-2.0-only
#include "pass.h"

char LICENSE[] SEC("license") = "GPL";
