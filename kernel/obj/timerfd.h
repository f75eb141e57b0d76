/* SPDX-License-Identifier: MIT
 *
 * timerfd.
 */
#pragma once

#include "lib/types.h"

struct file;

struct timerfd_spec {
    u64 value, interval; /* ns; value 0: disarmed */
};
#define TFD_TIMER_ABSTIME 1
#define TFD_TIMER_CANCEL_ON_SET 2

/* clock: CLOCK_REALTIME 0, CLOCK_MONOTONIC 1, CLOCK_BOOTTIME 7 and the _ALARM ones; flags:
 * O_NONBLOCK. ERR_PTR: -EINVAL, -ENOMEM. */
struct file *timerfd_create(int clock, unsigned flags);
/* 0, or -EINVAL when f is no timerfd, -ECANCELED (it is set all the same) when the wall clock was
 * set since the last look and it had TFD_TIMER_CANCEL_ON_SET. old may be NULL. */
int timerfd_set(struct file *f, unsigned flags, const struct timerfd_spec *spec,
                struct timerfd_spec *old);
int timerfd_get(struct file *f, struct timerfd_spec *out);
/* The wall clock was set: absolute times of it are other times now. Context: may sleep. */
void timerfd_wall_set(void);
