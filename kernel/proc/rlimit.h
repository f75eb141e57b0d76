/* SPDX-License-Identifier: MIT
 *
 * Resource limits, numbered as x86-64 Linux does (asm-generic/resource.h).
 */
#pragma once

#include "lib/types.h"

#define RLIMIT_CPU 0
#define RLIMIT_FSIZE 1
#define RLIMIT_DATA 2
#define RLIMIT_STACK 3
#define RLIMIT_CORE 4
#define RLIMIT_RSS 5
#define RLIMIT_NPROC 6
#define RLIMIT_NOFILE 7
#define RLIMIT_MEMLOCK 8
#define RLIMIT_AS 9
#define RLIMIT_LOCKS 10
#define RLIMIT_SIGPENDING 11
#define RLIMIT_MSGQUEUE 12
#define RLIMIT_NICE 13
#define RLIMIT_RTPRIO 14
#define RLIMIT_RTTIME 15
#define RLIM_NLIMITS 16
#define RLIM_INFINITY (~0ULL)

struct rlimit {
    u64 cur, max;
};

struct process;
static inline bool rlimit_is_set(const struct rlimit *r)
{
    return r->cur != RLIM_INFINITY || r->max != RLIM_INFINITY;
}
void rlimit_init_defaults(struct rlimit *r);
/* The soft limit of current's process. */
u64 rlimit_current(unsigned which);
/* prlimit64(2): sets new_limit when given, stores the former in *old when given. 0, -EINVAL,
 * -EPERM. */
int rlimit_change(struct process *p, unsigned which, const struct rlimit *new_limit,
                  struct rlimit *old);
