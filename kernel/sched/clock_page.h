/* SPDX-License-Identifier: MIT
 *
 * The page by which programs read the clocks without a system call: mapped read-only into each
 * process as [vvar]. It holds nothing that time_ns() and the wall clock do not use themselves, so
 * both always tell the same time. All but `wall` stands from boot on, and `wall` is one word: no
 * reader can see half of a change.
 */
#pragma once

#include "lib/types.h"

struct clock_page {
    u64 tsc_base, tsc_mul; /* I  ns since boot = (tsc - base) * mul >> 32; mul 0: ask the kernel */
    u64 wall;              /* a  CLOCK_REALTIME - CLOCK_MONOTONIC, ns */
};

/* A page of its own, part of the kernel's image. */
extern const struct clock_page *const clock_page;
/* At boot, before the first program. */
void clock_page_init(void);
