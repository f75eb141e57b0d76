/* SPDX-License-Identifier: MIT
 *
 * How often something may happen: one in `each` on average, `burst` of them at once. The
 * state is one number, which several may use at a time: two at once may count as one. For lines of
 * the log there is log_limited (lib/log.h).
 */
#pragma once

#include "lib/types.h"

/* *at: the time from which on nothing is owed; 0 at first. now and each in its unit. */
static inline bool limit_passes(u64 *at, u64 now, u64 each, u64 burst)
{
    u64 was = READ_ONCE(*at), from = MAX(was, now);

    if (from - now > burst * each - each)
        return false;
    WRITE_ONCE(*at, from + each);
    return true;
}
