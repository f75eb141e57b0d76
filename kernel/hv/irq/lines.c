/* SPDX-License-Identifier: MIT
 *
 * From a GSI to the chips: the routes of a line, messages, and who is told of the end of a level.
 * Knows the chips of hv/emul, not how they are wired to vCPUs and timers (irqchip.c).
 */
#include "hv/irq/irqchip_priv.h"

int irqchip_send_msi_locked(struct irqchip *chip, u64 address, u32 data)
{
    struct apic_msg msg;
    int err = apic_msg_from_msi(address, data, false, &msg);

    ASSERT_HELD(&chip->lock);
    return err ? err : apic_send(&chip->bus, &msg, NULL);
}

static bool irqchip_merge(u8 *sources, enum irq_source source, bool high)
{
    *sources = (u8)(high ? *sources | 1U << source : *sources & ~(1U << source));
    return *sources != 0;
}

static int irqchip_set_route(struct irqchip *chip, const struct irq_route *r,
                             enum irq_source source, bool high) REQUIRES(chip->lock)
{
    ASSERT_HELD(&chip->lock);
    switch ((enum irq_route_kind)r->kind) {
    case IRQ_ROUTE_PIC:
        high = irqchip_merge(&chip->pic_sources[r->pin], source, high);
        return pic_set_line(&chip->pic, r->pin, high);
    case IRQ_ROUTE_IOAPIC:
        high = irqchip_merge(&chip->ioapic_sources[r->pin], source, high);
        return ioapic_set_line(&chip->ioapic, r->pin, high);
    case IRQ_ROUTE_MSI:
        return high ? irqchip_send_msi_locked(chip, r->address, r->data) : -1;
    }
    return -1;
}

int irqchip_set_pin_locked(struct irqchip *chip, enum irq_source source, u32 gsi, bool high)
{
    const struct irq_table *t = chip->table;
    int sum = -1;

    ASSERT_HELD(&chip->lock);
    if (gsi >= t->gsis)
        return -1;
    for (u32 i = t->first[gsi]; i < t->first[gsi + 1]; i++) {
        int n = irqchip_set_route(chip, &t->routes[i], source, high);

        if (n >= 0)
            sum = sum < 0 ? n : sum + n;
    }
    return sum;
}

int irqchip_set_line(struct vm *vm, u32 gsi, bool high)
{
    struct irqchip *chip = vm->irqchip;
    u64 flags;
    int n;

    spin_lock_irqsave(&chip->lock, &flags);
    n = irqchip_set_pin_locked(chip, IRQ_SOURCE_USER, gsi, high);
    spin_unlock_irqrestore(&chip->lock, flags);
    return n;
}

/* ------------------------------------------------------------- the end of a level */

static struct list_node *irq_watch_bucket(struct irqchip *chip, u32 gsi)
{
    return &chip->watches[gsi % IRQ_WATCH_BUCKETS];
}

struct irq_watch *irq_watch_find_locked(struct irqchip *chip, u32 gsi)
{
    struct irq_watch *w;

    ASSERT_HELD(&chip->lock);
    list_for_each (w, irq_watch_bucket(chip, gsi), node)
        if (w->gsi == gsi)
            return w;
    return NULL;
}

void irq_watch_add_locked(struct irqchip *chip, struct irq_watch *w)
{
    ASSERT_HELD(&chip->lock);
    list_add_tail(irq_watch_bucket(chip, w->gsi), &w->node);
}

void irq_watch_remove_locked(struct irqchip *chip, struct irq_watch *w)
{
    ASSERT_HELD(&chip->lock);
    list_del(&w->node);
    irqchip_set_pin_locked(chip, IRQ_SOURCE_RESAMPLE, w->gsi, false);
}

void irq_pin_ended_locked(struct irqchip *chip, enum irq_route_kind kind, u32 pin)
{
    s16 gsi = chip->table->pin_gsi[kind][pin];
    struct irq_watch *w = gsi >= 0 ? irq_watch_find_locked(chip, (u32)gsi) : NULL;

    ASSERT_HELD(&chip->lock);
    if (!w)
        return;
    irqchip_set_pin_locked(chip, IRQ_SOURCE_RESAMPLE, w->gsi, false);
    w->ended(w);
}
