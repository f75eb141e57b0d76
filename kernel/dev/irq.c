/* SPDX-License-Identifier: MIT
 *
 * Requests, releases and dispatch of device interrupts.
 *
 * Lock order: irq_mutex (sleeping), then irq_lock; dispatch takes neither (irq_priv.h).
 */
#include "dev/irq.h"

#include "arch/x86/acpi.h"
#include "arch/x86/apic.h"
#include "arch/x86/up.h"
#include "dev/irq_priv.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"

struct mutex irq_mutex;
struct spinlock irq_lock = SPINLOCK_INIT(RANK_DEV, 4, "irq");
static struct rb_root irq_tree; /* l  by number */

static void irq_init(void)
{
    mutex_init(&irq_mutex, RANK_DEV, 10, "irq requests");
}
INIT_HOOK(irq_init, INIT_CORE);

static struct irq *irq_of(struct rb_node *n)
{
    return rb_entry(n, struct irq, node);
}

static bool irq_less(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct irq, node)->number < rb_entry(b, struct irq, node)->number;
}

/* The first whose number is at least that. */
static struct irq *irq_from_locked(u32 number) REQUIRES(irq_lock)
{
    struct irq *best = NULL;

    ASSERT_HELD(&irq_lock);
    for (struct rb_node *n = irq_tree.node; n;) {
        if (irq_of(n)->number < number) {
            n = n->right;
        } else {
            best = irq_of(n);
            n = n->left;
        }
    }
    return best;
}

struct irq *irq_find_locked(u32 number)
{
    struct irq *irq = irq_from_locked(number);

    ASSERT_HELD(&irq_lock);
    return irq && irq->number == number ? irq : NULL;
}

/* The lowest free number of a message: above all lines. */
static u32 irq_message_number_locked(void) REQUIRES(irq_lock)
{
    u32 number = MAX(ioapic_gsi_end(), 24U);

    ASSERT_HELD(&irq_lock);
    for (struct irq *irq = irq_from_locked(number); irq && irq->number == number; number++) {
        struct rb_node *next = rb_next(&irq->node);

        irq = next ? irq_of(next) : NULL;
    }
    return number;
}

/* ------------------------------------------------------------- requests */

static unsigned irq_cpus_possible(void)
{
    return MIN(acpi_cpu_count(), (unsigned)MAX_CPUS);
}

static struct irq *irq_alloc(u32 gsi, bool level)
{
    struct irq *irq = kzalloc(sizeof(*irq) + irq_cpus_possible() * sizeof(u64));

    if (!irq)
        return NULL;
    irq->gsi = gsi;
    irq->level = level;
    irq->affinity = U64_MAX;
    return irq;
}

/* Into the tree, with a vector; nothing comes yet. */
static int irq_insert(struct irq *irq, unsigned cpu, bool active_low)
{
    u64 flags;
    int err;

    spin_lock_irqsave(&irq_lock, &flags);
    irq->number = irq->gsi != IRQ_NO_LINE ? irq->gsi : irq_message_number_locked();
    err = irq_place_locked(irq, cpu);
    if (!err && irq->gsi != IRQ_NO_LINE) {
        err = ioapic_route(irq->gsi, irq->vector, cpu, irq->level, active_low);
        if (err)
            irq_unplace_locked(irq);
    }
    if (!err)
        rb_insert(&irq_tree, &irq->node, irq_less);
    spin_unlock_irqrestore(&irq_lock, flags);
    return err;
}

static void irq_remove(struct irq *irq)
{
    u64 flags;

    spin_lock_irqsave(&irq_lock, &flags);
    irq_unplace_locked(irq);
    rb_erase(&irq_tree, &irq->node);
    spin_unlock_irqrestore(&irq_lock, flags);
    irq_wait_dispatch(irq->cpu, irq->vector);
}

static int irq_add_handler(struct irq *irq, struct irq_handler *handler)
{
    int err = -ENOSPC;
    u64 flags;

    handler->irq = irq->number;
    handler->vector = irq->vector;
    handler->woken = false;
    spin_lock_irqsave(&irq_lock, &flags);
    for (unsigned i = 0; i < IRQ_SHARE_MAX && err; i++) {
        if (irq->handlers[i])
            continue;
        store_release(&irq->handlers[i], handler);
        err = 0;
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return err;
}

/* Its handler is there: interrupts come from here on. */
static void irq_open(struct irq *irq)
{
    u64 flags;

    spin_lock_irqsave(&irq_lock, &flags);
    WRITE_ONCE(irq->masked, false);
    if (irq->gsi != IRQ_NO_LINE)
        ioapic_mask(irq->gsi, false);
    else
        irq_aim_locked(irq);
    spin_unlock_irqrestore(&irq_lock, flags);
}

/* irq_mutex held. The line's interrupt, made if need be (*made). */
static int irq_line_get(u32 gsi, bool level, bool active_low, struct irq **out, bool *made)
    REQUIRES(irq_mutex)
{
    u64 flags;
    int err;

    ASSERT_HELD(&irq_mutex);
    spin_lock_irqsave(&irq_lock, &flags);
    *out = irq_find_locked(gsi);
    spin_unlock_irqrestore(&irq_lock, flags);
    *made = !*out;
    if (*out)
        return 0;
    *out = irq_alloc(gsi, level);
    if (!*out)
        return -ENOMEM;
    err = irq_insert(*out, 0, active_low);
    if (err)
        kfree(*out);
    return err;
}

/* irq_mutex held. A thread if it is wanted, then the handler itself. */
static int irq_attach(struct irq *irq, struct irq_handler *handler) REQUIRES(irq_mutex)
{
    int err = handler->thread_fn && !irq->thread ? irq_thread_make(irq, handler->name) : 0;

    ASSERT_HELD(&irq_mutex);
    return err ? err : irq_add_handler(irq, handler);
}

static void irq_discard(struct irq *irq) REQUIRES(irq_mutex)
{
    ASSERT_HELD(&irq_mutex);
    irq_remove(irq);
    if (irq->thread)
        irq_thread_end(irq);
    kfree(irq);
}

int irq_request_gsi(u32 gsi, bool level, bool active_low, struct irq_handler *handler)
{
    struct irq *irq;
    bool made;
    int err;

    if (!handler->fn || gsi >= ioapic_gsi_end())
        return -EINVAL;
    mutex_lock(&irq_mutex);
    err = irq_line_get(gsi, level, active_low, &irq, &made);
    if (!err) {
        err = irq_attach(irq, handler);
        if (!err)
            irq_open(irq);
        else if (made)
            irq_discard(irq);
    }
    mutex_unlock(&irq_mutex);
    return err;
}

int irq_request_isa(unsigned isa, struct irq_handler *handler)
{
    bool level, active_low;
    u32 gsi;

    acpi_isa_irq(isa, &gsi, &level, &active_low);
    return irq_request_gsi(gsi, level, active_low, handler);
}

int irq_request_message(struct irq_handler *handler, unsigned cpu,
                        const struct irq_message_ops *ops, void *arg)
{
    struct irq *irq = irq_alloc(IRQ_NO_LINE, false);
    int err;

    if (!irq)
        return -ENOMEM;
    irq->ops = ops;
    irq->arg = arg;
    irq->affinity = cpu < MAX_CPUS ? 1UL << cpu : U64_MAX;
    mutex_lock(&irq_mutex);
    cpu = irq_choose_cpu(irq->affinity, cpu);
    err = irq_insert(irq, cpu == MAX_CPUS ? 0 : cpu, false);
    if (!err) {
        err = irq_attach(irq, handler);
        if (err)
            irq_discard(irq);
        else
            irq_open(irq);
    } else {
        kfree(irq);
    }
    mutex_unlock(&irq_mutex);
    return err;
}

/* irq_mutex held. True: it was the last one. */
static bool irq_remove_handler(struct irq *irq, const struct irq_handler *handler)
    REQUIRES(irq_mutex)
{
    bool empty = true;
    u64 flags;

    ASSERT_HELD(&irq_mutex);
    spin_lock_irqsave(&irq_lock, &flags);
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++) {
        if (irq->handlers[i] == handler)
            __atomic_store_n(&irq->handlers[i], NULL, __ATOMIC_SEQ_CST);
        empty = empty && !irq->handlers[i];
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    irq_wait_dispatch(irq->cpu, irq->vector);
    return empty;
}

void irq_release(struct irq_handler *handler)
{
    struct irq *irq;
    u64 flags;

    mutex_lock(&irq_mutex);
    spin_lock_irqsave(&irq_lock, &flags);
    irq = irq_find_locked(handler->irq);
    spin_unlock_irqrestore(&irq_lock, flags);
    ASSERT(irq);
    if (irq_remove_handler(irq, handler))
        irq_discard(irq);
    else if (handler->thread_fn)
        irq_thread_forget(irq, handler);
    mutex_unlock(&irq_mutex);
}

/* Each interrupt's wish is looked at again: some CPU in it may be up by now. */
void irq_processors_up(void)
{
    struct irq *irq;
    u32 number = 0;
    u64 flags, wish;

    for (;; number++) {
        spin_lock_irqsave(&irq_lock, &flags);
        irq = irq_from_locked(number);
        if (irq) {
            number = irq->number;
            wish = irq->affinity;
        }
        spin_unlock_irqrestore(&irq_lock, flags);
        if (!irq)
            return;
        if (wish != U64_MAX && irq_set_affinity(number, wish) != 0)
            log_debug("irq %u stays where it is", number);
    }
}

/* ------------------------------------------------------------- dispatch */

/* A line that no handler knows for long would stop the machine: it is masked. */
#define STRAY_MAX 10000

static void irq_stray(struct irq *irq)
{
    if (++irq->stray < STRAY_MAX || irq->masked || irq->gsi == IRQ_NO_LINE)
        return;
    irq->masked = true;
    ioapic_mask(irq->gsi, true);
    log_err("irq: line %u: no handler knows its interrupts; masked", irq->gsi);
}

static void irq_dispatch(struct irq *irq)
{
    bool handled = false;

    irq->counts[cpu_id()]++;
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++) {
        struct irq_handler *h = load_acquire(&irq->handlers[i]);

        if (!h || (h->fn && !h->fn(h->arg)))
            continue;
        handled = true;
        if (h->thread_fn)
            irq_thread_wake(irq, h);
    }
    if (likely(handled))
        irq->stray = 0;
    else
        irq_stray(irq);
}

static u64 irq_lost; /* a  to vectors that no interrupt has (any more) */

void up_irq(unsigned vector)
{
    struct irq_slot *slot;
    struct irq *irq;

    if (vector < VEC_IRQ_FIRST || vector > VEC_IRQ_LAST)
        return;
    slot = &this_cpu_ptr(irq_cpus)->slot[vector - VEC_IRQ_FIRST];
    __atomic_store_n(&slot->running, 1, __ATOMIC_SEQ_CST); /* pairs with irq_wait_dispatch */
    irq = load_acquire(&slot->irq);
    if (irq)
        irq_dispatch(irq);
    else
        __atomic_fetch_add(&irq_lost, 1, __ATOMIC_RELAXED);
    store_release(&slot->running, 0);
}

/* ------------------------------------------------------------- views */

bool irq_info_next(u32 number, struct irq_info *out)
{
    const struct irq *irq;
    unsigned n = 0;
    u64 flags;

    memset(out, 0, sizeof(*out));
    spin_lock_irqsave(&irq_lock, &flags);
    irq = irq_from_locked(number);
    if (irq) {
        out->irq = irq->number;
        out->gsi = irq->gsi;
        out->level = irq->level;
        out->vector = irq->vector;
        out->cpu = irq->cpu;
        out->affinity = irq->affinity;
        for (unsigned cpu = 0; cpu < irq_cpus_possible(); cpu++)
            out->total += READ_ONCE(irq->counts[cpu]);
        for (unsigned i = 0; i < IRQ_SHARE_MAX; i++)
            if (irq->handlers[i])
                strlcpy(out->names[n++], irq->handlers[i]->name, sizeof(out->names[0]));
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return irq != NULL;
}

u64 irq_count(u32 number, unsigned cpu)
{
    const struct irq *irq;
    u64 flags, n = 0;

    spin_lock_irqsave(&irq_lock, &flags);
    irq = irq_find_locked(number);
    if (irq && cpu < irq_cpus_possible())
        n = READ_ONCE(irq->counts[cpu]);
    spin_unlock_irqrestore(&irq_lock, flags);
    return n;
}

u64 irq_count_all(void)
{
    struct irq_info info;
    u64 n = 0;

    for (u32 number = 0; irq_info_next(number, &info); number = info.irq + 1)
        n += info.total;
    return n;
}

static int cmd_irq(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    struct irq_info info;

    for (u32 number = 0; irq_info_next(number, &info); number = info.irq + 1) {
        emit("%3u %s vector %02x cpu %u %10lu", info.irq,
             info.gsi == IRQ_NO_LINE ? "message   "
             : info.level            ? "line level"
                                     : "line edge ",
             info.vector, info.cpu, info.total);
        for (unsigned i = 0; i < IRQ_SHARE_MAX && info.names[i][0]; i++)
            emit(" %s", info.names[i]);
        emit("\n");
    }
    emit("lost %lu\n", READ_ONCE(irq_lost));
    return 0;
}
CONSOLE_CMD(irq)
= {"irq", "device interrupts", cmd_irq, false};
