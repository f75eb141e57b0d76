/* SPDX-License-Identifier: MIT
 *
 * PCI: configuration space of one function as a pure core (pci_config.c), messages (pci_msix.c),
 * and the host bridge with its one bus (pci_host.c).
 *
 * The bridge answers at ports 0xcf8 and 0xcfc, at ECAM, and for its window of memory, in which BARs
 * have their places: we assign them, the guest may move them. A BAR is decoded where memory
 * accesses are on and it lies wholly inside the window; so it can cover neither RAM nor another
 * device. Where two functions' BARs overlap the lower slot answers.
 *
 * Locks: the bridge's over configuration space and the search for a BAR; `changed` is called with
 * it held, may take the device's, and waits for nothing. All other ops are called with none.
 */
#pragma once

#include <stdbool.h>

#include "uapi/pci_regs.h"
#include "vmm/device.h"
#include "vmm/irq.h"

#define PCI_SLOTS 32
#define PCI_BARS 6
#define PCI_PINS 4

/* ---- configuration space: pure ---- */

/* Header type 0, capabilities behind it. */
struct pci_config {
    uint8_t bytes[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE]; /* bits that the guest may change */
    uint32_t bar_size[PCI_BARS];       /* 0: there is none */
    unsigned end;                      /* where the next capability goes */
    unsigned last;                     /* the pointer to it */
};

struct pci_id {
    uint16_t vendor, device, sub_vendor, sub_device;
    uint32_t class; /* class << 16 | subclass << 8 | interface */
    uint8_t revision;
};

void pci_config_init(struct pci_config *c, const struct pci_id *id);
/* A 32-bit memory BAR: size is a power of two from 16 on. */
void pci_config_add_bar(struct pci_config *c, unsigned bar, uint32_t size, uint32_t address);
/* A capability of `len` bytes, id and pointer included, zero but for these: its offset. */
unsigned pci_config_add_cap(struct pci_config *c, uint8_t id, unsigned len);
/* Registers that we set: little-endian, `len` bytes. */
void pci_config_set(struct pci_config *c, unsigned reg, uint32_t value, unsigned len);
/* What the guest does: 1, 2 or 4 bytes; outside of the space reads are ones. */
uint32_t pci_config_read(const struct pci_config *c, unsigned reg, unsigned len);
void pci_config_write(struct pci_config *c, unsigned reg, uint32_t value, unsigned len);
/* Where the guest put that BAR, whether it is decoded or not. */
uint32_t pci_config_bar(const struct pci_config *c, unsigned bar);

/* ---- functions ---- */

struct pci_function;
struct pci_ops {
    uint64_t (*bar_read)(struct pci_function *f, unsigned bar, uint64_t offset, unsigned len);
    void (*bar_write)(struct pci_function *f, unsigned bar, uint64_t offset, uint64_t value,
                      unsigned len);
    /* The guest wrote in the configuration space: command register, BARs or capabilities may be
     * other ones. */
    void (*changed)(struct pci_function *f);
    /* The same, for what may wait; and the guest is about to read `len` bytes at `reg`. No lock is
     * held. */
    void (*written)(struct pci_function *f, unsigned reg, unsigned len);
    void (*reading)(struct pci_function *f, unsigned reg, unsigned len);
};

/* h the bridge's lock · I immutable once the guest runs */
struct pci_function {
    struct pci_config config;  /* h */
    const struct pci_ops *ops; /* I */
    struct pci_host *host;     /* I */
    unsigned slot;             /* I */
    unsigned pin;              /* I  of the bridge's lines, the one its INTA is */
};

/* ---- the host bridge ---- */

/* i irq_lock */
struct pci_host {
    struct device dev; /* its lock is the bridge's */
    uint32_t address;  /* h  0xcf8 */
    struct pci_function bridge;
    struct pci_function *slots[PCI_SLOTS]; /* I */
    struct space memory;                   /* I  places of BARs */
    unsigned pins[PCI_PINS];               /* I  GSIs */
    pthread_mutex_t irq_lock;              /* below a device's */
    uint32_t raised[PCI_PINS];             /* i  which slots raise that line */
};

/* Gives the VM a bridge: vm->pci. Before the guest runs, as pci_add. */
void pci_host_create(struct vm *vm);
/* Puts the function into the next free slot, at devfn slot << 3, with a line (INTA). Its BARs get
 * places by pci_place_bar. */
void pci_add(struct vm *vm, struct pci_function *f, const struct pci_id *id,
             const struct pci_ops *ops);
void pci_place_bar(struct pci_function *f, unsigned bar, uint32_t size);
/* The registers from outside of the bridge: takes its lock. */
uint32_t pci_get(struct pci_function *f, unsigned reg, unsigned len);
void pci_set(struct pci_function *f, unsigned reg, uint32_t value, unsigned len);
/* Where the BAR is decoded, or 0. The bridge's lock held. */
uint32_t pci_bar_address(const struct pci_function *f, unsigned bar);
/* Its line, which it may share with others. Any thread, also under the device's lock. */
void pci_set_line(struct pci_function *f, bool level);
/* The GSI of its line. */
unsigned pci_line(const struct pci_function *f);

/* ---- MSI-X ---- */

struct pci_msix_entry {
    uint64_t address;
    uint32_t data;
    uint32_t control;
    bool pending;
    struct irq_message message;
};

/* d the device's lock · I immutable once the guest runs */
struct pci_msix {
    struct vm *vm;                  /* I */
    unsigned count;                 /* I */
    unsigned cap;                   /* I  offset of the capability */
    struct pci_msix_entry *entries; /* d */
    bool enabled, masked;           /* d  as the capability says */
};

/* A capability for n vectors with table and pending bits at these offsets of a BAR. */
void pci_msix_create(struct pci_msix *m, struct vm *vm, struct pci_function *f, unsigned n,
                     unsigned bar, uint32_t table, uint32_t pending);
/* From `changed`, both locks held: the control word may be another. */
void pci_msix_changed(struct pci_msix *m, const struct pci_function *f);
/* Accesses to the table and to the pending bits, by their offset there. Device's lock held. */
uint64_t pci_msix_table_read(const struct pci_msix *m, uint64_t offset, unsigned len);
void pci_msix_table_write(struct pci_msix *m, uint64_t offset, uint64_t value, unsigned len);
uint64_t pci_msix_pending_read(const struct pci_msix *m, uint64_t offset, unsigned len);
/* Sends that vector's message, or keeps it for when it is not masked. Device's lock held. */
void pci_msix_send(struct pci_msix *m, unsigned vector);
