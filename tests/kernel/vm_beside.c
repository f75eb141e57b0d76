/* SPDX-License-Identifier: MIT
 *
 * Faults of several threads of one address space, beside what changes it: they take no lock of the
 * areas, and nothing that was taken away comes back by one that looked before.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "mm/account.h"
#include "mm/pgtable.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "vm/aspace.h"

#define BASE 0x10000000UL
#define PAGES 64UL
#define SIZE (PAGES * PAGE_SIZE)
#define NEIGHBOUR (BASE + 2 * SIZE) /* in the same table */
#define RW (PT_READ | PT_WRITE)
#define TOUCHERS 4u
#define ROUNDS 100u
#define MADV_DONTNEED 4

static struct account beside_account;
static struct aspace *beside_as, *beside_outer;
static bool beside_stop;

struct beside_job {
    u64 first, wrong; /* the first page of its own, of every TOUCHERS; values that cannot be */
    struct completion done;
    struct thread *thread;
};
static struct beside_job beside_jobs[TOUCHERS];

static int beside_map(u64 addr, u64 len)
{
    struct map_request req = {.addr = addr, .len = len, .prot = RW, .max_prot = RW, .fixed = true};
    u64 at;

    return aspace_map(beside_as, &req, &at);
}

static bool beside_begin(void)
{
    beside_outer = aspace_current();
    account_init(&beside_account, NULL, NULL);
    beside_as = aspace_create(&beside_account);
    if (!beside_as)
        return false;
    aspace_activate(beside_as);
    return !beside_map(BASE, SIZE);
}

static void beside_end(void)
{
    aspace_activate(beside_outer);
    aspace_put(beside_as);
    CHECK(atomic_read(&beside_account.used) == 0);
}

/* Another thread has the lock, as one does that waits for a file's page. */
SELFTEST(vm_faults_on_anonymous_memory_take_no_lock_of_the_areas)
{
    CHECK(beside_begin());
    rwlock_write_lock(&beside_as->lock);
    CHECK(!aspace_fault(beside_as, BASE, FAULT_READ));  /* the zero page, and its table */
    CHECK(!aspace_fault(beside_as, BASE, FAULT_WRITE)); /* a copy of it */
    CHECK(!aspace_fault(beside_as, BASE + PAGE_SIZE, FAULT_WRITE));
    rwlock_write_unlock(&beside_as->lock);
    CHECK(beside_as->rss_anon == 2);
    beside_end();
}

/* Writes a byte, which comes whole or not, to each of its pages and reads it: what it wrote, zero
 * after the page was taken, or nothing. */
static void beside_touch(struct beside_job *job, u64 round)
{
    for (u64 i = job->first; i < PAGES; i += TOUCHERS) {
        u8 __user *at = (u8 __user *)(BASE + i * PAGE_SIZE);
        u8 value = (u8)(1 + (round * PAGES + i) % 255), seen;

        if (!user_copy_out(at, &value, 1) && !user_copy_in(&seen, at, 1))
            job->wrong += seen != value && seen;
    }
}

static void beside_toucher(void *arg)
{
    struct beside_job *job = arg;

    aspace_activate(beside_as);
    for (u64 round = 1; !READ_ONCE(beside_stop); round++) {
        beside_touch(job, round);
        cond_yield();
    }
    aspace_activate(NULL);
    aspace_put(beside_as);
    completion_signal(&job->done);
}

static bool beside_start(void)
{
    WRITE_ONCE(beside_stop, false);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        struct beside_job *job = &beside_jobs[i];

        job->first = i;
        job->wrong = 0;
        completion_init(&job->done);
        job->thread = thread_create("toucher", beside_toucher, job);
        if (!job->thread)
            return false;
        refcount_get(&beside_as->users);
    }
    for (unsigned i = 0; i < TOUCHERS; i++)
        thread_start(beside_jobs[i].thread);
    return true;
}

static void beside_join(void)
{
    WRITE_ONCE(beside_stop, true);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        completion_wait(&beside_jobs[i].done);
        while (refcount_read(&beside_jobs[i].thread->ref) > 1)
            cond_yield(); /* its stack is to go here, before another test counts pages */
        thread_put(beside_jobs[i].thread);
        CHECK(!beside_jobs[i].wrong);
    }
}

/* Pages whose entry has all of these rights; 0: any entry counts. */
static unsigned beside_entries(struct aspace *as, unsigned prot)
{
    unsigned level, n = 0;

    spin_lock(&as->pt_lock);
    for (u64 i = 0; i < PAGES; i++) {
        const u64 *e = pgtable_lookup(&as->pt, BASE + i * PAGE_SIZE, &level);

        n += e && *e && (pt_native.prot(*e) & prot) == prot;
    }
    spin_unlock(&as->pt_lock);
    return n;
}

/* The table goes as well, or a neighbour keeps it. */
static void beside_unmap(void)
{
    static bool alone;

    alone = !alone;
    CHECK(!(alone ? aspace_unmap(beside_as, NEIGHBOUR, PAGE_SIZE)
                  : beside_map(NEIGHBOUR, PAGE_SIZE)));
    CHECK(!aspace_unmap(beside_as, BASE, SIZE));
    CHECK(beside_entries(beside_as, 0) == 0);
    cond_yield();
    CHECK(beside_entries(beside_as, 0) == 0);
    CHECK(!beside_map(BASE, SIZE));
}

static void beside_protect(void)
{
    CHECK(!aspace_protect(beside_as, BASE, SIZE, PT_READ));
    CHECK(beside_entries(beside_as, PT_WRITE) == 0);
    cond_yield();
    CHECK(beside_entries(beside_as, PT_WRITE) == 0);
    CHECK(!aspace_protect(beside_as, BASE, SIZE, RW));
}

/* What the child has stays as it was, whatever the parent's threads write. */
static void beside_fork(void)
{
    static u8 then[PAGES];
    struct aspace *child;
    u8 now;

    CHECK(!aspace_clone(beside_as, &beside_account, &child));
    CHECK(beside_entries(child, PT_WRITE) == 0);
    for (u64 i = 0; i < PAGES; i++)
        CHECK(aspace_read(child, BASE + i * PAGE_SIZE, &then[i], 1, false) == 1);
    cond_yield();
    for (u64 i = 0; i < PAGES; i++)
        CHECK(aspace_read(child, BASE + i * PAGE_SIZE, &now, 1, false) == 1 && now == then[i]);
    aspace_put(child);
}

static void beside_all(void (*change)(void))
{
    CHECK(beside_begin() && beside_start());
    /* A fault dwells between its look and what it installs, now and then. */
    fail_point_arm("fault_install", 17);
    for (unsigned i = 0; i < ROUNDS; i++) {
        change();
        CHECK(!aspace_advise(beside_as, BASE, SIZE / 2, MADV_DONTNEED));
        cond_yield();
    }
    fail_point_arm("fault_install", 0);
    beside_join();
    CHECK(beside_entries(beside_as, 0) <= PAGES && beside_as->rss_anon <= PAGES);
    beside_end();
}

SELFTEST(vm_munmap_leaves_no_page_that_a_fault_beside_it_brings)
{
    beside_all(beside_unmap);
}

SELFTEST(vm_mprotect_leaves_no_right_that_a_fault_beside_it_gives)
{
    beside_all(beside_protect);
}

SELFTEST(vm_forks_child_has_none_of_what_is_written_beside_it)
{
    beside_all(beside_fork);
}
