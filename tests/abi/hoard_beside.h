/* SPDX-License-Identifier: MIT
 *
 * For tests of what all share: a program holds it again and again, and is kept from its processor
 * by many others meanwhile; another one makes a call that needs it, too.
 */
#pragma once

#include <sched.h>

#include "hoard.h"

static inline double bound_us(void)
{
    return 20e3 * (getenv("LATE_MS") ? atof(getenv("LATE_MS")) : 5);
}

static inline void spin_us(double us)
{
    for (double end = now_us() + us; now_us() < end;)
        ;
}

/* Each of `holders` runs again and again, beside `hogs` others that always run, while we make a
 * call on the same processor: the longest that took. policy: the holders'. */
static double beside_holders(int policy, void (*const *holders)(void), int n, int hogs,
                             void (*call)(void))
{
    const struct sched_param none = {0};
    pid_t *pid = calloc((size_t)(n + hogs), sizeof(*pid));
    double worst = 0, t;

    on_one_processor();
    for (int i = n + hogs; i-- > 0;) { /* the holders come last: not before there are others */
        pid[i] = fork();
        if (pid[i])
            continue;
        EXPECT(i >= n || sched_setscheduler(0, policy, &none) == 0);
        for (;;)
            i < n ? holders[i]() : spin_us(1000);
    }
    for (double end = now_us() + 1e6; now_us() < end;) {
        usleep(5000);
        t = now_us();
        call();
        t = now_us() - t;
        worst = t > worst ? t : worst;
    }
    for (int i = n + hogs; i-- > 0;)
        EXPECT(kill(pid[i], SIGKILL) == 0);
    for (int i = n + hogs; i-- > 0;)
        EXPECT(waitpid(pid[i], NULL, 0) == pid[i]);
    free(pid);
    if (worst > bound_us() || getenv("VERBOSE"))
        printf("# the call took up to %.1f ms\n", worst / 1e3);
    return worst;
}

/* At the lowest priority: less than bound_us(). */
static inline double beside_one_that_seldom_runs(void (*seldom)(void), void (*call)(void))
{
    return beside_holders(SCHED_IDLE, &seldom, 1, 4, call);
}

/* Like all others, which are so many that a round of all takes 90 ms: less than bound_us() / 2. */
static inline double beside_many(void (*const *holders)(void), int n, void (*call)(void))
{
    return beside_holders(SCHED_OTHER, holders, n, 120, call);
}
