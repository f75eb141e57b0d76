/* SPDX-License-Identifier: MIT
 *
 * Figures of load: what each CPU has spent its time on; and the load averages: runnable threads,
 * sampled each 5 s, decayed over 1, 5 and 15 minutes. Nothing
 * runs for their sake: the first to come after a sampling point (a timer interrupt, a CPU leaving
 * idle, a reader) takes the samples that are due.
 */
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "sched/rq_priv.h"

#define LOAD_PERIOD (5 * NSEC_PER_SEC)
#define LOAD_SHIFT 11
#define LOAD_ONE (1UL << LOAD_SHIFT)
#define LOAD_CATCH_UP 720 /* an hour: all three have converged */

/* 2048 / e^(5 s / 1, 5, 15 min) */
static const u64 load_decay[3] = {1884, 2014, 2037};

static struct spinlock load_lock = SPINLOCK_INIT(RANK_SCHED, THREADS_ORDER, "load");
static u64 load_avg[3];             /* load_lock */
static u64 load_next = LOAD_PERIOD; /* load_lock to write */

u64 sched_nr_running(void)
{
    unsigned cpu;
    u64 n = 0;

    cpu_for_each (cpu)
        n += READ_ONCE(rq_of(cpu)->nr);
    return n;
}

void sched_cpu_times(unsigned cpu, u64 *user, u64 *system, u64 *idle)
{
    const struct rq *rq = rq_of(cpu);
    const struct thread *t = rq->idle;
    u64 start = READ_ONCE(t->exec_start), now = time_ns();

    *user = READ_ONCE(rq->user_ns);
    *idle = READ_ONCE(t->sum_exec);
    if (READ_ONCE(rq->curr) == t && now > start)
        *idle += now - start;
    *system = now - MIN(now, *user + *idle);
}

static void load_sample(u64 runnable)
{
    for (unsigned i = 0; i < 3; i++) {
        u64 sum = load_avg[i] * load_decay[i] + runnable * LOAD_ONE * (LOAD_ONE - load_decay[i]);

        load_avg[i] = (sum + (runnable * LOAD_ONE >= load_avg[i] ? LOAD_ONE - 1 : 0)) >> LOAD_SHIFT;
    }
}

void load_update(u64 now)
{
    u64 missed;

    ASSERT_IRQS_OFF();
    if (likely(now < READ_ONCE(load_next)) || !spin_trylock(&load_lock))
        return;
    if (now >= load_next) {
        missed = (now - load_next) / LOAD_PERIOD + 1;
        load_next += missed * LOAD_PERIOD;
        for (missed = MIN(missed, LOAD_CATCH_UP); missed; missed--)
            load_sample(sched_nr_running());
    }
    spin_unlock(&load_lock);
}

u64 sched_load_avg(unsigned which)
{
    u64 flags = irq_save();

    load_update(time_ns());
    irq_restore(flags);
    return which < 3 ? READ_ONCE(load_avg[which]) : 0;
}
