/* SPDX-License-Identifier: MIT
 *
 * MSI-X (PCI Local Bus 3.0, 6.8.2): a table of messages {address 8, data 4, control 4}, a mask each
 * and one for all, and a bit for each that was kept back. An entry's message is routed by KVM while
 * it is not masked; a guest is to mask an entry before it changes it, and where it does not, the
 * change counts at once.
 */
#include <string.h>

#include "vmm/pci.h"
#include "vmm/vmm.h"

#define PCI_MSIX_CAP_SIZE 12
#define PCI_MSIX_PENDING 8

void pci_msix_create(struct pci_msix *m, struct vm *vm, struct pci_function *f, unsigned n,
                     unsigned bar, uint32_t table, uint32_t pending)
{
    unsigned cap = pci_config_add_cap(&f->config, PCI_CAP_MSIX, PCI_MSIX_CAP_SIZE);
    uint32_t gsi = irq_alloc_messages(vm, n);

    pci_config_set(&f->config, cap + PCI_MSIX_CONTROL, n - 1, 2);
    pci_config_set(&f->config, cap + PCI_MSIX_TABLE, table | bar, 4);
    pci_config_set(&f->config, cap + PCI_MSIX_PENDING, pending | bar, 4);
    f->config.writable[cap + PCI_MSIX_CONTROL + 1] = (PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL) >> 8;
    m->vm = vm;
    m->cap = cap;
    m->count = n;
    m->enabled = m->masked = false;
    m->entries = vm_alloc(vm, n * sizeof *m->entries);
    for (unsigned i = 0; i < n; i++) {
        m->entries[i].control = PCI_MSIX_ENTRY_MASKED;
        m->entries[i].message = (struct irq_message){.gsi = gsi + i, .fd = -1};
    }
}

static bool pci_msix_is_open(const struct pci_msix *m, const struct pci_msix_entry *e)
{
    return m->enabled && !m->masked && !(e->control & PCI_MSIX_ENTRY_MASKED);
}

/* The entry, or what masks it, has changed. */
static void pci_msix_update(struct pci_msix *m, struct pci_msix_entry *e)
{
    if (!pci_msix_is_open(m, e))
        return;
    irq_route(m->vm, &e->message, e->address, e->data);
    if (e->pending)
        irq_send(&e->message);
    e->pending = false;
}

void pci_msix_changed(struct pci_msix *m, const struct pci_function *f)
{
    uint32_t control = pci_config_read(&f->config, m->cap + PCI_MSIX_CONTROL, 2);

    m->enabled = control & PCI_MSIX_ENABLE;
    m->masked = control & PCI_MSIX_MASK_ALL;
    for (unsigned i = 0; m->enabled && !m->masked && i < m->count; i++)
        pci_msix_update(m, &m->entries[i]);
}

static uint32_t *pci_msix_word(const struct pci_msix *m, uint64_t offset)
{
    struct pci_msix_entry *e = &m->entries[offset / PCI_MSIX_ENTRY];

    switch (offset % PCI_MSIX_ENTRY & ~3u) {
    case PCI_MSIX_ENTRY_ADDRESS:
        return (uint32_t *)&e->address;
    case PCI_MSIX_ENTRY_ADDRESS_HIGH:
        return (uint32_t *)&e->address + 1;
    case PCI_MSIX_ENTRY_DATA:
        return &e->data;
    default:
        return &e->control;
    }
}

/* Aligned accesses of 4 or 8 bytes inside the table alone (6.8.2). */
static bool pci_msix_holds(const struct pci_msix *m, uint64_t offset, unsigned len)
{
    return (len == 4 || len == 8) && offset % len == 0 && offset / PCI_MSIX_ENTRY < m->count;
}

uint64_t pci_msix_table_read(const struct pci_msix *m, uint64_t offset, unsigned len)
{
    if (!pci_msix_holds(m, offset, len))
        return 0;
    return *pci_msix_word(m, offset) |
           (len == 8 ? (uint64_t)*pci_msix_word(m, offset + 4) << 32 : 0);
}

void pci_msix_table_write(struct pci_msix *m, uint64_t offset, uint64_t value, unsigned len)
{
    struct pci_msix_entry *e;

    if (!pci_msix_holds(m, offset, len))
        return;
    e = &m->entries[offset / PCI_MSIX_ENTRY];
    *pci_msix_word(m, offset) = value;
    if (len == 8)
        *pci_msix_word(m, offset + 4) = value >> 32;
    e->control &= PCI_MSIX_ENTRY_MASKED;
    pci_msix_update(m, e);
}

uint64_t pci_msix_pending_read(const struct pci_msix *m, uint64_t offset, unsigned len)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 8 * len && 8 * offset + i < m->count; i++)
        bits |= (uint64_t)m->entries[8 * offset + i].pending << i;
    return bits;
}

void pci_msix_send(struct pci_msix *m, unsigned vector)
{
    struct pci_msix_entry *e;

    if (vector >= m->count || !m->enabled)
        return;
    e = &m->entries[vector];
    if (pci_msix_is_open(m, e))
        irq_send(&e->message);
    else
        e->pending = true;
}
