/* SPDX-License-Identifier: MIT
 *
 * The threads of interrupts: one per interrupt that has a handler with a thread_fn, bound to the
 * CPU of its vector, in the urgent class.
 */
#include "dev/irq_priv.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/format.h"

/* h may be off the interrupt already: naming it first, and looking again, tells irq_thread_forget.
 */
static void irq_thread_call(struct irq *irq, unsigned i)
{
    struct irq_handler *h = load_acquire(&irq->handlers[i]);

    if (!h || !h->thread_fn)
        return;
    __atomic_store_n(&irq->in_thread, h, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&irq->handlers[i], __ATOMIC_SEQ_CST) == h &&
        __atomic_exchange_n(&h->woken, false, __ATOMIC_SEQ_CST))
        h->thread_fn(h->arg);
    __atomic_store_n(&irq->in_thread, NULL, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&irq->leavers, __ATOMIC_SEQ_CST)))
        waitq_wake_all(&irq->left);
}

static bool irq_thread_pass(struct irq *irq)
{
    if (!__atomic_exchange_n(&irq->thread_woken, false, __ATOMIC_SEQ_CST))
        return false;
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++)
        irq_thread_call(irq, i);
    return true;
}

static void irq_thread_run(void *arg)
{
    struct irq *irq = arg;
    struct thread *me = current_thread();

    for (;;) {
        while (irq_thread_pass(irq))
            cond_yield();
        if (READ_ONCE(irq->thread_stop))
            break;
        me->sleep_kind = SLEEP_UNINTERRUPTIBLE;
        __atomic_store_n(&me->state, THREAD_SLEEPING, __ATOMIC_SEQ_CST);
        if (!READ_ONCE(irq->thread_woken) && !READ_ONCE(irq->thread_stop))
            schedule();
        WRITE_ONCE(me->state, THREAD_RUNNING);
    }
    completion_signal(&irq->ended);
}

int irq_thread_make(struct irq *irq, const char *name)
{
    char text[sizeof(irq->thread->name)];
    struct thread *t;

    snprintf(text, sizeof(text), "irq/%u-%s", irq->number, name);
    t = thread_create(text, irq_thread_run, irq);
    if (!t)
        return -ENOMEM;
    waitq_init(&irq->left);
    completion_init(&irq->ended);
    thread_set_urgent(t, irq->cpu);
    store_release(&irq->thread, t);
    thread_start(t);
    return 0;
}

void irq_thread_wake(struct irq *irq, struct irq_handler *h)
{
    __atomic_store_n(&h->woken, true, __ATOMIC_SEQ_CST);
    if (!__atomic_exchange_n(&irq->thread_woken, true, __ATOMIC_SEQ_CST))
        thread_wake(irq->thread);
}

void irq_thread_forget(struct irq *irq, const struct irq_handler *h)
{
    __atomic_fetch_add(&irq->leavers, 1, __ATOMIC_SEQ_CST);
    wait_event(&irq->left, __atomic_load_n(&irq->in_thread, __ATOMIC_SEQ_CST) != h);
    __atomic_fetch_sub(&irq->leavers, 1, __ATOMIC_SEQ_CST);
}

void irq_thread_end(struct irq *irq)
{
    struct thread *t = irq->thread;

    WRITE_ONCE(irq->thread_stop, true);
    thread_wake(t);
    completion_wait(&irq->ended);
    thread_put(t);
    irq->thread = NULL;
}
