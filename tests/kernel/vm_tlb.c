/* SPDX-License-Identifier: MIT
 *
 * Shootdowns of several CPUs at once: they wait for those they ask, not for each other.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "lib/log.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "vm/aspace.h"

#define JOBS 16u
#define ASKS 500u

static struct aspace *tlb_spaces[2];
static bool tlb_stop;
static u32 tlb_ready, tlb_crowd;

struct tlb_job {
    void (*fn)(struct tlb_job *job);
    struct aspace *as;
    bool done;
    struct completion end;
    struct thread *thread;
};
static struct tlb_job tlb_jobs[JOBS];

static void tlb_job_run(void *arg)
{
    struct tlb_job *job = arg;

    aspace_activate(job->as);
    job->fn(job);
    WRITE_ONCE(job->done, true);
    aspace_activate(NULL);
    aspace_put(job->as);
    completion_signal(&job->end);
}

/* Runs fn on that CPU, in that address space. */
static bool tlb_job_start(struct tlb_job *job, unsigned cpu, struct aspace *as,
                          void (*fn)(struct tlb_job *job))
{
    job->fn = fn;
    job->as = as;
    job->done = false;
    completion_init(&job->end);
    job->thread = thread_create("selftest", tlb_job_run, job);
    if (!job->thread || thread_set_affinity(job->thread, 1UL << cpu))
        return false;
    refcount_get(&as->users);
    thread_start(job->thread);
    return true;
}

static void tlb_job_wait(struct tlb_job *job)
{
    completion_wait(&job->end);
    while (refcount_read(&job->thread->ref) > 1)
        cond_yield(); /* its stack is to go here, before another test counts pages */
    thread_put(job->thread);
}

static void tlb_count_in(void)
{
    __atomic_fetch_add(&tlb_ready, 1, __ATOMIC_SEQ_CST);
}

static void tlb_await(u32 n)
{
    while (__atomic_load_n(&tlb_ready, __ATOMIC_SEQ_CST) < n)
        cpu_relax();
}

static void tlb_spin(struct tlb_job *job)
{
    tlb_count_in();
    while (!READ_ONCE(tlb_stop))
        cpu_relax();
}

static void tlb_spin_deaf(struct tlb_job *job)
{
    irq_disable();
    tlb_spin(job);
    irq_enable();
}

static void tlb_ask_once(struct tlb_job *job)
{
    tlb_count_in();
    tlb_await(tlb_crowd);
    aspace_barrier(job->as);
}

static void tlb_ask_often(struct tlb_job *job)
{
    tlb_count_in();
    tlb_await(tlb_crowd);
    for (unsigned i = 0; i < ASKS; i++)
        aspace_barrier(job->as);
}

static bool tlb_begin(void)
{
    WRITE_ONCE(tlb_stop, false);
    tlb_ready = 0;
    for (unsigned i = 0; i < 2; i++)
        tlb_spaces[i] = aspace_create(NULL);
    return tlb_spaces[0] && tlb_spaces[1];
}

static void tlb_end(void)
{
    for (unsigned i = 0; i < 2; i++)
        aspace_put(tlb_spaces[i]);
}

/* The CPU n after this one. */
static unsigned tlb_cpu(unsigned n)
{
    return (cpu_id() + n) % cpu_count();
}

SELFTEST(tlb_shootdown_does_not_wait_for_another_that_takes_long)
{
    struct aspace *outer = aspace_current();

    if (cpu_count() < 4)
        return;
    CHECK(tlb_begin());
    tlb_crowd = 3;
    CHECK(tlb_job_start(&tlb_jobs[1], tlb_cpu(2), tlb_spaces[0], tlb_ask_once));
    CHECK(tlb_job_start(&tlb_jobs[2], tlb_cpu(3), tlb_spaces[1], tlb_spin));
    tlb_await(2); /* they have their CPUs: who waits for the deaf one there would keep them out */
    CHECK(tlb_job_start(&tlb_jobs[0], tlb_cpu(1), tlb_spaces[0], tlb_spin_deaf));
    tlb_await(3);
    aspace_activate(tlb_spaces[1]);
    for (unsigned i = 0; i < ASKS; i++)
        aspace_barrier(tlb_spaces[1]);
    CHECK(!READ_ONCE(tlb_jobs[1].done));
    aspace_activate(outer);
    WRITE_ONCE(tlb_stop, true);
    for (unsigned i = 0; i < 3; i++)
        tlb_job_wait(&tlb_jobs[i]);
    tlb_end();
}

SELFTEST(tlb_shootdowns_of_all_cpus_answer_each_other)
{
    unsigned n = MIN(cpu_count() - 1, JOBS);

    CHECK(tlb_begin());
    tlb_crowd = n;
    for (unsigned i = 0; i < n; i++)
        CHECK(tlb_job_start(&tlb_jobs[i], tlb_cpu(1 + i), tlb_spaces[i % 2], tlb_ask_often));
    for (unsigned i = 0; i < n; i++)
        tlb_job_wait(&tlb_jobs[i]);
    tlb_end();
}
