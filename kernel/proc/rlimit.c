/* SPDX-License-Identifier: MIT
 *
 * Resource limits of a process: kept under siglock, read without it for a single word.
 */
#include "proc/rlimit.h"
#include "lib/errno.h"
#include "proc/fdtable.h"
#include "proc/itimer.h"
#include "proc/proc.h"
#include "vm/up.h"

void rlimit_init_defaults(struct rlimit *r)
{
    for (unsigned i = 0; i < RLIM_NLIMITS; i++)
        r[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
    r[RLIMIT_STACK].cur = 8 << 20;
    r[RLIMIT_CORE].cur = 0;
    r[RLIMIT_NOFILE] = (struct rlimit){1024, 1 << 20};
    r[RLIMIT_NPROC] = (struct rlimit){PID_MAX, PID_MAX};
    r[RLIMIT_MEMLOCK] = (struct rlimit){8 << 20, 8 << 20};
    r[RLIMIT_SIGPENDING] = (struct rlimit){16384, 16384};
    r[RLIMIT_MSGQUEUE] = (struct rlimit){819200, 819200};
    r[RLIMIT_NICE] = (struct rlimit){0, 0};
    r[RLIMIT_RTPRIO] = (struct rlimit){0, 0};
}

u64 up_memory_limit(enum memory_limit which)
{
    static const u8 limits[] = {[MEMORY_SPACE] = RLIMIT_AS,
                                [MEMORY_STACK] = RLIMIT_STACK,
                                [MEMORY_LOCKED] = RLIMIT_MEMLOCK,
                                [MEMORY_DATA] = RLIMIT_DATA};
    u64 limit;

    if (!current_thread()->task || (which == MEMORY_LOCKED && capable(CAP_IPC_LOCK)))
        return U64_MAX;
    limit = rlimit_current(limits[which]);
    return limit == RLIM_INFINITY ? U64_MAX : limit;
}

int rlimit_change(struct process *p, unsigned which, const struct rlimit *new_limit,
                  struct rlimit *old)
{
    int err = 0;

    if (which >= RLIM_NLIMITS)
        return -EINVAL;
    if (new_limit && new_limit->cur > new_limit->max)
        return -EINVAL;
    if (new_limit && which == RLIMIT_NOFILE && new_limit->max > FD_TABLE_MAX)
        return -EPERM;
    bool counts = new_limit && which == RLIMIT_CPU && rlimit_is_set(new_limit);
    bool privileged = new_limit && capable(CAP_SYS_RESOURCE);
    u64 flags;

    if (counts)
        process_clock_keep(p);
    spin_lock_irqsave(&p->siglock, &flags);
    struct rlimit was = p->rlimits[which];
    if (new_limit && new_limit->max > was.max && !privileged)
        err = -EPERM;
    else if (new_limit)
        p->rlimits[which] = *new_limit;
    if (!err && counts)
        itimer_watch_cpu_locked(p);
    spin_unlock_irqrestore(&p->siglock, flags);
    if (!err && old)
        *old = was;
    return err;
}
