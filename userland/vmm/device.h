/* SPDX-License-Identifier: MIT
 *
 * A device: what it takes of the machine (ports, guest addresses), what answers there, and the
 * thread in which it does what may wait.
 *
 * A device has a lock of its own, which its ops take themselves. Under it, it calls downwards only:
 * interrupts (irq.h), vm_wake(), vm_stop(). No device calls another; the PCI host calls the
 * functions behind it, with its own lock held or with none (pci.h). So the order is: the PCI host's
 * lock, a device's, and below it, never one over the other, the host's irq_lock and the one of
 * irq.c.
 *
 * Devices are made before the guest runs and stay until the process ends.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "vmm/space.h"

#define DEVICE_RESOURCES 5
#define BUS_REGIONS 40

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct vm;
struct device;

enum bus_kind { BUS_PORT, BUS_MEMORY, BUS_KINDS };

struct resource {
    enum bus_kind kind;
    uint64_t start, size;
    unsigned width; /* 0: any access inside it; else only those of that width, at start */
};

struct device_ops {
    /* An access of 1, 2, 4 or 8 bytes at `offset` into that resource. A vCPU's thread; no lock
     * held. NULL: reads as ones, swallows writes. */
    uint64_t (*read)(struct device *d, unsigned resource, uint64_t offset, unsigned len);
    void (*write)(struct device *d, unsigned resource, uint64_t offset, uint64_t value,
                  unsigned len);
    /* In the device's thread, after its bell was rung (once for many rings); may wait. NULL: the
     * device has no thread. */
    void (*work)(struct device *d);
};

/* I immutable once the guest runs */
struct device {
    const char *name;                            /* I */
    struct vm *vm;                               /* I */
    const struct device_ops *ops;                /* I */
    struct device *next;                         /* I  of the VM's */
    unsigned nresources;                         /* I */
    struct resource resources[DEVICE_RESOURCES]; /* I */
    int bell;                                    /* I  an eventfd, or -1 without a thread */
    pthread_mutex_t lock;
};

/* What answers at a port or a memory address. Changed before the guest runs only, so read without a
 * lock. */
struct bus_region {
    uint64_t start, size;
    unsigned width;
    unsigned resource;
    struct device *device;
};

struct bus {
    struct space space;
    unsigned count;
    atomic_uint last; /* the region that answered last: a hint, checked before use */
    struct bus_region regions[BUS_REGIONS];
};

void bus_init(struct bus *b, uint64_t start, uint64_t size);
/* An address that no device has reads as all ones and swallows writes, as on a real bus. */
uint64_t bus_read(struct bus *b, uint64_t addr, unsigned len);
void bus_write(struct bus *b, uint64_t addr, uint64_t value, unsigned len);

/* Makes *d one of the VM's devices. Before the guest runs, as device_claim. */
void device_init(struct device *d, struct vm *vm, const char *name, const struct device_ops *ops);
/* The device answers there from now on; the number that its ops get for it. fatal() if another has
 * some of it. */
unsigned device_claim(struct device *d, const struct resource *r);
/* The same where the VM has room for `size` bytes of memory, a power of two: the address. */
uint64_t device_claim_memory(struct device *d, uint64_t size);

/* Calls its work, soon, in its thread. Any thread, any lock. */
void device_ring(struct device *d);
/* Starts the threads of those that have one; the caller's signals are blocked. */
void devices_start(struct vm *vm);
