/* SPDX-License-Identifier: MIT
 *
 * Quiescent-state RCU (see rcu.h). A grace period is a mask of CPUs that have not yet passed a
 * quiescent state; the CPU that clears the last bit ends it. Callbacks queue per CPU in two
 * batches: `fresh`, which the next grace period to start will cover, and `waiting`, which the one
 * numbered wait_for does.
 *
 * Nothing polls: starting a grace period sends an IPI to the CPUs it needs (they may be in user
 * mode for long), ending it one to the CPUs whose callbacks it frees. An idle CPU is no reader: it
 * sets `idle` and is left out. That store and the mask's computation are both sequentially
 * consistent: either the starter sees idle, or the CPU that wakes sees everything that was unlinked
 * before.
 *
 * Where several CPUs run, a grace period costs interrupts there and back. So a busy CPU starts none
 * for a few callbacks: it waits until they are many, till its next timer tick, till it has nothing
 * else to do, or till one of them is wanted soon, whichever is first. A CPU that is alone gathers
 * them likewise, but needs no grace period: the quiescent state they run in is one.
 *
 * Callbacks run in rcu_quiescent, so with no lock held, on the CPU that queued them; some at a
 * time, and then the CPU is asked to come again.
 *
 * Lock order: rcu_lock is a leaf, taken with interrupts off.
 */
#include "sync/rcu.h"

#include "arch/x86/apic.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/log.h"
#include "sync/percpu.h"
#include "sync/spinlock.h"

struct rcu_batch {
    struct rcu_head *first, **tail;
};

/* c this CPU, interrupts off: ASSERT_THIS_CPU · a atomic */
struct rcu_cpu {
    struct rcu_batch fresh, waiting; /* c */
    struct rcu_head *due;            /* c  their grace period is over */
    u64 wait_for;                    /* c  grace period that frees `waiting` */
    u8 idle;                         /* a */
    u8 wants;                        /* a  wake me when a grace period ends */
    u8 running;                      /* c  callbacks run: not again from inside */
    u8 soon;                         /* c  `fresh` waits for no more */
    u32 nr_fresh;                    /* c */
};
static DEFINE_PER_CPU(struct rcu_cpu, rcu_cpu);

static struct spinlock rcu_lock = SPINLOCK_INIT(RANK_DEBUG, 0, "rcu");
static u64 rcu_started, rcu_completed; /* rcu_lock to write, a */
static u64 rcu_requested;              /* rcu_lock: start until this one */
static u64 rcu_need;                   /* a  CPUs that the running grace period waits for */

/* Any bit makes a thread look up on its way to user mode; this one means reschedule, harmless. */
#define RCU_NUDGE 1U

#define CALLBACKS_AT_ONCE 128  /* of each quiescent state */
#define CALLBACKS_MANY 64      /* they are worth a grace period */
#define CALLBACKS_TOO_MANY 256 /* they bring the next quiescent state on */

static void batch_add(struct rcu_batch *b, struct rcu_head *head)
{
    head->next = NULL;
    if (!b->first)
        b->tail = &b->first;
    *b->tail = head;
    b->tail = &head->next;
}

static void rcu_kick(u64 mask)
{
    mask &= ~(1ULL << cpu_id());
    while (mask) {
        apic_send_ipi((unsigned)__builtin_ctzll(mask), VEC_CALL);
        mask &= mask - 1;
    }
}

/* Starts the next grace period; returns the CPUs to prod. REQUIRES(rcu_lock) */
static u64 rcu_start_locked(void) REQUIRES(rcu_lock)
{
    unsigned cpu;
    u64 mask = 0;

    ASSERT_HELD(&rcu_lock);
    store_release(&rcu_started, rcu_started + 1);
    smp_mb(); /* pairs with rcu_idle_exit */
    cpu_for_each (cpu) {
        if (!__atomic_load_n(&per_cpu_ptr(rcu_cpu, cpu)->idle, __ATOMIC_SEQ_CST))
            mask |= 1ULL << cpu;
    }
    __atomic_store_n(&rcu_need, mask, __ATOMIC_SEQ_CST);
    return mask;
}

/* The running one waits for no CPU any more: ends it, starts the next if asked; CPUs to prod. */
static u64 rcu_advance_locked(void) REQUIRES(rcu_lock)
{
    unsigned cpu;
    u64 kick = 0;

    ASSERT_HELD(&rcu_lock);
    while (rcu_started != rcu_completed && __atomic_load_n(&rcu_need, __ATOMIC_SEQ_CST) == 0) {
        store_release(&rcu_completed, rcu_started);
        cpu_for_each (cpu) {
            if (__atomic_exchange_n(&per_cpu_ptr(rcu_cpu, cpu)->wants, 0, __ATOMIC_SEQ_CST))
                kick |= 1ULL << cpu;
        }
        if (rcu_requested > rcu_started)
            kick |= rcu_start_locked();
    }
    return kick;
}

static void rcu_advance(void)
{
    u64 flags, kick;

    spin_lock_irqsave(&rcu_lock, &flags);
    kick = rcu_advance_locked();
    spin_unlock_irqrestore(&rcu_lock, flags);
    rcu_kick(kick);
}

/* Asks for a grace period that starts from now on; its number. */
static u64 rcu_request(void)
{
    u64 flags, target, kick = 0;

    spin_lock_irqsave(&rcu_lock, &flags);
    target = rcu_started + 1;
    if (target > rcu_requested)
        rcu_requested = target;
    if (rcu_started == rcu_completed)
        kick = rcu_start_locked();
    kick |= rcu_advance_locked(); /* all may be idle */
    spin_unlock_irqrestore(&rcu_lock, flags);
    rcu_kick(kick);
    return target;
}

static bool rcu_is_due(const struct rcu_cpu *rc)
{
    return rc->waiting.first && load_acquire(&rcu_completed) >= rc->wait_for;
}

static bool rcu_may_start(const struct rcu_cpu *rc)
{
    return rc->fresh.first && (rc->soon || rc->nr_fresh >= CALLBACKS_MANY);
}

/* Adds what has come due; interrupts off. What is not due yet wants a kick, again after each grace
 * period: the end of an earlier one has used it up. */
static bool rcu_take_due(struct rcu_cpu *rc)
{
    ASSERT_THIS_CPU(rc, rcu_cpu);
    if (rc->due)
        return true;
    if (!rc->waiting.first && rcu_may_start(rc)) {
        rc->waiting.first = rc->fresh.first;
        rc->fresh.first = NULL;
        rc->nr_fresh = rc->soon = 0;
        rc->wait_for = cpu_count() == 1 ? 0 : rcu_request(); /* 0: it is over */
    }
    if (rc->waiting.first && !rcu_is_due(rc))
        __atomic_store_n(&rc->wants, 1, __ATOMIC_SEQ_CST); /* then look: pairs with rcu_advance */
    if (rcu_is_due(rc)) {
        rc->due = rc->waiting.first;
        rc->waiting.first = NULL;
    }
    return rc->due;
}

static bool rcu_has_callbacks(const struct rcu_cpu *rc)
{
    return rc->due || rc->waiting.first || rcu_may_start(rc);
}

/* n have run already; how many then. */
static unsigned rcu_run_callbacks(unsigned n)
{
    u64 flags = irq_save();
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);
    struct lockdep_thread *self;

    if (!rc->running && rcu_has_callbacks(rc)) {
        rc->running = 1;
        self = lockdep_callbacks_begin();
        while (n < CALLBACKS_AT_ONCE && rcu_take_due(rc)) {
            struct rcu_head *due = rc->due;

            rc->due = NULL;
            irq_restore(flags);
            for (; due && n < CALLBACKS_AT_ONCE; n++) {
                struct rcu_head *next = due->next;

                due->func(due);
                due = next;
            }
            irq_disable();
            rc->due = due;
        }
        lockdep_callbacks_end(self);
        rc->running = 0;
        if (n == CALLBACKS_AT_ONCE)
            up_cpu_call();
    }
    irq_restore(flags);
    return n;
}

void rcu_call(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
    u64 flags = irq_save();
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);

    head->func = func;
    batch_add(&rc->fresh, head);
    if (unlikely(++rc->nr_fresh == CALLBACKS_TOO_MANY))
        up_cpu_call();
    irq_restore(flags);
}

/* Interrupts off: `fresh` waits for no more. */
static void rcu_hurry(void)
{
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);

    if (!rc->fresh.first)
        return;
    rc->soon = 1;
    up_cpu_call();
}

void rcu_call_soon(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
    u64 flags = irq_save();

    rcu_call(head, func);
    rcu_hurry();
    irq_restore(flags);
}

void rcu_tick(void)
{
    rcu_hurry();
}

/* This CPU has no reader. */
static void rcu_report(void)
{
    u64 bit = 1ULL << cpu_id();

    if (!(__atomic_load_n(&rcu_need, __ATOMIC_SEQ_CST) & bit))
        return;
    if (__atomic_and_fetch(&rcu_need, ~bit, __ATOMIC_SEQ_CST) == 0)
        rcu_advance();
}

/* Callbacks whose grace period is over. */
static bool rcu_due(void)
{
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);

    return !rc->running && (rc->due || rcu_is_due(rc));
}

/* No CPU waits for this one, and it waits for none: the common case, on every thread switch. */
static inline bool rcu_busy(void)
{
    const struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);

    return rcu_has_callbacks(rc) || (__atomic_load_n(&rcu_need, __ATOMIC_SEQ_CST) >> cpu_id() & 1);
}

/* Our own report may end the grace period that our callbacks wait for: no other CPU would tell us.
 */
bool rcu_quiescent(void)
{
    unsigned n = 0;

#ifdef DEBUG
    ASSERT(!rcu_read_held());
#endif
    if (likely(!rcu_busy()))
        return false;
    do {
        rcu_report();
        n = rcu_run_callbacks(n);
        rcu_report(); /* for the grace period just asked for */
    } while (rcu_due() && n < CALLBACKS_AT_ONCE);
    return n == CALLBACKS_AT_ONCE;
}

void rcu_idle_enter(void)
{
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);
    bool more;

    for (;;) {
        rc->soon = rc->fresh.first != NULL;
        more = rcu_quiescent();
        __atomic_store_n(&rc->idle, 1, __ATOMIC_SEQ_CST);
        rcu_report();           /* one that started in between */
        if (more || !rcu_due()) /* more: rcu_pending tells */
            return;
        rcu_idle_exit();
    }
}

void rcu_idle_exit(void)
{
    __atomic_store_n(&this_cpu_ptr(rcu_cpu)->idle, 0, __ATOMIC_SEQ_CST);
}

bool rcu_pending(void)
{
    struct rcu_cpu *rc = this_cpu_ptr(rcu_cpu);

    /* Fresh ones behind a batch that waits need no interrupt now: its end brings an interrupt. */
    if (rc->due)
        return true;
    return rc->waiting.first ? rcu_is_due(rc) : rc->fresh.first != NULL;
}

/* The IPI: the thread looks up on its way to user mode, an idle CPU wakes; both then report. */
void up_cpu_call(void)
{
    __atomic_fetch_or(this_cpu_read(percpu_work), RCU_NUDGE, __ATOMIC_SEQ_CST);
}

#ifdef DEBUG
static DEFINE_PER_CPU(u32, rcu_depth);

void rcu_read_lock(void)
{
    this_cpu_inc(rcu_depth);
}

void rcu_read_unlock(void)
{
    ASSERT(this_cpu_read(rcu_depth) > 0);
    this_cpu_dec(rcu_depth);
}

bool rcu_read_held(void)
{
    return this_cpu_read(rcu_depth) > 0;
}
#endif
