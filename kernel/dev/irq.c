/* SPDX-License-Identifier: MIT
 *
 * Vectors are handed out once and kept with their line: a second handler for the same line shares
 * it. All go to CPU 0 for now.
 *
 * irq_lock guards who has what. The dispatcher takes no lock: it counts itself into `running`,
 * reads the slots, and irq_release waits for it. So handlers are free in what they lock.
 */
#include "dev/irq.h"

#include "arch/x86/apic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/trap.h"
#include "arch/x86/up.h"
#include "lib/atomic.h"
#include "lib/errno.h"
#include "lib/log.h"
#include "sync/spinlock.h"

#define IRQ_VECTORS (VEC_IRQ_LAST - VEC_IRQ_FIRST + 1)
#define IRQ_SHARE_MAX 4
#define IRQ_NO_LINE (~0U)
#define MSI_ADDRESS 0xfee00000UL /* SDM vol. 3, 10.11.1; destination in bits 19:12 */

/* l irq_lock · a atomic · d the dispatching CPU, roughly */
struct irq_vector {
    struct irq_handler *handlers[IRQ_SHARE_MAX]; /* l to write, a to read */
    u32 running;                                 /* a  dispatchers inside */
    u32 gsi;                                     /* l  IRQ_NO_LINE: a message */
    bool used, masked;                           /* l */
    u64 count, stray;                            /* d */
};
static struct irq_vector irq_vectors[IRQ_VECTORS];
static struct spinlock irq_lock = SPINLOCK_INIT(RANK_DEV, 0, "irq");

static struct irq_vector *irq_find_line_locked(u32 gsi)
{
    for (unsigned i = 0; i < IRQ_VECTORS; i++)
        if (irq_vectors[i].used && irq_vectors[i].gsi == gsi)
            return &irq_vectors[i];
    return NULL;
}

static struct irq_vector *irq_new_locked(u32 gsi)
{
    for (unsigned i = 0; i < IRQ_VECTORS; i++) {
        struct irq_vector *v = &irq_vectors[i];

        if (v->used || load_acquire(&v->running)) /* or still being left: irq_release waits */
            continue;
        v->gsi = gsi; /* a stray interrupt may be counting in `running`; handlers are gone */
        v->masked = false;
        v->count = v->stray = 0;
        v->used = true;
        return v;
    }
    return NULL;
}

static unsigned irq_number(const struct irq_vector *v)
{
    return VEC_IRQ_FIRST + (unsigned)(v - irq_vectors);
}

static int irq_add_locked(struct irq_vector *v, struct irq_handler *handler)
{
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++) {
        if (v->handlers[i])
            continue;
        handler->vector = irq_number(v);
        store_release(&v->handlers[i], handler);
        return 0;
    }
    return -ENOSPC;
}

int irq_request_gsi(u32 gsi, bool level, bool active_low, struct irq_handler *handler)
{
    struct irq_vector *v;
    int err = 0;
    u64 flags;

    spin_lock_irqsave(&irq_lock, &flags);
    v = irq_find_line_locked(gsi);
    if (!v) {
        v = irq_new_locked(gsi);
        if (!v)
            err = -ENOSPC;
        else if ((err = ioapic_route(gsi, irq_number(v), 0, level, active_low)) != 0)
            v->used = false;
    }
    if (!err)
        err = irq_add_locked(v, handler);
    if (!err) {
        v->masked = false;
        ioapic_mask(gsi, false);
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return err;
}

int irq_request_isa(unsigned isa, struct irq_handler *handler)
{
    bool level, active_low;
    u32 gsi;

    acpi_isa_irq(isa, &gsi, &level, &active_low);
    return irq_request_gsi(gsi, level, active_low, handler);
}

int irq_request_msi(struct irq_handler *handler, u64 *address, u32 *data)
{
    struct irq_vector *v;
    int err;
    u64 flags;

    spin_lock_irqsave(&irq_lock, &flags);
    v = irq_new_locked(IRQ_NO_LINE);
    err = v ? irq_add_locked(v, handler) : -ENOSPC;
    spin_unlock_irqrestore(&irq_lock, flags);
    if (err)
        return err;
    *address = MSI_ADDRESS | (u64)apic_id() << 12;
    *data = handler->vector;
    return 0;
}

void irq_release(struct irq_handler *handler)
{
    struct irq_vector *v = &irq_vectors[handler->vector - VEC_IRQ_FIRST];
    bool empty = true;
    u64 flags;

    spin_lock_irqsave(&irq_lock, &flags);
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++) {
        if (v->handlers[i] == handler)
            WRITE_ONCE(v->handlers[i], NULL);
        empty = empty && !v->handlers[i];
    }
    if (empty && v->gsi != IRQ_NO_LINE)
        ioapic_mask(v->gsi, true);
    v->used = !empty;
    spin_unlock_irqrestore(&irq_lock, flags);
    smp_mb(); /* pairs with the add to `running` */
    while (load_acquire(&v->running))
        cpu_relax();
}

/* A line that nobody owns up to for long would stop the machine: it is masked. */
#define STRAY_MAX 10000

static void irq_stray(struct irq_vector *v, unsigned vector)
{
    if (++v->stray < STRAY_MAX || v->masked || v->gsi == IRQ_NO_LINE)
        return;
    v->masked = true;
    ioapic_mask(v->gsi, true);
    log_err("irq: vector %u, line %u: nobody handles it; masked", vector, v->gsi);
}

void up_irq(unsigned vector)
{
    struct irq_vector *v;
    bool handled = false;

    if (vector < VEC_IRQ_FIRST || vector > VEC_IRQ_LAST)
        return;
    v = &irq_vectors[vector - VEC_IRQ_FIRST];
    __atomic_fetch_add(&v->running, 1, __ATOMIC_SEQ_CST);
    v->count++;
    for (unsigned i = 0; i < IRQ_SHARE_MAX; i++) {
        struct irq_handler *h = load_acquire(&v->handlers[i]);

        if (h)
            handled |= h->fn(h->arg);
    }
    if (handled)
        v->stray = 0;
    else
        irq_stray(v, vector);
    __atomic_fetch_sub(&v->running, 1, __ATOMIC_SEQ_CST);
}

u64 irq_count_all(void)
{
    u64 n = 0;

    for (unsigned i = 0; i < IRQ_VECTORS; i++)
        n += READ_ONCE(irq_vectors[i].count);
    return n;
}

static int cmd_irq(int argc, char **argv, void (*emit)(const char *fmt, ...))
{
    for (unsigned i = 0; i < IRQ_VECTORS; i++) {
        struct irq_vector *v = &irq_vectors[i];

        if (!v->used)
            continue;
        emit("%3u line %3d %10lu", irq_number(v), (int)v->gsi, v->count);
        for (unsigned j = 0; j < IRQ_SHARE_MAX; j++) {
            struct irq_handler *h = load_acquire(&v->handlers[j]);

            if (h)
                emit(" %s", h->name);
        }
        emit("\n");
    }
    return 0;
}
CONSOLE_CMD(irq)
= {"irq", "device interrupts", cmd_irq, true};
