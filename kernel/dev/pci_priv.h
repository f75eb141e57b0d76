/* SPDX-License-Identifier: MIT
 *
 * Between the files of PCI: pci_host.c (roots, access, the scan), pci.c (what drivers call),
 * pci_irq.c (messages and pins), pci_places.c (BARs that firmware left out), pci_attr.c (what /sys
 * shows).
 */
#pragma once

#include "dev/pci.h"
#include "sync/spinlock.h"

/* One root: a segment's buses, reached by ECAM or ports, or both.
 * I immutable · p pci_port_lock · a atomic · s the scan's thread */
struct pci_host {
    struct device dev;         /* "pci0000:00", the root of its devices */
    struct pci_config config;  /* I */
    u16 segment;               /* I */
    u64 ecam;                  /* I  physical address of bus 0; 0: there is none */
    bool ports;                /* I  reach its first 256 bytes */
    volatile u8 *buses[256];   /* a  mapped registers of a bus, when first used */
    struct pci_device **found; /* s  in the order of the scan */
    unsigned nr_found;         /* s */
};

/* Sets and clears bits of a 16-bit register as one. irq-safe. */
void pci_change16(struct pci_device *p, unsigned reg, u16 clear, u16 set);

/* pci_places.c: finds places for BARs of what the scan found, before any is registered. */
void pci_places_assign(struct pci_host *host);

/* pci_irq.c: no interrupt of p's is left; its messages are off. */
void pci_irq_init(struct pci_device *p);
int pci_irq_at(struct device *dev, unsigned index, const char **kind);

/* pci_attr.c */
#define PCI_NR_ATTRS 17
extern const struct device_attr pci_attrs[PCI_NR_ATTRS];
