/* SPDX-License-Identifier: MIT
 *
 * Futexes, as futex(2) describes them. private: the address means nothing outside this address
 * space.
 */
#pragma once

#include "lib/types.h"

/* 0 woken, -EAGAIN the word differs, -ETIMEDOUT (deadline in ns of time_ns(), 0 none),
 * -ERESTARTSYS. */
s64 futex_wait(u64 addr, bool private, u32 expected, u32 bitset, u64 deadline);
/* How many were woken. */
s64 futex_wake(u64 addr, bool private, int n, u32 bitset);
/* expected NULL: no comparison, only the woken are counted. */
s64 futex_requeue(u64 addr, bool private, int wake, int move, u64 addr2, const u32 *expected);
s64 futex_wake_op(u64 addr, bool private, int n, u64 addr2, int n2, u32 code);
