/* SPDX-License-Identifier: MIT
 *
 * The VMM's devices on the host, without KVM: a machine with one of them, whose driver is the test.
 */
#pragma once

#include "vmm/console.h"
#include "vmm/pci.h"
#include "vmm/virtio.h"
#include "vmm/vmm.h"

#define MACHINE_RAM (1 * MIB)

/* A machine without devices; pci: with a host bridge. Freed with all devices by machine_free. */
struct vm *machine_make(bool pci);
void machine_free(struct vm *vm);

/* Where queue `n` of its first device lies: descriptors, available and used ring, a page each. */
static inline uint64_t machine_ring(unsigned n)
{
    return 0x10000 + 0x4000 * n;
}

/* Brings the first device on virtio-mmio up, with those features and queues. */
void machine_start(struct vm *vm, uint64_t features, unsigned queues);
void machine_descriptor(struct vm *vm, unsigned queue, unsigned slot, uint64_t addr, uint32_t len,
                        uint16_t flags, uint16_t next);
/* Offers the chain at `head`, and rings. Its device's thread's work is done here. */
void machine_offer(struct vm *vm, unsigned queue, uint16_t head);
/* How many chains have come back. */
uint16_t machine_used(struct vm *vm, unsigned queue);
