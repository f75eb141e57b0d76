/* SPDX-License-Identifier: MIT
 *
 * Shared between the files of what a task may do.
 */
#pragma once

#include "lib/types.h"

struct task;

#define SECBIT_NOROOT 1
#define SECBIT_NO_SETUID_FIXUP 4
#define SECBIT_KEEP_CAPS 16
#define SECBIT_KEEP_CAPS_LOCKED 32
#define SECBIT_NO_AMBIENT_RAISE 64
#define SECBITS_KNOWN 0xffU

/* A filter from user memory becomes the current task's newest. flags: SECCOMP_FILTER_FLAG_*. */
s64 seccomp_install(u64 uprog, u64 flags);
/* Current may only read, write, exit and return from signals from now on. 0, -EINVAL. */
s64 seccomp_install_strict(void);
/* SECCOMP_MODE_*: 0 none, 1 strict, 2 filter. */
int seccomp_mode(const struct task *t);
