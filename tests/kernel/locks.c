/* SPDX-License-Identifier: MIT
 *
 * Promises of sync/lockdep.h: each check of the debug build says so when its rule is broken. A test
 * breaks one rule where that does no harm, and looks at the report that would be a panic.
 */
#ifdef DEBUG
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "lib/string.h"
#include "sched/mutex.h"
#include "sched/thread.h"
#include "sched/timer.h"
#include "sync/rcu.h"
#include "sync/spinlock.h"
#include "vm/object.h"

#define HIGH 20
#define LOW 10

static struct mutex locks_high, locks_low, locks_brief;
static struct rwlock locks_rw, locks_rw_low;
static struct spinlock locks_spin_high = SPINLOCK_INIT(RANK_OPS, HIGH, "test high spin");
static struct spinlock locks_spin_low = SPINLOCK_INIT(RANK_PROC, LOW, "test low spin");

/* The report since lockdep_expect has this in it. */
static bool locks_reported(const char *text)
{
    const char *report = lockdep_expected();

    return report && strstr(report, text);
}

static void locks_init(void)
{
    mutex_init(&locks_high, RANK_OPS, HIGH, "test high");
    mutex_init(&locks_low, RANK_OPS, LOW, "test low");
    mutex_init(&locks_brief, RANK_OPS, LOW | LOCK_BRIEF, "test brief");
    rwlock_init(&locks_rw, RANK_OPS, HIGH, "test rw");
    rwlock_init(&locks_rw_low, RANK_OPS, LOW, "test rw low");
}

SELFTEST(lockdep_takes_sleeping_locks_downhill)
{
    locks_init();
    mutex_lock(&locks_high);
    mutex_lock(&locks_low);
    spin_lock(&locks_spin_low);
    CHECK(mutex_held(&locks_high) && mutex_held(&locks_low) && spin_held(&locks_spin_low));
    spin_unlock(&locks_spin_low);
    mutex_unlock(&locks_high); /* in any order */
    mutex_unlock(&locks_low);
    CHECK(!mutex_held(&locks_low) && !spin_held(&locks_spin_low));
}

SELFTEST(lockdep_reports_a_sleeping_lock_taken_uphill)
{
    locks_init();
    mutex_lock(&locks_low);
    lockdep_expect();
    mutex_lock(&locks_high);
    mutex_unlock(&locks_high);
    mutex_unlock(&locks_low);
    CHECK(locks_reported("lock order: test high (16,20) wanted at"));
    rwlock_read_lock(&locks_rw_low);
    lockdep_expect();
    rwlock_write_lock(&locks_rw);
    rwlock_write_unlock(&locks_rw);
    rwlock_read_unlock(&locks_rw_low);
    CHECK(locks_reported("while holding test rw low (16,10) from"));
}

SELFTEST(lockdep_reports_a_spinlock_taken_uphill_of_a_sleeping_lock)
{
    locks_init();
    mutex_lock(&locks_low);
    lockdep_expect();
    spin_lock(&locks_spin_high);
    spin_unlock(&locks_spin_high);
    mutex_unlock(&locks_low);
    CHECK(locks_reported("lock order: test high spin"));
}

SELFTEST(lockdep_lets_a_lock_be_tried_anywhere_and_remembers_it)
{
    locks_init();
    mutex_lock(&locks_low);
    CHECK(mutex_trylock(&locks_high) && mutex_held(&locks_high));
    mutex_unlock(&locks_low);
    lockdep_expect();
    rwlock_write_lock(&locks_rw); /* of the same order as what was tried */
    rwlock_write_unlock(&locks_rw);
    mutex_unlock(&locks_high);
    CHECK(locks_reported("lock order: test rw"));
}

SELFTEST(lockdep_knows_the_second_of_a_kind_by_its_call)
{
    struct mutex other;

    locks_init();
    mutex_init(&other, RANK_OPS, HIGH, "test high");
    mutex_lock(&locks_high);
    mutex_lock_nested(&other);
    mutex_unlock(&other);
    lockdep_expect();
    mutex_lock(&other);
    mutex_unlock(&other);
    mutex_unlock(&locks_high);
    CHECK(locks_reported("lock order: test high (16,20)"));
}

SELFTEST(lockdep_reports_a_reader_that_reads_again)
{
    locks_init();
    rwlock_read_lock(&locks_rw);
    lockdep_expect();
    rwlock_read_lock(&locks_rw); /* no writer waits: it would hang */
    rwlock_read_unlock(&locks_rw);
    rwlock_read_unlock(&locks_rw);
    CHECK(locks_reported("lock test rw (16,20) wanted at") && !rwlock_held(&locks_rw));
}

SELFTEST(lockdep_reports_waiting_behind_an_own_claim)
{
    locks_init();
    rwlock_write_claim(&locks_rw);
    lockdep_expect();
    rwlock_write_lock(&locks_rw);
    rwlock_write_unlock(&locks_rw);
    rwlock_write_unclaim(&locks_rw);
    CHECK(locks_reported("taken already at"));
}

SELFTEST(lockdep_reports_the_release_of_what_is_not_held)
{
    locks_init();
    lockdep_expect();
    mutex_unlock(&locks_high);
    CHECK(locks_reported("lock test high (16,20) released, not held"));
    rwlock_read_lock(&locks_rw);
    lockdep_expect();
    rwlock_write_unlock(&locks_rw);
    CHECK(locks_reported("lock test rw (16,20) released, not held"));
    rwlock_read_unlock(&locks_rw);
    CHECK(rwlock_write_trylock(&locks_rw));
    rwlock_write_unlock(&locks_rw);
}

SELFTEST(lockdep_reports_sleep_with_a_spinlock)
{
    locks_init();
    spin_lock(&locks_spin_low);
    lockdep_expect();
    might_sleep(); /* without a sleep, which would be a report more */
    spin_unlock(&locks_spin_low);
    CHECK(locks_reported("may sleep: holding test low spin from"));
    spin_lock(&locks_spin_low);
    lockdep_expect();
    mutex_lock(&locks_high);
    mutex_unlock(&locks_high);
    spin_unlock(&locks_spin_low);
    CHECK(locks_reported("test high at"));
}

SELFTEST(lockdep_reports_sleep_with_interrupts_off)
{
    u64 flags = irq_save();

    lockdep_expect();
    might_sleep();
    irq_restore(flags);
    CHECK(locks_reported("interrupts are off"));
}

SELFTEST(lockdep_reports_sleep_in_an_rcu_reader)
{
    rcu_read_lock();
    lockdep_expect();
    might_sleep();
    rcu_read_unlock();
    CHECK(locks_reported("in an RCU reader"));
}

static bool locks_callback_ran;

static void locks_callback(struct rcu_head *head)
{
    /* A callback may take what no thread that it interrupts could: it never sleeps. */
    spin_lock(&locks_spin_high);
    spin_unlock(&locks_spin_high);
    WRITE_ONCE(locks_callback_ran, true);
}

SELFTEST(lockdep_knows_callbacks_from_the_thread_they_run_in)
{
    static struct rcu_head head;

    locks_init();
    locks_callback_ran = false;
    mutex_lock(&locks_low);
    rcu_call(&head, locks_callback);
    rcu_synchronize();
    mutex_unlock(&locks_low);
    CHECK(locks_callback_ran);
}

SELFTEST(lockdep_reports_sleep_with_a_brief_lock)
{
    locks_init();
    mutex_lock(&locks_brief);
    lockdep_expect();
    might_sleep(); /* without a sleep, which would be a report more */
    mutex_unlock(&locks_brief);
    CHECK(locks_reported("holding test brief from"));
}

SELFTEST(lockdep_reports_a_user_copy_with_a_lock_that_forbids_it)
{
    struct mutex over;
    u8 byte;

    locks_init();
    mutex_init(&over, RANK_OPS, HIGH | LOCK_OVER_COPY, "test over copies");
    mutex_lock(&over);
    lockdep_expect();
    (void)user_copy_in(&byte, NULL, 0);
    CHECK(!lockdep_expected());
    mutex_unlock(&over);
    mutex_lock(&locks_low);
    lockdep_expect();
    (void)user_copy_in(&byte, NULL, 0);
    CHECK(locks_reported("while holding test low (16,10) from"));
    current_thread()->nofault++; /* it will not fault: all is well */
    lockdep_expect();
    (void)user_copy_in(&byte, NULL, 0);
    current_thread()->nofault--;
    mutex_unlock(&locks_low);
    CHECK(!lockdep_expected());
}

SELFTEST(lockdep_reports_a_page_read_under_an_address_space)
{
    struct rwlock as;
    static struct page page; /* of no object */

    rwlock_init(&as, RANK_VM, 90, "test aspace");
    rwlock_read_lock(&as);
    lockdep_expect();
    page_lock(&page);
    page_unlock(&page); /* nothing notes it as held */
    rwlock_read_unlock(&as);
    CHECK(locks_reported("lock order: page"));
}

SELFTEST(lockdep_reports_waiting_for_cpus_that_cannot_answer)
{
    static struct spinlock closed = SPINLOCK_INIT(RANK_PROC, LOW, "test closed");
    static struct spinlock open = SPINLOCK_INIT(RANK_PROC, LOW, "test open");
    u64 flags = irq_save();

    lockdep_expect();
    lockdep_may_wait_cpus(0);
    spin_lock(&closed);
    spin_unlock(&closed);
    irq_restore(flags);
    CHECK(locks_reported("interrupts are off"));
    spin_lock(&closed);
    lockdep_expect();
    lockdep_may_wait_cpus(0);
    spin_unlock(&closed);
    CHECK(locks_reported("while holding test closed"));
    spin_lock(&open);
    lockdep_may_wait_cpus(0);
    spin_unlock(&open);
    lockdep_expect();
    spin_lock_irqsave(&open, &flags);
    spin_unlock_irqrestore(&open, flags);
    CHECK(locks_reported("lock test open"));
}

SELFTEST(lockdep_reports_a_lock_that_is_relied_on_and_not_held)
{
    locks_init();
    lockdep_expect();
    ASSERT_HELD(&locks_high);
    CHECK(locks_reported("&locks_high is not held at"));
    lockdep_expect();
    ASSERT_HELD(&locks_spin_low);
    CHECK(locks_reported("&locks_spin_low is not held at"));
    rwlock_read_lock(&locks_rw);
    lockdep_expect();
    ASSERT_HELD(&locks_rw);
    CHECK(!lockdep_expected());
    lockdep_expect();
    ASSERT_HELD_WRITE(&locks_rw);
    rwlock_read_unlock(&locks_rw);
    CHECK(locks_reported("&locks_rw is not held at"));
    lockdep_expect();
    ASSERT_HELD_OR(true, &locks_high);
    CHECK(!lockdep_expected());
    lockdep_expect();
    ASSERT_HELD_OR(false, &locks_high);
    CHECK(locks_reported("&locks_high is not held at"));
}

static DEFINE_PER_CPU(u64, locks_per_cpu);

SELFTEST(lockdep_reports_what_belongs_to_another_cpu_or_may_be_interrupted)
{
    u64 flags, *mine, *others;

    lockdep_expect();
    ASSERT_IRQS_OFF();
    CHECK(locks_reported("interrupts are on"));
    lockdep_expect();
    ASSERT_THIS_CPU(this_cpu_ptr(locks_per_cpu), locks_per_cpu);
    CHECK(locks_reported("is not this CPU's locks_per_cpu"));
    flags = irq_save();
    mine = this_cpu_ptr(locks_per_cpu);
    others = mine + 1;
    lockdep_expect();
    ASSERT_IRQS_OFF();
    ASSERT_THIS_CPU(mine, locks_per_cpu);
    irq_restore(flags);
    CHECK(!lockdep_expected());
    flags = irq_save();
    lockdep_expect();
    ASSERT_THIS_CPU(others, locks_per_cpu);
    irq_restore(flags);
    CHECK(locks_reported("others is not this CPU's locks_per_cpu"));
}

SELFTEST(lockdep_reports_what_belongs_to_another_thread)
{
    struct thread *other = NULL;

    lockdep_expect();
    ASSERT_CURRENT(current_thread());
    CHECK(!lockdep_expected());
    lockdep_expect();
    ASSERT_CURRENT(other);
    CHECK(locks_reported("other is not the thread that runs"));
}

SELFTEST(lockdep_reports_what_is_held_at_the_way_out)
{
    locks_init();
    mutex_lock(&locks_high);
    lockdep_expect();
    lockdep_nothing_held("user mode goes on");
    mutex_unlock(&locks_high);
    CHECK(locks_reported("user mode goes on while holding test high from"));
}
#endif
