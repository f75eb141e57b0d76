/* SPDX-License-Identifier: MIT
 *
 * GSI routing tables: built aside, checked, then published under the irqchip's lock. Context of the
 * building: may sleep. Routes of one GSI lie together, so that delivery is two loads and a short
 * loop. Of several GSIs that lead to one pin, the last in the VMM's list is told of the end of its
 * level, as on Linux.
 */
#include "hv/irq/irqchip_priv.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sched/thread.h"

#define ROUTES_AT_ONCE 256 /* between two yields */

/* A table has thousands of routes, and is the builder's own until it is published. */
static void irq_table_yield(u32 i)
{
    if (i % ROUTES_AT_ONCE == 0)
        cond_yield();
}

static int irq_route_from_chip(const struct kvm_irq_routing_irqchip *in, struct irq_route *out)
{
    switch (in->irqchip) {
    case KVM_IRQCHIP_PIC_MASTER:
    case KVM_IRQCHIP_PIC_SLAVE:
        if (in->pin >= PIC_PINS / 2)
            return -EINVAL;
        out->kind = IRQ_ROUTE_PIC;
        out->pin = (u8)(in->pin + (in->irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0));
        return 0;
    case KVM_IRQCHIP_IOAPIC:
        if (in->pin >= IOAPIC_PINS)
            return -EINVAL;
        out->kind = IRQ_ROUTE_IOAPIC;
        out->pin = (u8)in->pin;
        return 0;
    default:
        return -EINVAL;
    }
}

static int irq_route_decode(const struct kvm_irq_routing_entry *in, struct irq_route *out)
{
    *out = (struct irq_route){.gsi = in->gsi};
    if (in->gsi >= IRQ_ROUTES_MAX || in->flags)
        return -EINVAL;
    if (in->type == KVM_IRQ_ROUTING_IRQCHIP)
        return irq_route_from_chip(&in->u.irqchip, out);
    if (in->type != KVM_IRQ_ROUTING_MSI)
        return -EINVAL;
    out->kind = IRQ_ROUTE_MSI;
    out->address = (u64)in->u.msi.address_hi << 32 | in->u.msi.address_lo;
    out->data = in->u.msi.data;
    return 0;
}

static struct irq_table *irq_table_alloc(u32 nr, u32 gsis)
{
    size_t routes = nr * sizeof(struct irq_route);
    struct irq_table *t = kzalloc(sizeof(*t) + routes + (gsis + 1UL) * sizeof(u32));

    if (!t)
        return NULL;
    memset(t->pin_gsi, 0xff, sizeof(t->pin_gsi));
    t->nr = nr;
    t->gsis = gsis;
    t->first = (u32 *)((u8 *)t->routes + routes);
    return t;
}

/* A GSI has at most one route to each chip, and an MSI shares it with no other route. */
static bool irq_table_consistent(const struct irq_table *t)
{
    for (u32 gsi = 0; gsi < t->gsis; gsi++) {
        u32 seen = 0;

        irq_table_yield(gsi);
        for (u32 i = t->first[gsi]; i < t->first[gsi + 1]; i++) {
            u32 bit = 1U << t->routes[i].kind;

            if ((seen & bit) || (seen && ((seen | bit) & 1U << IRQ_ROUTE_MSI)))
                return false;
            seen |= bit;
        }
    }
    return true;
}

static void irq_table_note_pin(struct irq_table *t, const struct irq_route *r)
{
    if (r->kind != IRQ_ROUTE_MSI && t->pin_gsi[r->kind][r->pin] < 0)
        t->pin_gsi[r->kind][r->pin] = (s16)r->gsi;
}

/* Counting sort: first[] is counts, then ends, then starts. */
static int irq_table_fill(struct irq_table *t, const struct kvm_irq_routing_entry *entries)
{
    struct irq_route r;

    for (u32 i = 0; i < t->nr; i++)
        t->first[entries[i].gsi]++;
    for (u32 gsi = 1; gsi <= t->gsis; gsi++)
        t->first[gsi] += t->first[gsi - 1];
    for (u32 i = t->nr; i-- > 0;) {
        int err = irq_route_decode(&entries[i], &r);

        irq_table_yield(i);
        if (err)
            return err;
        t->routes[--t->first[r.gsi]] = r;
        irq_table_note_pin(t, &r);
    }
    return irq_table_consistent(t) ? 0 : -EINVAL;
}

int irq_table_build(const struct kvm_irq_routing_entry *entries, u32 nr, struct irq_table **out)
{
    struct irq_table *t;
    u32 gsis = 0;
    int err;

    if (nr > IRQ_ROUTES_MAX)
        return -EINVAL;
    for (u32 i = 0; i < nr; i++) {
        if (entries[i].gsi >= IRQ_ROUTES_MAX)
            return -EINVAL;
        gsis = MAX(gsis, entries[i].gsi + 1);
    }
    t = irq_table_alloc(nr, gsis);
    if (!t)
        return -ENOMEM;
    err = irq_table_fill(t, entries);
    if (err) {
        kfree(t);
        return err;
    }
    *out = t;
    return 0;
}

struct irq_table *irq_table_empty(void)
{
    return irq_table_alloc(0, 0);
}

bool irq_table_has_pins(const struct irq_table *t)
{
    for (u32 i = 0; i < t->nr; i++)
        if (t->routes[i].kind != IRQ_ROUTE_MSI)
            return true;
    return false;
}

void irq_table_free(struct irq_table *t)
{
    kfree(t);
}

/* As KVM_CREATE_IRQCHIP leaves it: GSI n at I/O APIC pin n, the first 16 at the 8259s too. A VMM
 * whose tables say that the PIT is at pin 2 routes GSI 0 there by itself. */
struct irq_table *irq_table_default(void)
{
    struct irq_table *t = irq_table_alloc(PIC_PINS + IOAPIC_PINS, IOAPIC_PINS);
    u32 n = 0;

    if (!t)
        return NULL;
    for (u32 gsi = 0; gsi < IOAPIC_PINS; gsi++) {
        t->first[gsi] = n;
        t->routes[n++] = (struct irq_route){.gsi = gsi, .kind = IRQ_ROUTE_IOAPIC, .pin = (u8)gsi};
        if (gsi < PIC_PINS)
            t->routes[n++] = (struct irq_route){.gsi = gsi, .kind = IRQ_ROUTE_PIC, .pin = (u8)gsi};
    }
    t->first[IOAPIC_PINS] = n;
    for (u32 i = 0; i < n; i++)
        irq_table_note_pin(t, &t->routes[i]);
    return t;
}
