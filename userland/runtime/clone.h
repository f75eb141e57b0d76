// SPDX-License-Identifier: MIT
// Cloning a process into its control group.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* clone3 into the control group behind `group`, or, with -1 or where the kernel cannot, beside it:
 * then *placed is false. 0 in the child, -1 with errno. */
pid_t clone_into(int group, uint64_t flags, bool *placed);
