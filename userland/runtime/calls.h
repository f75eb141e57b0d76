// SPDX-License-Identifier: MIT
// A filter that leaves a process the system calls it lists and no others: for one that reads what
// strangers on a network say.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CALLS_MAX 128

/* All others are EPERM from here on, another architecture's are the end. no_new_privs is set, or
 * the caller may do without. At most CALLS_MAX. 0 or -errno. */
int calls_allow(const uint16_t *numbers, size_t n);
