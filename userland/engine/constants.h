// SPDX-License-Identifier: MIT
// Names that clients use for constants of the kernel.
#pragma once

#include "runtime/caps.h"

int rlimit_parse(const char *name); /* RLIMIT_*, or -1 */
